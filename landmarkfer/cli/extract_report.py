"""What `landmarkfer extract` shows: how a source is read, and what came of it."""

from collections import Counter
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from landmarkfer.data.audit import sorted_splits
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.row import Status
from landmarkfer.errors import CacheError
from landmarkfer.extraction.pipeline import ExtractionSummary
from landmarkfer.extraction.sources.entry import Source
from landmarkfer.progress import counted, duration

_GROUPS_SHOWN = 3


def print_source(source: Source) -> None:
    """Print what a source was understood to be: classes by split, groups, what is left out, and remarks."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    counts = Counter((entry.label, entry.split) for entry in source.entries)
    splits = sorted_splits(split for _, split in counts)
    labels: list[str | None] = [name for name in source.classes if any((name, s) in counts for s in splits)]
    labels += [None] if any(label is None for label, _ in counts) else []
    table = Table("class", *(split or "no split" for split in splits), "all")
    for column in table.columns[1:]:
        column.justify = "right"
    for label in labels:
        numbers = [counts[label, split] for split in splits]
        table.add_row(Text(label or "(no label)"), *(f"{number:,}" for number in (*numbers, sum(numbers))))
    if len(labels) > 1:
        table.add_section()
        numbers = [sum(counts[label, split] for label in labels) for split in splits]
        table.add_row("all", *(f"{number:,}" for number in (*numbers, sum(numbers))))
    console.print(f"{source.name}: {counted(len(source.entries), 'image')} ({source.kind})")
    console.print(table)
    if source.columns:
        console.print(f"Columns: {source.columns}.")
    if source.readings:
        pairs = [f"{spelt} as {name}" for spelt, name in source.readings.items()]
        console.print(f"Labels read: {', '.join(pairs)}.")
    console.print(_groups_text(source))
    if source.ignored:
        console.print(
            f"Left out: {counted(source.ignored, 'file')} that {'is' if source.ignored == 1 else 'are'} not "
            f"used."
        )
    for remark in source.remarks:
        click.echo(remark, err=True)


def _groups_text(source: Source) -> str:
    """The groups of a source in words: how many, where they come from, and which lie in two splits."""
    if source.group_rule is None:
        return (
            "Groups (people, sequences): none known; --group-pattern or --group-column names them, and no "
            "split "
            "parts them then."
        )
    groups: dict[str, set[str | None]] = {}
    for entry in source.entries:
        if entry.group is not None:
            groups.setdefault(entry.group, set()).add(entry.split)
    without = sum(entry.group is None for entry in source.entries)
    text = f"Groups (people, sequences): {len(groups):,}, from {source.group_rule}"
    text += f"; {counted(without, 'image')} of none" if without else ""
    both = sorted(name for name, splits in groups.items() if len(splits) > 1)
    if both:
        shown = ", ".join(both[:_GROUPS_SHOWN]) + (", ..." if len(both) > _GROUPS_SHOWN else "")
        text += f"; {len(both):,} of them in more than one split ({shown})"
    return f"{text}."


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
    if lacking := _without_a_face(summary.cache):
        console.print(
            f"No face was found in any training image of {', '.join(lacking)}: a model cannot learn "
            f"{'this class' if len(lacking) == 1 else 'these classes'}."
        )
    ignored = summary.cache.manifest.source.ignored
    if ignored == 1:
        console.print("1 file that is not an image was ignored.")
    elif ignored:
        console.print(f"{ignored:,} files that are not images were ignored.")


def _without_a_face(cache: LandmarkCache) -> list[str]:
    """Classes of which no training image has a face, where some class has one."""
    frame = cache.frame(["label", "split", "status"])
    training = frame[frame["label"].notna() & ~frame["split"].isin(["val", "test"])]
    found = set(training["label"][training["status"] == "ok"])
    return [name for name in cache.manifest.classes if found and name not in found]


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
