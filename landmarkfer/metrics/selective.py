"""What is left when a model may say "not sure": error over the share of images it answers.

The images of highest confidence are answered first. `confidence` `[N]` is the probability a model gave to
the class it predicted, `correct` `[N]` whether that was right. Images of equal confidence, such as all
without usable input, are answered in no particular order: each counts as the mean of them. Confidences that
differ by rounding errors alone are equal: how a sum is rounded depends on the processor.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.metrics.classification import Floats
from landmarkfer.metrics.intervals import grouped_proportion_intervals, proportion_intervals

_DIGITS = 14
"""Decimals of a confidence that count: far coarser than rounding errors, far finer than float32."""
_STEPS = 200
"""Coverages at which intervals over groups are computed."""


def risk_over_coverage(confidence: ArrayLike, correct: ArrayLike) -> Floats:
    """Share of errors among the k most confident images, for k = 1 ... N, `[N]`.

    Raises:
        ValueError: The arrays differ in length or are empty.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(
            f"confidence and correct must be [N] arrays of one length N > 0, "
            f"got {confidence.shape} and {correct.shape}"
        )
    _, tie, count = np.unique(-confidence.round(_DIGITS), return_inverse=True, return_counts=True)
    share = np.bincount(tie, weights=~correct) / count
    return np.cumsum(np.repeat(share, count)) / np.arange(1, len(confidence) + 1)


def risk_intervals(
    confidence: ArrayLike, correct: ArrayLike, groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Intervals of the risk among the k most confident images, each by itself (`metrics.intervals`).

    Args:
        confidence: `[N]`.
        correct: Bool `[N]`.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`; None where images
            are drawn.

    Returns:
        The numbers of images k, `[K]`, from 1 to N: all of them, or, over groups, `_STEPS` at most; and the
        ends `[K, 2]`.

    Raises:
        ValueError: As `risk_over_coverage`.
    """
    risk = risk_over_coverage(confidence, correct)
    answered = np.arange(1, len(risk) + 1)
    if groups is None:
        return answered, proportion_intervals(risk * answered, answered)
    answered = np.unique(np.geomspace(1, len(risk), _STEPS).round().astype(int))
    scores = np.asarray(confidence, float).round(_DIGITS)
    _, tie, count = np.unique(-scores, return_inverse=True, return_counts=True)
    wrong = (np.bincount(tie, weights=~np.asarray(correct, bool)) / count)[tie]
    order = np.argsort(-scores, kind="stable")
    wrong, by_confidence = wrong[order], groups[order]
    size = int(groups.max()) + 1
    errors = [np.bincount(by_confidence[:k], weights=wrong[:k], minlength=size) for k in answered]
    images = [np.bincount(by_confidence[:k], minlength=size) for k in answered]
    return answered, grouped_proportion_intervals(np.transpose(errors), np.transpose(images))


def least_risk(correct: ArrayLike) -> Floats:
    """As `risk_over_coverage`, of a model that is right as often and less sure wherever it is wrong."""
    correct = np.asarray(correct, bool)
    return risk_over_coverage(correct.astype(float), correct)


def area_under_risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Mean of the risk over all coverages (AURC; Geifman and El-Yaniv 2017); lower is better."""
    return float(risk_over_coverage(confidence, correct).mean())


def accuracy_at_coverage(confidence: ArrayLike, correct: ArrayLike, coverage: float) -> float:
    """Accuracy over the share `coverage` of the images that the model is most sure of, at least one."""
    risk = risk_over_coverage(confidence, correct)
    answered = max(1, math.ceil(round(coverage * len(risk), 6)))
    return float(1 - risk[answered - 1])
