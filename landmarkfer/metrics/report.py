"""The evaluation protocol: from predictions to figures.

An image without a face counts like any other, with the prediction that the model falls back to. Scores are
fractions in [0, 1]; what is undefined (see `classification`) is None, in JSON `null`.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.metrics import classification as metrics
from landmarkfer.metrics.bootstrap import LEVEL, RESAMPLES
from landmarkfer.metrics.calibration import brier_score, expected_calibration_error, negative_log_likelihood
from landmarkfer.metrics.class_calibration import (
    ClassCalibration,
    class_calibration,
    classwise_calibration_error,
)
from landmarkfer.metrics.few import averages_remark
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.intervals import confusion_intervals
from landmarkfer.metrics.predictions import Predictions, check_labelled
from landmarkfer.metrics.selective import accuracy_at_coverage, area_under_risk_coverage
from landmarkfer.metrics.sets import STATED, set_scores
from landmarkfer.metrics.slices import Slice, SmallSlices

SCORES = (
    *("accuracy", "balanced_accuracy", "macro_f1", "ece", "nll", "brier"),
    *("aurc", "accuracy_at_80", "accuracy_at_50"),
)
"""The figures of a subset that are numbers."""

Interval = tuple[float | None, float | None]

# Reported in this order, the caches of several after the detected images; one that selects no image is left
# out.
SUBSETS: dict[str, Callable[[Predictions], NDArray[np.bool_]]] = {
    "test": lambda predictions: np.ones(len(predictions), bool),
    "test_detected": lambda predictions: predictions.found,
    "public": lambda predictions: _where(predictions.subset, "public"),
    "private": lambda predictions: _where(predictions.subset, "private"),
    "clean": lambda predictions: _where(predictions.clean, True),
    "clean_near": lambda predictions: _where(predictions.clean_near, True),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassScores(_Frozen):
    """Scores of one class, with intervals (`metrics.intervals`) by the name of the score."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    intervals: dict[str, Interval]


class SetReport(_Frozen):
    """Coverage and size of the prediction sets.

    `stated` is the nominal coverage, `coverage` the empirical one, `interval` its interval, over images or
    groups as that of accuracy; `size` is the mean number of classes in a set, `single` the share of sets of
    one class.
    """

    stated: float
    coverage: float
    interval: tuple[float, float]
    size: float
    single: float


class SubsetReport(_Frozen):
    """The figures over one subset of the test images.

    `intervals` holds those of `accuracy`, `balanced_accuracy` and `macro_f1` (`metrics.intervals`): over
    images, or, where these belong to people or sequences, over `groups` of them. The expected calibration
    error `ece` has none: it is biased upward in a resample, so that its percentiles need not hold the
    estimate. `nll`
    (nats) and `brier` are scores of the probabilities, `aurc` the area under the risk-coverage curve
    (`selective`), `accuracy_at_80` the accuracy at 80 % coverage. `sets` is None where the model gives no
    prediction sets. `confusion` is `[C, C]`, true classes by predicted ones. `calibration` is that of each
    class, and `classwise_ece` the mean of their calibration errors; evaluations of version 0.1 lack both.
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
    groups: int | None = None
    classwise_ece: float | None = None
    calibration: dict[str, ClassCalibration] = {}

    def lowest_recall(self) -> tuple[str, float]:
        """The class of the lowest recall among those that occur, and its recall."""
        recalls = {name: s.recall for name, s in self.per_class.items() if s.recall is not None}
        name = min(recalls, key=lambda n: recalls[n])
        return name, recalls[name]

    def averages_remark(self) -> str | None:
        """What balanced accuracy and macro-F1 rest on, where a class has few images; else None."""
        images = {name: scores.support for name, scores in self.per_class.items()}
        predicted = np.sum(self.confusion, axis=0).tolist()
        return averages_remark(images, dict(zip(self.per_class, predicted, strict=True)))


def shifted_figures(report: SubsetReport) -> dict[str, float]:
    """The figures that say how far the predictions of other data can be believed beside those of the own."""
    names = ("accuracy", "balanced_accuracy", "nll", "ece", "classwise_ece")
    found = {name: getattr(report, name) for name in names if getattr(report, name) is not None}
    return found if report.sets is None else found | {"coverage": report.sets.coverage}


class OtherData(_Frozen):
    """What of another cache than the run's own was predicted, and what the figures are not over.

    Of the `images` that were predicted, `no_face` have no face and `unreadable` could not be read;
    `predicted` counts the predicted classes. Left out of the figures are `unlabelled` images, without a label
    or with one that is no class, and those of `left_out`, by label, whose label is no class of the model.
    `trained_on` images are pixel-identical to one that trained or validated the run, and are no test of it.
    `absent` are the classes of the model of which there is no image. `own` are the `shifted_figures` of the
    run's own test images, where these were evaluated, and `shares` how frequent each class is in training and
    among the labels here.
    """

    cache: str
    images: int
    no_face: int
    unreadable: int
    predicted: dict[str, int]
    unlabelled: int
    left_out: dict[str, int]
    absent: list[str]
    trained_on: int = 0
    own: dict[str, float] = {}
    shares: dict[str, tuple[float, float]] = {}


class Evaluation(_Frozen):
    """Everything `evaluate_predictions` found; `metrics.json` is this model, written out.

    There are no `subsets` where no image has a label. `prior` is the one predicted under, if not that of
    training. `shared_sets` are classes of too few validation images, for which prediction sets hold their
    coverage together and not each. `other_data` is of evaluations on another cache. `warnings` are sentences
    of `metrics.collapse` on all test images, and those of the run's training. `slices` are the test images by
    the strongest confounds of the cache, where it was available, and `small_slices` what they leave out.
    """

    classes: list[str]
    bootstrap: int
    seed: int
    level: float
    subsets: dict[str, SubsetReport]
    other_data: OtherData | None = None
    shared_sets: list[str] = []
    prior: dict[str, float] | str | None = None
    warnings: list[str] = []
    slices: list[Slice] = []
    small_slices: list[SmallSlices] = []

    def __repr__(self) -> str:
        """A row for each subset, scores in percent."""
        headings = ("images", "accuracy", "balanced", "macro-F1", "ECE")
        lines = [f"Evaluation over {len(self.classes)} classes: {', '.join(self.classes)}"]
        lines.append(f"{'subset':14}" + "".join(f"{heading:>10}" for heading in headings))
        for name, report in self.subsets.items():
            scores = (report.accuracy, report.balanced_accuracy, report.macro_f1, report.ece)
            lines.append(f"{name:14}{report.n:>10,}" + "".join(f"{100 * score:>10.2f}" for score in scores))
        if self.other_data is not None and not self.subsets:
            counts = ", ".join(f"{name} {count:,}" for name, count in self.other_data.predicted.items())
            lines[1:] = [
                f"no labels, so no figures; predicted of {self.other_data.images:,} images: {counts}"
            ]
        return "\n".join([*lines, *(f"Warning: {sentence}" for sentence in self.warnings)])

    __str__ = __repr__


def evaluate_predictions(
    predictions: Predictions, *, bootstrap: int = RESAMPLES, seed: int = 0
) -> Evaluation:
    """All figures of the protocol, on each subset of which there are images.

    Args:
        predictions: On labelled images.
        bootstrap: Number of resamples for the 95 % intervals of the averages over classes.
        seed: Seed of the resampling.

    Raises:
        RunError: There is no image, or one without a label.
    """
    check_labelled(predictions)
    # In one order, since the last digits of a sum depend on it.
    ordered = predictions.rows(np.argsort(predictions.ids))
    caches = [] if ordered.caches is None else sorted(set(ordered.caches) - {None})
    of_cache = {cache_subset(name): _where(ordered.caches, name) for name in caches}
    known = {name: select(ordered) for name, select in SUBSETS.items()} | of_cache
    chosen = {name: known[name] for name in dict.fromkeys(["test", "test_detected", *of_cache, *known])}
    return Evaluation(
        classes=list(predictions.classes),
        bootstrap=bootstrap,
        seed=seed,
        level=LEVEL,
        subsets={
            name: _report(ordered.rows(rows), bootstrap, seed) for name, rows in chosen.items() if rows.any()
        },
    )


def cache_subset(name: str) -> str:
    """The subset of the images of one of several caches: its name, unless another subset has that."""
    return f"cache {name}" if name in SUBSETS else name


def _where(values: NDArray[np.object_] | None, wanted: object) -> NDArray[np.bool_]:
    """Which images have a value; none if it is not known of any."""
    return np.zeros(0, bool) if values is None else np.asarray(values == wanted, bool)


def _report(predictions: Predictions, bootstrap: int, seed: int) -> SubsetReport:
    labels, predicted = predictions.labels, predictions.predicted
    given = predictions.probabilities
    probabilities = given / given.sum(axis=1, keepdims=True)  # of sum 1 to the last digit
    answers = predictions.confidence, predictions.correct
    indices = range(len(predictions.classes))
    counts = metrics.confusion(labels, predicted, indices)
    scores = metrics.per_class(labels, predicted, indices)
    groups = group_numbers(predictions.groups)
    drawn = counts
    if groups is not None:
        drawn = np.zeros((groups.max() + 1, *counts.shape), np.int64)
        np.add.at(drawn, (groups, labels, predicted), 1)
    intervals = confusion_intervals(drawn, resamples=bootstrap, seed=seed)
    by_class = class_calibration(predictions, groups)
    return SubsetReport(
        n=len(labels),
        no_face=int(np.sum(predictions.status == "no_face")),
        unreadable=int(np.sum(predictions.status == "unreadable")),
        accuracy=metrics.accuracy(labels, predicted),
        balanced_accuracy=metrics.balanced_accuracy(labels, predicted, indices),
        macro_f1=metrics.macro_f1(labels, predicted, indices),
        ece=expected_calibration_error(*answers),
        nll=negative_log_likelihood(probabilities, labels),
        brier=brier_score(probabilities, labels),
        aurc=area_under_risk_coverage(*answers),
        accuracy_at_80=accuracy_at_coverage(*answers, 0.8),
        accuracy_at_50=accuracy_at_coverage(*answers, 0.5),
        sets=_set_report(predictions, groups),
        intervals={k: _interval(intervals[k]) for k in ("accuracy", "balanced_accuracy", "macro_f1")},
        per_class={
            name: ClassScores(
                precision=_defined(scores.precision[i]),
                recall=_defined(scores.recall[i]),
                f1=_defined(scores.f1[i]),
                support=int(scores.support[i]),
                intervals={k: _interval(intervals[k][i]) for k in ("precision", "recall", "f1")},
            )
            for i, name in enumerate(predictions.classes)
        },
        confusion=counts.tolist(),
        groups=None if groups is None else len(drawn),
        classwise_ece=classwise_calibration_error(by_class),
        calibration=by_class,
    )


def _set_report(predictions: Predictions, groups: NDArray[np.int64] | None) -> SetReport | None:
    if predictions.sets is None:
        return None
    scores = set_scores(predictions.sets, predictions.labels, groups)
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
