"""The evaluation protocol: from a table of predictions to figures.

The tables are described in `predictions`. An image without a face counts like any other, with the prediction
the model falls back to. Scores are fractions in [0, 1]; what is undefined (see `classification`) is None, in
JSON `null`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.metrics import classification as metrics
from landmarkfer.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from landmarkfer.metrics.predictions import (
    check_predictions,
    label_columns,
    predicted_confidence,
    probability_columns,
    set_columns,
)
from landmarkfer.metrics.selective import accuracy_at_coverage, area_under_risk_coverage
from landmarkfer.metrics.sets import STATED, set_scores
from landmarkfer.metrics.significance import LEVEL, RESAMPLES, bootstrap_intervals

SCORES = (
    *("accuracy", "balanced_accuracy", "macro_f1", "ece", "nll", "brier"),
    *("aurc", "accuracy_at_80", "accuracy_at_50"),
)
"""The figures of a subset that are numbers."""

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


class SetReport(_Frozen):
    """How often the sets of labels held the label, and how large they were.

    `stated` is the coverage that was asked for, `coverage` the one that was reached, `interval` its exact
    interval over images; `size` is the mean number of labels in a set, `single` the share of sets of one.
    """

    stated: float
    coverage: float
    interval: tuple[float, float]
    size: float
    single: float


class SubsetReport(_Frozen):
    """The figures over one subset of the test images.

    `intervals` holds the bootstrap interval of `accuracy`, `balanced_accuracy` and `macro_f1`. The expected
    calibration error `ece` has none: it is biased upward in a resample, so that its percentiles need not hold
    the estimate. `nll` (nats) and `brier` are scores of the probabilities, `aurc` the area under the curve of
    `abstention`, `accuracy_at_80` the accuracy over the 80 % of the images that the model is most sure of.
    `sets` is None where the model gives no sets of labels. `confusion` is `[C, C]`, true classes by predicted
    ones.
    """

    n: int
    no_face: int
    unreadable: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    ece: float
    nll: float
    brier: float
    aurc: float
    accuracy_at_80: float
    accuracy_at_50: float
    sets: SetReport | None
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
    frame = frame.sort_values("id")  # the last digits of a sum depend on the order
    subsets = {}
    for name, select in SUBSETS.items():
        rows = select(frame).fillna(False).to_numpy(dtype=bool)
        if rows.any():
            subsets[name] = _report(frame[rows], classes, bootstrap, seed)
    return Evaluation(classes=classes, bootstrap=bootstrap, seed=seed, level=LEVEL, subsets=subsets)


def _report(frame: pd.DataFrame, classes: Sequence[str], bootstrap: int, seed: int) -> SubsetReport:
    labels = label_columns(frame, classes)
    predicted = pd.Categorical(frame["predicted"], categories=list(classes)).codes.astype(np.int64)
    probabilities = frame[probability_columns(classes)].to_numpy(dtype=float)
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)  # of sum 1 to the last digit
    sureness = predicted_confidence(frame, classes), labels == predicted
    status = frame["status"]
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
        ece=expected_calibration_error(*sureness),
        nll=negative_log_likelihood(probabilities, labels),
        brier=brier_score(probabilities, labels),
        aurc=area_under_risk_coverage(*sureness),
        accuracy_at_80=accuracy_at_coverage(*sureness, 0.8),
        accuracy_at_50=accuracy_at_coverage(*sureness, 0.5),
        sets=_set_report(frame, labels, classes),
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


def _set_report(frame: pd.DataFrame, labels: NDArray[np.int64], classes: Sequence[str]) -> SetReport | None:
    columns = set_columns(classes)
    if not set(columns) <= set(frame):
        return None
    scores = set_scores(frame[columns].to_numpy(dtype=bool), labels)
    return SetReport(
        stated=STATED,
        coverage=scores.coverage,
        interval=(scores.low, scores.high),
        size=scores.size,
        single=scores.single,
    )


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _interval(ends: NDArray[np.float64]) -> Interval:
    return _defined(ends[0]), _defined(ends[1])


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object)
