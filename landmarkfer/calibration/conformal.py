"""Prediction sets that contain the true label at a stated rate: split conformal prediction.

A class is in the set of an image if its probability reaches a threshold. The threshold is a quantile of the
probabilities of the true labels of the calibration images, with a correction for their finite number. Images
of the same distribution then have their label in their set at least at the stated rate, on average over draws
of both, however wrong the probabilities are. Among all such sets, these are the smallest where the
probabilities are correct (least ambiguous set-valued
classifiers, Sadinle, Lei and Wasserman 2019, https://arxiv.org/abs/1609.00451; their score is 1 - p).

With one threshold for all classes, common classes are covered more often than stated and rare ones less.
`class_thresholds` gives each class one of its own, from its own images (class-conditional, or Mondrian,
conformal prediction); classes of too few images share one, from the images of all of them (a cluster, Ding et
al. 2023, https://arxiv.org/abs/2306.09335), so that it holds for these classes together and not for each.

Where the images to come are another mix of data sets than the calibration images, these are weighted, and the
quantile is that of the weighted images (Tibshirani et al. 2019, https://arxiv.org/abs/1904.06019), with the
largest weight for the image to come.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.calibration.weights import effective_size

PERCENTS = np.arange(1, 100)
"""The coverages of the thresholds, in percent."""
LEAST_IMAGES = 20
"""Of a class that has a threshold of its own: the coverage of fewer varies by more than seven points (SD)."""


def find_thresholds(given: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float32]:
    """The least probability of a class in the set, for each coverage of `PERCENTS`, `[99]`.

    Args:
        given: `[n]`, the predicted probability of each calibration image's label.
        weights: `[n]`, see `calibration.weights`.

    Returns:
        The k-th highest of `given`, with k = coverage * (n + 1) rounded up; 0, for sets of all
        classes, where n is too few for the coverage.
    """
    falling = np.sort(np.asarray(given, float))[::-1]
    if weights is None:
        rank = -(-PERCENTS * (len(falling) + 1) // 100)  # upward, and in whole numbers exact
    else:
        w = np.asarray(weights, float)
        reached = np.cumsum(w[np.argsort(np.asarray(given, float))[::-1]])
        needed = PERCENTS / 100 * (w.sum() + w.max(initial=0.0))
        rank = 1 + np.searchsorted(reached, needed * (1 - 1e-12))
    found = np.append(falling, 0.0)[np.minimum(rank - 1, len(falling))].astype(np.float32)
    # Downward, so that a probability equal to the threshold is in the set.
    return np.nextafter(found, np.float32(0))


def class_thresholds(
    given: ArrayLike, labels: ArrayLike, classes: int, weights: ArrayLike | None = None
) -> NDArray[np.float32]:
    """The least probability of each class in the set, for each coverage of `PERCENTS`, `[99, C]`.

    Args:
        given: `[n]`, the predicted probability of each calibration image's label.
        labels: int `[n]`, below C.
        classes: C.
        weights: `[n]`, see `calibration.weights`; the images of a class are then as many as determine a mean
            of equal weights as well.

    Returns:
        For each coverage, thresholds as of `find_thresholds` from the images of each cluster of
        `class_clusters`. All images together have 0 where they are too few.
    """
    given, labels = np.asarray(given, float), np.asarray(labels)
    w = None if weights is None else np.asarray(weights, float)
    counts: NDArray[np.int64] | list[float] = np.bincount(labels, minlength=classes)
    if w is not None:
        counts = [effective_size(w[labels == number]) for number in range(classes)]
    known: dict[tuple[int, ...], NDArray[np.float32]] = {}
    found = np.empty((len(PERCENTS), classes), np.float32)
    for row, percent in enumerate(PERCENTS.tolist()):
        for cluster in class_clusters(counts, percent / 100):
            if cluster not in known:
                inside = np.isin(labels, cluster)
                known[cluster] = find_thresholds(given[inside], None if w is None else w[inside])
            found[row, list(cluster)] = known[cluster][row]
    return found


def class_clusters(counts: ArrayLike, coverage: float) -> list[tuple[int, ...]]:
    """Which classes have a threshold of their own for a coverage, and which share one.

    A class has its own from `LEAST_IMAGES` on, and from as many as the coverage needs: 99 for 99 %. The
    others share one; where all their images are still too few, the class with the fewest images among the
    rest joins them.

    Args:
        counts: `[C]`, calibration images of each class.
        coverage: From 0.01 to 0.99.

    Returns:
        The clusters, each a tuple of class numbers; together they hold every class once.
    """
    counts = np.asarray(counts)
    percent = round(100 * coverage)
    least = max(LEAST_IMAGES, -(-percent // (100 - percent)))
    rising = np.argsort(counts, kind="stable").tolist()
    shared = [c for c in rising if counts[c] < least]
    alone = rising[len(shared) :]
    while shared and alone and counts[shared].sum() < least:
        shared.append(alone.pop(0))
    return ([tuple(sorted(shared))] if shared else []) + [(c,) for c in sorted(alone)]


def threshold_for(thresholds: ArrayLike, coverage: float) -> NDArray[np.float32]:
    """The thresholds for a stated coverage: `[C]` of `[99, C]`, or a scalar of `[99]`.

    Raises:
        ValueError: The coverage is not a whole percent from 1 % to 99 %.
    """
    percent = round(100 * coverage)
    if not 1 <= percent <= 99 or abs(100 * coverage - percent) > 1e-6:
        raise ValueError(f"a coverage is a whole percent from 0.01 to 0.99, got {coverage:g}")
    return np.asarray(thresholds, np.float32)[percent - 1]


def label_sets(
    probabilities: ArrayLike, threshold: ArrayLike, predicted: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Prediction sets, bool `[N, C]`; the predicted class is always in.

    Args:
        probabilities: `[N, C]`.
        threshold: Least probability of a class in the set, for all classes or `[C]`.
        predicted: int `[N]`; the most probable classes if None.
    """
    probabilities = np.asarray(probabilities)
    sets = probabilities >= np.asarray(threshold)
    chosen = probabilities.argmax(axis=1) if predicted is None else np.asarray(predicted)
    sets[np.arange(len(sets)), chosen] = True
    return sets
