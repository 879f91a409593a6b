"""The evaluation protocol: from a table of predictions to figures, files and a printed summary.

The tables are described in `predictions`. An image without a face counts like any other, with the prediction
the model falls back to. Scores are fractions in [0, 1]; what is undefined (see `metrics`) is None, in JSON
`null`.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.errors import RunError
from landmarkfer.evaluation import metrics
from landmarkfer.evaluation.calibration import expected_calibration_error, reliability_table
from landmarkfer.evaluation.predictions import check_predictions, predicted_confidence
from landmarkfer.evaluation.significance import LEVEL, RESAMPLES, bootstrap_intervals
from landmarkfer.files import replacing

if TYPE_CHECKING:
    from rich.table import Table

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"

Interval = tuple[float | None, float | None]

# Reported in this order; one that selects no image is left out.
SUBSETS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "test": lambda frame: pd.Series(True, index=frame.index),
    "test_detected": lambda frame: frame["status"] == "ok",
    "public": lambda frame: _column(frame, "subset") == "public",
    "private": lambda frame: _column(frame, "subset") == "private",
    "clean": lambda frame: _column(frame, "clean") == True,  # noqa: E712 (null is neither)
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassScores(_Frozen):
    """Scores of one class, with bootstrap intervals by the name of the score."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    intervals: dict[str, Interval]


class SubsetReport(_Frozen):
    """The figures over one subset of the test images.

    `intervals` holds the bootstrap interval of `accuracy`, `balanced_accuracy` and `macro_f1`. The expected
    calibration error `ece` has none: it is biased upward in a resample, so that its percentiles need not hold
    the estimate. `confusion` is `[C, C]`, true classes by predicted ones.
    """

    n: int
    no_face: int
    unreadable: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    intervals: dict[str, Interval]
    per_class: dict[str, ClassScores]
    confusion: list[list[int]]

    def lowest_recall(self) -> tuple[str, float]:
        """The class that is recognised worst, among those that occur, and its recall."""
        recalls = {name: s.recall for name, s in self.per_class.items() if s.recall is not None}
        name = min(recalls, key=lambda n: recalls[n])
        return name, recalls[name]


class Evaluation(_Frozen):
    """Everything `evaluate_predictions` found; `metrics.json` is this model, written out."""

    classes: list[str]
    bootstrap: int
    seed: int
    level: float
    subsets: dict[str, SubsetReport]


def evaluate_predictions(
    frame: pd.DataFrame, classes: Sequence[str], *, bootstrap: int = RESAMPLES, seed: int = 0
) -> Evaluation:
    """All figures of the protocol, on each subset that the table knows.

    Args:
        frame: Prediction table.
        classes: Class names in the order of every per-class result.
        bootstrap: Number of resamples for the 95 % intervals.
        seed: Seed of the resampling.

    Raises:
        RunError: If the table is empty, lacks a column or a label, names a class that is not in `classes`,
            repeats an id, or holds rows that are no probabilities.
    """
    classes = list(classes)
    check_predictions(frame, classes)
    labels = pd.Categorical(frame["label"], categories=classes).codes.astype(int)
    predicted = pd.Categorical(frame["predicted"], categories=classes).codes.astype(int)
    confidence = predicted_confidence(frame, classes)
    subsets = {}
    for name, select in SUBSETS.items():
        rows = np.flatnonzero(select(frame).fillna(False).to_numpy(dtype=bool))
        if len(rows):
            status = frame["status"].to_numpy()[rows]
            subsets[name] = _report(
                labels[rows], predicted[rows], confidence[rows], status, classes, bootstrap, seed
            )
    return Evaluation(classes=classes, bootstrap=bootstrap, seed=seed, level=LEVEL, subsets=subsets)


def _report(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    status: NDArray[np.object_],
    classes: Sequence[str],
    bootstrap: int,
    seed: int,
) -> SubsetReport:
    indices = range(len(classes))
    counts = metrics.confusion(labels, predicted, indices)
    scores = metrics.per_class(labels, predicted, indices)
    intervals = bootstrap_intervals(counts, resamples=bootstrap, seed=seed)
    return SubsetReport(
        n=len(labels),
        no_face=int(np.sum(status == "no_face")),
        unreadable=int(np.sum(status == "unreadable")),
        accuracy=metrics.accuracy(labels, predicted),
        balanced_accuracy=metrics.balanced_accuracy(labels, predicted, indices),
        macro_f1=metrics.macro_f1(labels, predicted, indices),
        ece=expected_calibration_error(confidence, labels == predicted),
        intervals={k: _interval(intervals[k]) for k in ("accuracy", "balanced_accuracy", "macro_f1")},
        per_class={
            name: ClassScores(
                precision=_defined(scores.precision[i]),
                recall=_defined(scores.recall[i]),
                f1=_defined(scores.f1[i]),
                support=int(scores.support[i]),
                intervals={k: _interval(intervals[k][i]) for k in ("precision", "recall", "f1")},
            )
            for i, name in enumerate(classes)
        },
        confusion=counts.tolist(),
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _interval(ends: NDArray[np.float64]) -> Interval:
    return _defined(ends[0]), _defined(ends[1])


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object)


def per_class_frame(evaluation: Evaluation) -> pd.DataFrame:
    """One row per subset and class with precision, recall, F1, the ends of their intervals, and support."""
    rows = []
    for subset, report in evaluation.subsets.items():
        for name, scores in report.per_class.items():
            row: dict[str, object] = {"subset": subset, "class": name, "support": scores.support}
            for score in ("precision", "recall", "f1"):
                row[score] = getattr(scores, score)
                row[f"{score}_low"], row[f"{score}_high"] = scores.intervals[score]
            rows.append(row)
    return pd.DataFrame(rows)


def write_evaluation(folder: Path, evaluation: Evaluation, frame: pd.DataFrame) -> None:
    """Write `predictions.parquet`, `per_class.csv`, `confusion.png`, `reliability.png` and `metrics.json`.

    Each file is written under a temporary name and moved, and `metrics.json` last, so that where it exists
    the others do and belong to it.
    """
    from landmarkfer.evaluation.figures import draw_confusion, draw_reliability

    (folder / METRICS_FILE).unlink(missing_ok=True)
    test = evaluation.subsets["test"]
    table = reliability_table(
        predicted_confidence(frame, evaluation.classes), frame["label"] == frame["predicted"]
    )
    with replacing(folder / PREDICTIONS_FILE) as path:
        frame.to_parquet(path, index=False)
    with replacing(folder / "per_class.csv") as path:
        per_class_frame(evaluation).to_csv(path, index=False, float_format="%.6f")
    with replacing(folder / "confusion.png") as path:
        draw_confusion(path, np.array(test.confusion), evaluation.classes)
    with replacing(folder / "reliability.png") as path:
        draw_reliability(path, table, test.ece)
    with replacing(folder / METRICS_FILE) as path:
        path.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation that `write_evaluation` left in `folder`.

    Raises:
        RunError: If there is none, or it is not one this version can read.
    """
    path = folder / METRICS_FILE
    try:
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{folder} has no {METRICS_FILE}; run `landmarkfer evaluate {folder}` first."
        ) from None
    except ValueError as error:
        raise RunError(f"{path} is not an evaluation of this version ({error}); evaluate again.") from error


def summary_table(evaluation: Evaluation, title: str | None = None) -> "Table":
    """The figures of each subset for the terminal, in percent, each above its interval; fits 80 columns."""
    from rich import box
    from rich.table import Table

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.2f}"

    def bounded(report: SubsetReport, score: str) -> str:
        low, high = report.intervals[score]
        ends = "–".join("?" if end is None else f"{100 * end:.1f}" for end in (low, high))
        return f"{percent(getattr(report, score))}\n[dim]{ends}[/dim]"

    caption = (
        f"percent, above {100 * evaluation.level:g} % bootstrap intervals over images "
        f"({evaluation.bootstrap:,} resamples)"
    )
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("subset", no_wrap=True)
    for heading in ("images", "no\nface", "accuracy", "balanced", "macro-F1", "ECE", "lowest\nrecall"):
        table.add_column(heading, justify="right")
    for name, report in evaluation.subsets.items():
        worst, recall = report.lowest_recall()
        table.add_row(
            name,
            f"{report.n:,}",
            f"{report.no_face + report.unreadable:,}",
            *(bounded(report, score) for score in ("accuracy", "balanced_accuracy", "macro_f1")),
            percent(report.ece),
            f"{percent(recall)}\n[dim]{worst}[/dim]",
        )
    return table
