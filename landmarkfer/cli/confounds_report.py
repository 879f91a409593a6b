"""How `landmarkfer inspect` shows what besides the face is associated with the class, on 80 columns."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmarkfer.data.confounds.report import ALPHA, FLOOR, Confound, Confounds


def print_confounds(found: Confounds, console: Console) -> None:
    """The features, the strongest first; or a sentence where none is one."""
    if found.found:
        console.print(_table(found))
    for line in remarks(found):
        console.print(line, highlight=False, markup=False)
    console.print()


def remarks(found: Confounds) -> list[str]:
    """What the table does not show, a sentence each."""
    lines = [] if found.reason is None else [found.reason]
    if found.found and not found.strong:
        lines.append(
            f"No confound: no feature that varies explains {100 * FLOOR:g} % or more of the entropy of the "
            f"labels with p at most {ALPHA:g}."
        )
    if found.constant and found.found:
        lines.append(f"The same in all images, or rare values alone: {', '.join(found.constant)}.")
    for name in found.spelt:
        lines.append(
            f"The {name} has one value for each class, which is taken for a spelling of the label; if these "
            "are sources, the classes cannot be separated from them."
        )
    return lines


def _table(found: Confounds) -> Table:
    units = "" if found.groups is None else f" over {found.groups:,} groups (people, sequences, duplicates)"
    shown = [one.fact for one in found.found if one.p <= ALPHA]
    alone = (
        "\none group: the fact rests on one group alone, and p does not test it"
        if any(fact.groups == 1 for fact in shown)
        else ""
    )
    table = Table(
        title="Confounds: what besides the face is associated with the class",
        title_justify="left",
        title_style="bold",
        caption="share: of the entropy of the labels that a feature explains, beyond chance\n"
        f"p: permutation test{units}, after Holm{alone}",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("feature", no_wrap=True)
    for heading in ("share %", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("most informative")
    for one in found.found:
        share = f"{max(0.0, 100 * one.share):.1f}"
        table.add_row(
            escape(one.feature),
            f"[yellow]{share}[/yellow]" if one.strong else share,
            f"{one.p:.3f}",
            escape(_text(one)) if one.p <= ALPHA else "[dim]–[/dim]",
        )
    return table


def _text(one: Confound) -> str:
    same = "" if one.same_as is None else f"; nearly the same as {one.same_as}"
    return one.fact.text + same
