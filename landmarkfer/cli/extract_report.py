"""What `landmarkfer extract` shows of what came of it."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.row import Status
from landmarkfer.errors import CacheError
from landmarkfer.extraction.pipeline import ExtractionSummary
from landmarkfer.progress import counted, duration


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
            f"{folder} is complete: {counted(len(summary.cache), 'row')}, {summary.extracted:,} of them made "
            f"now in {duration(summary.seconds)} with {summary.cache.manifest.detector.name}."
        )
    else:
        console.print(
            f"{folder} was complete already: {counted(len(summary.cache), 'row')}; nothing was detected."
        )
    ignored = summary.cache.manifest.source.ignored
    if ignored == 1:
        console.print("1 file that is not an image was ignored.")
    elif ignored:
        console.print(f"{ignored:,} files that are not images were ignored.")


def _cells(counts: dict[Status, int]) -> list[str]:
    images = sum(counts.values())
    share = f"{counts['ok'] / images:.1%}" if images else "-"
    return [f"{count:,}" for count in (images, counts["ok"], counts["no_face"], counts["unreadable"])] + [
        share
    ]


def interruption_text(folder: Path, images: int) -> str:
    """What an interrupted extraction has stored of so many images: whole parts."""
    try:
        stored = len(LandmarkCache.open(folder))
    except CacheError:
        stored = 0
    return (
        f"Interrupted. {folder} holds {stored:,} of {counted(images, 'row')}; the same command does the rest."
    )
