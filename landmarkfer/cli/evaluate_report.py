"""The figures of an evaluation for the terminal, in percent: a row for each subset, on 80 columns."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmarkfer.cli.slices_report import slices_table
from landmarkfer.metrics.report import Evaluation, Interval, OtherData, SubsetReport
from landmarkfer.progress import counted


def print_evaluation(evaluation: Evaluation, title: str, console: Console) -> None:
    """The figures, or what was predicted where no image has a label; and what is left out of the figures."""
    other = evaluation.other_data
    if evaluation.subsets:
        console.print(summary_table(evaluation, title=title))
        console.print(confidence_table(evaluation))
        if evaluation.slices:
            console.print(slices_table(evaluation))
    elif other is not None:
        console.print(predicted_table(other, title))
    for line in [] if other is None else remarks(other, labelled=bool(evaluation.subsets)):
        console.print(line, highlight=False, markup=False)


def predicted_table(other: OtherData, title: str) -> Table:
    """How many images each class was predicted for."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("predicted")
    for heading in ("images", "percent"):
        table.add_column(heading, justify="right")
    for name, count in other.predicted.items():
        table.add_row(escape(name), f"{count:,}", f"{100 * count / max(other.images, 1):.1f}")
    return table


def remarks(other: OtherData, *, labelled: bool) -> list[str]:
    """What of another cache the figures are not over, a sentence each."""
    lines = []
    if not labelled:
        lines.append(
            f"{other.cache} has no labels, so there are no figures: {counted(other.images, 'prediction')}, "
            f"of which {other.no_face + other.unreadable:,} without a face, with the fallback prediction."
        )
    elif other.unlabelled:
        lines.append(f"Left out: {counted(other.unlabelled, 'image')} of {other.cache} without a class.")
    if other.left_out:
        names = ", ".join(f"{name} ({count:,})" for name, count in other.left_out.items())
        images = counted(sum(other.left_out.values()), "image")
        lines.append(f"Left out: {images} with a label that the model lacks: {names}.")
    if other.absent:
        lines.append(f"Classes of the model without an image in {other.cache}: {', '.join(other.absent)}.")
    return lines


def summary_table(evaluation: Evaluation, title: str | None = None) -> Table:
    """Accuracy, balanced accuracy, macro-F1, calibration error and the lowest recall."""

    def bounded(report: SubsetReport, score: str) -> str:
        return _above(getattr(report, score), report.intervals[score])

    caption = (
        f"percent, above {100 * evaluation.level:g} % bootstrap intervals over {_units(evaluation)} "
        f"({evaluation.bootstrap:,} resamples)"
    )
    headings = ("images", "no\nface", "accuracy", "balanced", "macro-F1", "ECE", "lowest\nrecall")
    table = _table(title, caption, headings)
    for name, report in evaluation.subsets.items():
        worst, recall = report.lowest_recall()
        table.add_row(
            name,
            f"{report.n:,}",
            f"{report.no_face + report.unreadable:,}",
            *(bounded(report, score) for score in ("accuracy", "balanced_accuracy", "macro_f1")),
            _percent(report.ece),
            f"{_percent(recall)}\n[dim]{worst}[/dim]",
        )
    return table


def confidence_table(evaluation: Evaluation) -> Table:
    """Scores of the probabilities, selective prediction, and prediction sets."""
    sets = {name: report.sets for name, report in evaluation.subsets.items() if report.sets is not None}
    headings = ["NLL,\nnats", "Brier", "AURC", "acc. at\n80 %", "acc. at\n50 %"]
    caption = "acc. at 80 %: accuracy at 80 % coverage, over the images of highest confidence"
    if sets:
        stated = 100 * next(iter(sets.values())).stated
        headings += [f"{stated:g} %\nsets", "mean\nsize", "single\nclass"]
        caption += (
            f"\n{stated:g} % sets: prediction sets of {stated:g} % nominal coverage, with 95 % intervals"
            "\nsingle class: share of prediction sets of one class"
        )
    table = _table(None, caption, headings)
    for name, report in evaluation.subsets.items():
        cells = [f"{report.nll:.3f}", f"{report.brier:.3f}"]
        cells += [_percent(value) for value in (report.aurc, report.accuracy_at_80, report.accuracy_at_50)]
        if name in sets:
            found = sets[name]
            cells += [
                _above(found.coverage, found.interval),
                f"{found.size:.2f}",
                _percent(found.single),
            ]
        table.add_row(name, *cells)
    return table


def of_validation(evaluation: Evaluation) -> Evaluation:
    """An evaluation of validation images, with subsets that are called so."""
    subsets = {name.replace("test", "val"): report for name, report in evaluation.subsets.items()}
    return evaluation.model_copy(update={"subsets": subsets})


def _units(evaluation: Evaluation) -> str:
    """What the bootstrap draws."""
    groups = next(iter(evaluation.subsets.values())).groups
    return "images" if groups is None else f"{groups:,} groups (people or sequences)"


def _table(title: str | None, caption: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("subset", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _above(value: float | None, interval: Interval) -> str:
    ends = "–".join("?" if end is None else f"{100 * end:.1f}" for end in interval)
    return f"{_percent(value)}\n[dim]{ends}[/dim]"
