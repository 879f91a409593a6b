"""The figures over slices by confounds for the terminal, in percent, on 80 columns."""

from collections.abc import Mapping

from rich import box
from rich.markup import escape
from rich.table import Table

from landmarkfer.metrics.report import Evaluation
from landmarkfer.metrics.slices import LEAST

_NAMED = 4  # classes that are counted by name


def slices_table(evaluation: Evaluation) -> Table:
    """A row for each value of each feature, the strongest confound first."""
    grouped = any(one.groups is not None for one in evaluation.slices)
    table = Table(
        title="Slices by the strongest confounds (see landmarkfer inspect)",
        caption=f"percent, beside {_intervals(evaluation, grouped)}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("slice")
    for heading in ("images", *(["groups"] if grouped else []), "accuracy", "interval", "balanced"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("classes")
    for feature in dict.fromkeys(one.feature for one in evaluation.slices):
        table.add_section()
        table.add_row(f"[bold]{escape(feature)}[/bold]")
        for one in evaluation.slices:
            if one.feature == feature:
                low, high = (100 * end for end in one.interval)
                table.add_row(
                    f"  {escape(one.value)}",
                    f"{one.n:,}",
                    *([f"{one.groups:,}" if one.groups is not None else "–"] if grouped else []),
                    f"{100 * one.accuracy:.2f}",
                    f"{low:.1f}–{high:.1f}",
                    f"{100 * one.balanced_accuracy:.2f}",
                    escape(_counts(one.classes)),
                )
    return table


def small_slices_remark(evaluation: Evaluation) -> str | None:
    """What the table leaves out since too few images have it, a sentence; None where that is nothing."""
    if not evaluation.small_slices:
        return None
    parts = [
        f"{one.feature}: {one.values:,} value{'s' if one.values > 1 else ''} with {one.images:,} "
        f"image{'s' if one.images > 1 else ''} in all"
        for one in evaluation.small_slices
    ]
    return f"No slice, since fewer than {LEAST} test images have the value: {'; '.join(parts)}."


def _intervals(evaluation: Evaluation, grouped: bool) -> str:
    level = f"{100 * evaluation.level:g} % intervals"
    if grouped:
        return f"{level} over groups (Korn-Graubard)"
    # Evaluations of earlier versions can have groups, and slices over images.
    passed_over = next(iter(evaluation.subsets.values())).groups is not None
    independent = "; images of one group taken as independent" if passed_over else ""
    return f"exact {level} over images{independent}"


def _counts(classes: Mapping[str, int]) -> str:
    """The most frequent classes with their numbers of images."""
    most = sorted(classes, key=lambda name: -classes[name])
    shown = [f"{name} {classes[name]:,}" for name in most[:_NAMED]]
    rest = [classes[name] for name in most[_NAMED:]]
    if rest:
        shown.append(f"{len(rest)} other class{'es' if len(rest) > 1 else ''}: {sum(rest):,}")
    return ", ".join(shown)
