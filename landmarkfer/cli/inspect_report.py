"""How `landmarkfer inspect` shows an audit: tables for the terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmarkfer.cli.confounds_report import print_confounds
from landmarkfer.data.audit import sorted_splits
from landmarkfer.data.audit_report import Audit, Count, Groups
from landmarkfer.progress import counted

SHOWN = 5


def print_audit(
    found: Audit, sheet: Path, pairs: Path, confounds: Path | None, console: Console | None = None
) -> None:
    """Print an audit; `sheet`, `pairs` and `confounds` say where the pictures are."""
    console = console or Console()
    state = "" if found.complete else " [yellow](incomplete: the extraction has not finished)[/yellow]"
    console.print(
        f"[bold]{escape(found.cache)}[/bold]  {counted(found.rows, 'image')}, detector {found.detector}"
        f"{state}\n"
    )
    console.print(_counts_table(found))
    console.print(_report_table(found))
    if found.leaks:
        console.print(_leaks_table(found))
    if found.groups is not None:
        _print_groups(found.groups, console)
    print_confounds(found.confounds, console)
    if found.unreadable:
        reasons = Counter(item.reason for item in found.unreadable)
        example = {item.reason: item.id for item in reversed(found.unreadable)}
        table = _table("Unreadable", "reason", "images", "first")
        for reason, count in reasons.most_common():
            table.add_row(escape(reason), f"{count:,}", escape(example[reason]))
        console.print(table)
    if found.constant:
        console.print(f"Constant: {_some(found.constant)}\n")
    for group in found.conflicting[:SHOWN]:
        console.print(f"Conflict ({', '.join(group.labels)}): {_some(group.ids)}", soft_wrap=True)
    if len(found.conflicting) > SHOWN:
        console.print(f"... and {len(found.conflicting) - SHOWN:,} more conflicts; --json lists everything.")
    for pair in found.near_by_interest[:SHOWN]:
        sides = (
            f"{name} ({', '.join(word for word in words if word is not None) or 'no label'})"
            for name, *words in zip((pair.first, pair.second), pair.labels, pair.splits, strict=True)
        )
        console.print(f"Near ({pair.similarity:.2f}): {escape(', '.join(sides))}", soft_wrap=True)
    if len(found.near) > SHOWN:
        more = counted(len(found.near) - SHOWN, "more near-duplicate pair")
        console.print(f"... and {more}; --json lists everything.")
    console.print()
    if confounds is not None:
        console.print(f"Confounds: {escape(str(confounds))}", soft_wrap=True)
    console.print(f"Pairs: {escape(str(pairs))}", soft_wrap=True)
    console.print(f"Contact sheet: {escape(str(sheet))}", soft_wrap=True)


def _print_groups(groups: Groups, console: Console) -> None:
    """The people or sequences, and which of them lie in two splits."""
    where = "the cache states" if groups.rule is None else f"the file names of {groups.rule} state"
    without = f"; {counted(groups.without, 'image')} of none" if groups.without else ""
    console.print(f"Groups (people, sequences): {groups.groups:,}, as {where} them{without}.", soft_wrap=True)
    for leak in groups.leaks:
        console.print(
            f"  [yellow]{len(leak.groups):,}[/yellow] of {escape(leak.split)} are in {escape(leak.other)} "
            f"too, with "
            f"{counted(leak.images, 'image')} of {escape(leak.split)}: {_some(leak.groups)}",
            soft_wrap=True,
        )
    if groups.rule is not None:
        console.print(
            "  They are not stored, so that `train` may part them: extract again, with --group-pattern.",
            soft_wrap=True,
        )
    console.print()


def _counts_table(found: Audit) -> Table:
    splits = sorted_splits(count.split for count in found.counts)
    labels = dict.fromkeys(count.label for count in found.counts)
    headings = [split or "no split" for split in splits]
    table = _table("Images", "class", *headings, "all", "found %", "no face", "unreadable")
    for label in labels:
        rows = [count for count in found.counts if count.label == label]
        table.add_row(escape(label or "no label"), *_counts_cells(rows, splits))
    if len(labels) > 1:
        table.add_section()
        table.add_row("all", *_counts_cells(found.counts, splits), style="bold")
    return table


def _counts_cells(rows: list[Count], splits: list[str | None]) -> Iterator[str]:
    images = sum(row.images for row in rows)
    for split in splits:
        yield f"{sum(row.images for row in rows if row.split == split):,}"
    yield f"{images:,}"
    yield f"{100 * sum(row.ok for row in rows) / images:.1f}"
    yield f"{sum(row.no_face for row in rows):,}"
    yield f"{sum(row.unreadable for row in rows):,}"


def _report_table(found: Audit) -> Table:
    stored = "stored images" if found.crop is None else f"stored crops of {found.crop} pixels"
    table = _table("Audit report", "what", "count", "")
    table.add_row("distinct images", f"{found.distinct:,}", f"of {found.decoded:,}, by their pixels")
    groups, images = len(found.identical), sum(len(group.ids) for group in found.identical)
    table.add_row("groups of identical images", f"{groups:,}", counted(images, "image"))
    table.add_row("... with conflicting labels", _alarm(len(found.conflicting)), "")
    if found.near_threshold is not None:
        note = f"{counted(found.near_groups, 'group')}; similarity {found.near_threshold:g} or more"
        table.add_row("near-duplicate pairs", f"{len(found.near):,}", note)
        table.add_row("... with conflicting labels", _alarm(sum(p.conflicting for p in found.near)), "")
    table.add_row("constant images", _alarm(len(found.constant)), f"all pixels equal, in the {stored}")
    table.add_row("unreadable images", _alarm(len(found.unreadable)), "")
    return table


def _leaks_table(found: Audit) -> Table:
    table = _table("Images that occur in another split too", "images of", "also in", "identical", "near only")
    for split, other in dict.fromkeys((leak.split, leak.other) for leak in found.leaks):
        parts = [leak for leak in found.leaks if (leak.split, leak.other) == (split, other)]
        for leak in parts:
            part = split if leak.subset in (None, split) else f"{split} ({leak.subset})"
            table.add_row(escape(part), escape(other), _alarm(leak.identical), _near(leak.near))
        if len(parts) > 1:
            near = None if found.near_threshold is None else sum(leak.near or 0 for leak in parts)
            identical = _alarm(found.leaked(split, other))
            table.add_row(f"{escape(split)} (all)", escape(other), identical, _near(near), style="bold")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        numeric = number > 0 and heading not in ("", "first", "also in")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=numeric)
    return table


def _near(count: int | None) -> str:
    return "not looked for" if count is None else f"{count:,}"


def _alarm(count: int) -> str:
    return f"[yellow]{count:,}[/yellow]" if count else "0"


def _some(ids: Iterable[str]) -> str:
    ids = list(ids)
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return escape(", ".join(ids[:SHOWN])) + more
