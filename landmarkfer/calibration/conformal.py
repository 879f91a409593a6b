"""Prediction sets that contain the true label at a stated rate: split conformal prediction.

A class is in the set of an image if its probability reaches a threshold. The threshold is a quantile of the
probabilities of the true labels of the calibration images, with a correction for their finite number. Images
of the same distribution then have their label in their set at least at the stated rate, on average over draws
of both, however wrong the probabilities are. Among all such sets, these are the smallest where the
probabilities are correct (least ambiguous set-valued
classifiers, Sadinle, Lei and Wasserman 2019, https://arxiv.org/abs/1609.00451; their score is 1 - p).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERCENTS = np.arange(1, 100)
"""The coverages of the thresholds, in percent."""


def find_thresholds(given: ArrayLike) -> NDArray[np.float32]:
    """The least probability of a class in the set, for each coverage of `PERCENTS`, `[99]`.

    Args:
        given: `[n]`, the predicted probability of each calibration image's label.

    Returns:
        The k-th highest of `given`, with k = coverage * (n + 1) rounded up; 0, for sets of all
        classes, where n is too few for the coverage.
    """
    falling = np.sort(np.asarray(given, float))[::-1]
    rank = -(-PERCENTS * (len(falling) + 1) // 100)  # upward, and in whole numbers exact
    found = np.append(falling, 0.0)[np.minimum(rank - 1, len(falling))].astype(np.float32)
    # Downward, so that a probability equal to the threshold is in the set.
    return np.nextafter(found, np.float32(0))


def threshold_for(thresholds: ArrayLike, coverage: float) -> float:
    """The threshold for a stated coverage, of the thresholds `[99]`.

    Raises:
        ValueError: The coverage is not a whole percent from 1 % to 99 %.
    """
    percent = round(100 * coverage)
    if not 1 <= percent <= 99 or abs(100 * coverage - percent) > 1e-6:
        raise ValueError(f"a coverage is a whole percent from 0.01 to 0.99, got {coverage:g}")
    return float(np.asarray(thresholds)[percent - 1])


def label_sets(probabilities: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Prediction sets, bool `[N, C]`; the most probable class is always in.

    Args:
        probabilities: `[N, C]`.
        threshold: Least probability of a class in the set.
    """
    probabilities = np.asarray(probabilities)
    sets = probabilities >= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
