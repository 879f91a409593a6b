"""The figures of an evaluation for the terminal, in percent: a row for each subset, on 80 columns."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from landmarkfer.cli.slices_report import slices_table, small_slices_remark
from landmarkfer.metrics.few import FEW_IMAGES, is_few
from landmarkfer.metrics.report import (
    Evaluation,
    Interval,
    OtherData,
    SubsetReport,
    shifted_figures,
)
from landmarkfer.progress import counted

SHIFTED = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "nll": "NLL",
    "ece": "ECE",
    "classwise_ece": "classwise ECE",
    "coverage": "coverage of prediction sets",
}
"""What the figures of `metrics.report.shifted_figures` are called."""
DIFFERENT_SHARES = 0.1
"""Distance of class shares (total variation) from which on they are said to differ."""
LEAST_NAMED = 0.0005
"""By how much the share of a class must differ to be named, so that no two equal figures are shown."""
LOWEST = "lowest\nrecall"
"""Heading of the column that holds a class's name, too."""


def print_evaluation(evaluation: Evaluation, title: str, console: Console) -> None:
    """The figures, or what was predicted where no image has a label; what is left out, and warnings."""
    other = evaluation.other_data
    if evaluation.subsets:
        console.print(summary_table(evaluation, title=title))
        console.print(class_table(evaluation))
        console.print(confidence_table(evaluation))
        if next(iter(evaluation.subsets.values())).calibration:
            console.print(calibration_table(evaluation))
        if evaluation.slices:
            console.print(slices_table(evaluation))
        left_out = small_slices_remark(evaluation)
        if left_out is not None:
            console.print(left_out, highlight=False, markup=False)
        for line in reservations(evaluation):
            console.print(line, highlight=False, markup=False)
    elif other is not None:
        console.print(predicted_table(other, title))
    if other is not None and other.own and evaluation.subsets:
        console.print(shift_table(evaluation, other))
    for line in (
        [] if other is None else remarks(other, labelled=bool(evaluation.subsets), prior=evaluation.prior)
    ):
        console.print(line, highlight=False, markup=False)
    for sentence in evaluation.warnings:
        console.print(f"Warning: {sentence}", style="yellow", highlight=False, markup=False)


def predicted_table(other: OtherData, title: str) -> Table:
    """How many images each class was predicted for."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("predicted")
    for heading in ("images", "percent"):
        table.add_column(heading, justify="right")
    for name, count in other.predicted.items():
        table.add_row(escape(name), f"{count:,}", f"{100 * count / max(other.images, 1):.1f}")
    return table


def shift_table(evaluation: Evaluation, other: OtherData) -> Table:
    """The figures that say how far predictions can be believed, beside those on the run's own test images."""
    here = shifted_figures(next(iter(evaluation.subsets.values())))
    caption = "percent, NLL in nats"
    if evaluation.prior is not None:
        name = f"'{evaluation.prior}'" if isinstance(evaluation.prior, str) else "that is given"
        caption += f"\n{other.cache} under the prior {name}, own images under the training prior"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("own test images", escape(other.cache), "change"):
        table.add_column(heading, justify="right")
    for name, title in SHIFTED.items():
        if name in other.own and name in here:
            factor, digits = (1, 3) if name == "nll" else (100, 2)
            before, after = factor * other.own[name], factor * here[name]
            row = (f"{before:.{digits}f}", f"{after:.{digits}f}", f"{after - before:+.{digits}f}")
            table.add_row(title, *row)
    return table


def shares_remark(other: OtherData) -> str | None:
    """How frequent the classes are here and in training, where that differs, and what to do; else None."""
    if sum(abs(here - trained) for trained, here in other.shares.values()) / 2 < DIFFERENT_SHARES:
        return None
    apart = {name: both for name, both in other.shares.items() if abs(both[1] - both[0]) >= LEAST_NAMED}
    most = sorted(apart.items(), key=lambda one: -abs(one[1][1] - one[1][0]))[:3]
    text = ", ".join(f"{name} {100 * a:.1f} and {100 * b:.1f} %" for name, (a, b) in most)
    return (
        f"Classes are not as frequent in {other.cache} as in training ({text}): --prior CLASS=SHARE for each "
        "class predicts under the shares that are expected, 0 for a class that cannot occur."
    )


def remarks(other: OtherData, *, labelled: bool, prior: object = None) -> list[str]:
    """What of another cache the figures are not over, a sentence each."""
    lines = []
    if not labelled:
        without = f"{other.no_face:,} without a face"
        if other.unreadable:
            without += f" and {other.unreadable:,} that could not be read"
        lines.append(
            f"{other.cache} has no labels, so there are no figures: {counted(other.images, 'prediction')}, "
            f"of which {without}, with the fallback prediction."
        )
    elif other.unlabelled:
        lines.append(f"Left out: {counted(other.unlabelled, 'image')} of {other.cache} without a class.")
    if other.trained_on:
        verb = "is" if other.trained_on == 1 else "are"
        lines.append(
            f"{counted(other.trained_on, 'image')} of {other.cache} {verb} pixel-identical to one that "
            "trained or validated the run; the row 'clean' leaves such images out."
        )
    if other.left_out:
        names = ", ".join(f"{name} ({count:,})" for name, count in other.left_out.items())
        images = counted(sum(other.left_out.values()), "image")
        lines.append(f"Left out: {images} with a label that the model lacks: {names}.")
    if prior is None and (remark := shares_remark(other)):
        lines.append(remark)
    if other.absent:
        lines.append(f"Classes of the model without an image in {other.cache}: {', '.join(other.absent)}.")
    return lines


def summary_table(evaluation: Evaluation, title: str | None = None) -> Table:
    """Accuracy, balanced accuracy, macro-F1, calibration error and the lowest recall."""

    def bounded(report: SubsetReport, score: str) -> str:
        return _above(getattr(report, score), report.intervals[score])

    exact = "Clopper-Pearson" if _groups(evaluation) is None else "Korn-Graubard"
    caption = (
        f"percent, above {100 * evaluation.level:g} % intervals over {_units(evaluation)}\n"
        f"accuracy: {exact}; balanced and macro-F1: the wider end\n"
        f"of MOVER and of the bootstrap ({evaluation.bootstrap:,} resamples)"
    )
    headings = ("images", "no\nface", "accuracy", "balanced", "macro-F1", "ECE", LOWEST)
    table = _table(title, caption, headings)
    for name, report in evaluation.subsets.items():
        worst, recall = report.lowest_recall()
        table.add_row(
            name,
            f"{report.n:,}",
            f"{report.no_face:,}",
            *(bounded(report, score) for score in ("accuracy", "balanced_accuracy", "macro_f1")),
            _percent(report.ece),
            f"{_percent(recall)}\n[dim]{escape(worst)}[/dim]",
        )
    return table


def class_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 of each class over all images, and of how many."""
    subset, report = next(iter(evaluation.subsets.items()))
    few = any(is_few(scores.support) for scores in report.per_class.values())
    caption = f"{subset}: percent, above {100 * evaluation.level:g} % intervals\nn: images of the class"
    if few:
        caption += f", * fewer than {FEW_IMAGES}"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("class", overflow="fold")
    for heading in ("n  " if few else "n", "precision", "recall", "F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in report.per_class.items():
        mark = "" if not few else " *" if is_few(scores.support) else "  "
        cells = [_above(getattr(scores, k), scores.intervals[k]) for k in ("precision", "recall", "f1")]
        table.add_row(escape(name), f"{scores.support:,}{mark}", *cells)
    return table


def calibration_table(evaluation: Evaluation) -> Table:
    """Whether the probabilities and the prediction sets of each class hold, over all images."""
    subset, report = next(iter(evaluation.subsets.items()))
    error = _percent(report.classwise_ece)
    caption = f"{subset}: percent; classwise ECE, the mean of the column ECE: {error}\nshare: of the labels; "
    caption += "expected: mean probability"
    headings = ["n", "share", "expected", "ECE"]
    if report.sets is not None:
        stated = f"{100 * report.sets.stated:g} %"
        headings += [f"{stated} sets\nhold it", "in so many\nsets"]
        caption += f"\nhold it: how often sets of {stated} nominal coverage hold it where it is the label"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("class", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, own in report.calibration.items():
        cells = [f"{report.per_class[name].support:,}", *map(_percent, (own.share, own.expected, own.ece))]
        if report.sets is not None:
            covered = "–\n" if own.interval is None else _above(own.coverage, own.interval)
            cells += [covered, _percent(own.in_sets)]
        table.add_row(escape(name), *cells)
    return table


def reservations(evaluation: Evaluation) -> list[str]:
    """What the averages over classes rest on, and images that could not be read, a sentence each."""
    subset, report = next(iter(evaluation.subsets.items()))
    lines = [remark] if (remark := report.averages_remark()) else []
    sets = report.sets
    if sets is not None and sets.size > len(evaluation.classes) / 2:
        lines.append(
            f"Prediction sets hold {sets.size:.1f} of {len(evaluation.classes)} classes on average: to hold "
            "rare classes as often as stated, they rule out little."
        )
    shared = evaluation.shared_sets
    if shared and len(shared) == len(evaluation.classes):  # also of runs of version 0.1
        lines.append("Prediction sets hold their coverage for all classes together, not for each.")
    elif shared:
        lines.append(
            f"Prediction sets hold their coverage for {', '.join(shared)} together, not for each: too few "
            "validation images."
        )
    if report.unreadable:
        them = "it counts" if report.unreadable == 1 else "they count"
        lines.append(
            f"{report.unreadable:,} of {counted(report.n, 'image')} of {subset} could not be read; like "
            f"images without a face, {them} with the fallback prediction."
        )
    return lines


def confidence_table(evaluation: Evaluation) -> Table:
    """Scores of the probabilities, selective prediction, and prediction sets."""
    sets = {name: report.sets for name, report in evaluation.subsets.items() if report.sets is not None}
    headings = ["NLL,\nnats", "Brier", "AURC", "acc.\nat\n80 %", "acc.\nat\n50 %"]
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
    """What intervals are over."""
    groups = _groups(evaluation)
    return "images" if groups is None else f"{groups:,} groups (people or sequences)"


def _groups(evaluation: Evaluation) -> int | None:
    return next(iter(evaluation.subsets.values())).groups


def _table(title: str | None, caption: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("subset", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading != LOWEST, overflow="fold")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _above(value: float | None, interval: Interval) -> str:
    if value is None:
        return "–\n"
    ends = "–".join("?" if end is None else f"{100 * end:.1f}" for end in interval)
    return f"{_percent(value)}\n[dim]{ends}[/dim]"
