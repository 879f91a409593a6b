"""The figures of an evaluation for the terminal, in percent: a row for each subset, on 80 columns."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from landmarkfer.metrics.report import Evaluation, Interval, SubsetReport


def summary_table(evaluation: Evaluation, title: str | None = None) -> Table:
    """How often the model is right: each figure above its interval."""

    def bounded(report: SubsetReport, score: str) -> str:
        return _above(getattr(report, score), report.intervals[score])

    caption = (
        f"percent, above {100 * evaluation.level:g} % bootstrap intervals over images "
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


def sureness_table(evaluation: Evaluation) -> Table:
    """How far the model's probabilities can be believed, and what is left when it may say "not sure"."""
    sets = {name: report.sets for name, report in evaluation.subsets.items() if report.sets is not None}
    headings = ["NLL,\nnats", "Brier", "AURC", "surest\n80 %", "surest\n50 %"]
    caption = "surest 80 %: accuracy over the images it is most sure of"
    if sets:
        stated = 100 * next(iter(sets.values())).stated
        headings += [f"sets of\n{stated:g} %", "labels\na set", "one\nlabel"]
        caption += (
            f"\nsets of {stated:g} %: how often they held the label, above 95 % intervals"
            "\none label: share of sets that hold no other"
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
