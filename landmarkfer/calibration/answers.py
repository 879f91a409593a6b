"""When to abstain: the least confidence at which a model's answers have a wanted accuracy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.calibration.conformal import PERCENTS

NEVER = 2.0
"""The threshold of an accuracy that was not reached: no confidence is as high."""


def answer_thresholds(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float32]:
    """The least confidence of an answer, for each accuracy of `PERCENTS`, `[99]`.

    Args:
        confidence: `[n]`, the highest probability of each image that the model was not trained on.
        correct: bool `[n]`, whether the most probable class is its label.
        weights: `[n]`, see `calibration.weights`.

    Returns:
        The lowest confidence above which at least the accuracy's share of the images is correct; `NEVER`
        where there is none. Images of equal confidence stay together.
    """
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    falling, right = np.asarray(confidence, float)[order], np.asarray(correct, bool)[order]
    each = (np.ones(len(order)) if weights is None else np.asarray(weights, float))[order]
    accuracy = np.cumsum(each * right) / np.cumsum(each)
    last = np.append(falling[1:] < falling[:-1], True) if len(falling) else np.empty(0, bool)
    found = np.full(len(PERCENTS), NEVER, np.float32)
    for number, percent in enumerate(PERCENTS):
        reached = np.flatnonzero(last & (accuracy >= percent / 100))
        if len(reached):
            # Downward, so that a confidence equal to the threshold is an answer.
            found[number] = np.nextafter(np.float32(falling[reached[-1]]), np.float32(0))
    return found
