"""Sets of labels that hold the true one as often as stated: split conformal prediction.

A label is in the set of an image if its probability reaches a threshold. The threshold is the one that the
labels of a share of calibration images reach, where that share is the stated coverage with a correction for
their finite number. Images that come from where the calibration images come from then have their label in
their set at least as often as stated, on average over draws of both, however wrong the probabilities are.
Among all such sets, these are the smallest where the probabilities are right (least ambiguous set-valued
classifiers, Sadinle, Lei and Wasserman 2019, https://arxiv.org/abs/1609.00451; their score is 1 - p).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERCENTS = np.arange(1, 100)
"""The coverages that there are thresholds for, in percent."""


def find_thresholds(given: ArrayLike) -> NDArray[np.float32]:
    """The least probability of a label that is in the set, for each coverage of `PERCENTS`, `[99]`.

    Args:
        given: `[n]`, the probability that each calibration image's label got.

    Returns:
        The k-th highest of `given`, with k = coverage * (n + 1) rounded up; 0, so that every label is in,
        where n is too few for the coverage.
    """
    falling = np.sort(np.asarray(given, float))[::-1]
    rank = -(-PERCENTS * (len(falling) + 1) // 100)  # upward, and in whole numbers exact
    found = np.append(falling, 0.0)[np.minimum(rank - 1, len(falling))].astype(np.float32)
    # Downward, so that what stands at the threshold stays in.
    return np.nextafter(found, np.float32(0))


def threshold_for(thresholds: ArrayLike, coverage: float) -> float:
    """Of the thresholds `[99]`, that for a stated coverage.

    Raises:
        ValueError: The coverage is not a whole percent from 1 % to 99 %.
    """
    percent = round(100 * coverage)
    if not 1 <= percent <= 99 or abs(100 * coverage - percent) > 1e-6:
        raise ValueError(f"a coverage is a whole percent from 0.01 to 0.99, got {coverage:g}")
    return float(np.asarray(thresholds)[percent - 1])


def label_sets(probabilities: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Which labels are in the set of each image, `[N, C]`; the most probable one always is.

    Args:
        probabilities: `[N, C]`.
        threshold: Least probability of a label that is in.
    """
    probabilities = np.asarray(probabilities)
    sets = probabilities >= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets
