"""How `landmarkfer compare` shows what it found: tables of 80 columns."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmarkfer.evaluation.compare.report import won_and_lost
from landmarkfer.evaluation.compare.statistics import differences_in, points_text
from landmarkfer.reporting.markdown import probability_text

if TYPE_CHECKING:
    from landmarkfer.evaluation.compare.comparison import Comparison

SHOWN = 5
_REAL = 0.05


def print_differences(found: "Comparison", page: Path, console: Console) -> None:
    """What differs in all, by class, in the largest confusions, and by slice; and images won and lost."""
    rows, (first, second) = found.rows, found.names
    console.print(
        f"first:  [bold]{escape(first)}[/bold]\nsecond: [bold]{escape(second)}[/bold]", highlight=False
    )
    whole = rows[rows["part"] == "all"].assign(name=lambda all: all["metric"].str.replace("_", " "))
    recalls = rows[(rows["part"] == "class") & (rows["metric"] == "recall")]
    table = _table("recall")
    _add(table, [*whole["name"], *recalls["name"]], pd.concat([whole, recalls]), sections=[len(whole)])
    console.print(table)
    either = rows[rows["part"] == "either"].head(SHOWN)
    table = _table("confused either way")
    _add(table, either["name"] + " / " + either["other"], either)
    console.print(table)
    if (rows["part"] == "trend").any():
        console.print(_trends(rows))
    won, lost = won_and_lost(differences_in(rows[rows["part"] == "image"])[0])
    console.print(
        f"Images that most seeds of the first and few of the second predict correctly: {won:,}; "
        f"reverse: {lost:,}",
        highlight=False,
    )
    console.print(f"Report, figures and pictures: {page.parent}", highlight=False, soft_wrap=True)


def _trends(rows: pd.DataFrame) -> Table:
    """How the difference in accuracy changes from the first slice of each measure to the last."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("accuracy by", overflow="fold")
    for name in ("from", "to", "change", "95 % interval", "p, Holm"):
        table.add_column(name, justify="right")
    slices = {(one.name, one.other): one for one in differences_in(rows[rows["part"] == "slice"])}
    for trend in differences_in(rows[rows["part"] == "trend"]):
        last, first = trend.other.split(" against ")
        ends = [slices[trend.name, one] for one in (first, last)]
        table.add_row(
            escape(trend.name),
            *(f"{points_text(end.difference)}\n[dim]{escape(end.other)}[/dim]" for end in ends),
            points_text(trend.difference),
            f"{points_text(trend.low)} to {points_text(trend.high)}",
            probability_text(trend.p_holm),
            style="bold" if trend.p_holm < _REAL else None,
        )
    return table


def _table(heading: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(heading, overflow="fold")
    for name in ("images", "first", "second", "points", "95 % interval", "p, Holm"):
        table.add_column(name, justify="right", no_wrap=True, vertical="bottom")
    return table


def _add(
    table: Table, names: Sequence[str] | pd.Series, rows: pd.DataFrame, sections: Sequence[int] = ()
) -> None:
    for number, (name, one) in enumerate(zip(names, differences_in(rows), strict=True), start=1):
        real = one.p_holm < _REAL
        table.add_row(
            escape(name),
            f"{one.images:,}",
            f"{100 * one.first:.1f}",
            f"{100 * one.second:.1f}",
            points_text(one.difference),
            f"{points_text(one.low)} to {points_text(one.high)}",
            probability_text(one.p_holm),
            style="bold" if real else None,
            end_section=number in sections,
        )
