"""What `landmarkfer extract` shows: where it writes, how far it is, and what came of it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from landmarkfer.data.cache import CACHE_ROOT
from landmarkfer.data.row import Status
from landmarkfer.extraction.pipeline import ExtractionSummary, Tally

_SECONDS_BETWEEN_LINES = 10.0


def cache_folder(cache: str | None, source: Path) -> Path:
    """Return the folder to write: the one named, a name under `./cache`, or the source's name there."""
    if cache is None:
        resolved = source.resolve()
        return CACHE_ROOT / (resolved.name if resolved.is_dir() else resolved.stem)
    is_name = Path(cache).name == cache and not Path(cache).is_dir()
    return CACHE_ROOT / cache if is_name else Path(cache)


@contextmanager
def live_progress(name: str) -> Iterator[Callable[[Tally], None]]:
    """Show a bar on a terminal, and a line every few seconds elsewhere, on the standard error.

    Args:
        name: What is being extracted.

    Yields:
        What to call with each new tally.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(name)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[outcomes]}"),
        console=console,
    )
    with bar:
        task = bar.add_task(name, total=None, rate=0.0, outcomes="starting the detector")
        started = time.monotonic()

        def update(tally: Tally) -> None:
            bar.update(
                task,
                total=tally.total,
                completed=tally.done,
                rate=_rate(tally, started),
                outcomes=_outcomes(tally),
            )

        yield update


class _Lines:
    def __init__(self, name: str) -> None:
        self._name = name
        self._started = self._last = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LINES and tally.done < tally.total:
            return
        self._last = now
        rate = _rate(tally, self._started)
        left = duration((tally.total - tally.done) / rate) if rate else "unknown"
        place = f"{tally.done:,} of {tally.total:,}"
        sys.stderr.write(f"{self._name}: {place}, {rate:.0f}/s, {left} left; {_outcomes(tally)}\n")
        sys.stderr.flush()


def print_summary(summary: ExtractionSummary) -> None:
    """Print the table per class and what the cache holds now."""
    table = Table("class", *("images", "ok", "no face", "unreadable", "found"))
    for column in table.columns[1:]:
        column.justify = "right"
    for label, counts in summary.by_class.items():
        table.add_row(label or "(no label)", *_cells(counts))
    if len(summary.by_class) > 1:
        table.add_section()
        table.add_row("all", *_cells(summary.counts))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    folder = summary.cache.path
    if summary.extracted:
        console.print(
            f"{folder} is complete: {len(summary.cache):,} rows, {summary.extracted:,} of them made now in "
            f"{duration(summary.seconds)} with {summary.cache.manifest.detector.name}."
        )
    else:
        console.print(f"{folder} was complete already: {len(summary.cache):,} rows; nothing was detected.")
    if summary.cache.manifest.source.ignored:
        console.print(f"{summary.cache.manifest.source.ignored:,} files that are no images were left out.")


def duration(seconds: float) -> str:
    """Write a duration as a person would say it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _rate(tally: Tally, started: float) -> float:
    return (tally.done - tally.reused) / max(1e-9, time.monotonic() - started)


def _outcomes(tally: Tally) -> str:
    counts = tally.counts
    return f"{counts['ok']:,} found, {counts['no_face']:,} no face, {counts['unreadable']:,} unreadable"


def _cells(counts: dict[Status, int]) -> list[str]:
    images = sum(counts.values())
    share = f"{counts['ok'] / images:.1%}" if images else "-"
    return [f"{count:,}" for count in (images, counts["ok"], counts["no_face"], counts["unreadable"])] + [
        share
    ]
