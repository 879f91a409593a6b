"""Whether probabilities can be believed: calibration error, the table behind a reliability diagram, scores.

`confidence` `[N]` is the probability a model gave to the class it predicted, `correct` `[N]` whether that was
right. Bins are of equal width on (0, 1] and closed on the right; a confidence of exactly 0 is in the first.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import brier_score_loss, log_loss

from landmarkfer.metrics.intervals import hit_interval

BINS = 15
FEWEST = 10
"""Images of a point of a reliability diagram, at least."""


def negative_log_likelihood(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean over images of -log of the probability their label got, in nats.

    Args:
        probabilities: `[N, C]`, rows of sum 1.
        labels: int `[N]`, below C.
    """
    p = np.asarray(probabilities, float)
    return float(log_loss(labels, p, labels=np.arange(p.shape[1])))


def brier_score(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean over images of the squared distance between the probabilities and the label, 0 to 2 (Brier 1950).

    Args:
        probabilities: `[N, C]`.
        labels: int `[N]`, below C.
    """
    p = np.asarray(probabilities, float)
    return float(brier_score_loss(labels, p, labels=np.arange(p.shape[1]), scale_by_half=False))


def reliability_table(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> pd.DataFrame:
    """Count, mean confidence and accuracy of each bin.

    Returns:
        `bins` rows with `lower`, `upper` (edges), `count`, and `confidence` and `accuracy`, NaN where a bin
        is empty.

    Raises:
        ValueError: If the arrays differ in length, are empty, or a confidence is not in [0, 1].
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        raise ValueError(
            f"confidence and correct must be [N] arrays of one length N > 0, "
            f"got {confidence.shape} and {correct.shape}"
        )
    if not np.all((confidence >= 0) & (confidence <= 1)):
        raise ValueError("confidence must lie in [0, 1] and not be NaN")
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = _bins(confidence, bins)
    count = np.bincount(index, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "count": count,
            "confidence": np.bincount(index, weights=confidence, minlength=bins) / divisor,
            "accuracy": np.bincount(index, weights=correct, minlength=bins) / divisor,
        }
    )


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """Mean over images of |accuracy - confidence| of their bin (Naeini et al. 2015; Guo et al. 2017)."""
    return calibration_error(reliability_table(confidence, correct, bins))


def calibration_error(table: pd.DataFrame) -> float:
    """The expected calibration error, from a `reliability_table`."""
    gap = (table["accuracy"] - table["confidence"]).abs()
    return float((gap * table["count"]).sum() / table["count"].sum())


def reliability_points(
    confidence: ArrayLike,
    correct: ArrayLike,
    groups: NDArray[np.int64] | None = None,
    *,
    bins: int = BINS,
    fewest: int = FEWEST,
) -> pd.DataFrame:
    """The points of a reliability diagram: bins, of which small ones are joined with the next higher ones.

    Args:
        confidence: `[N]`.
        correct: Bool `[N]`.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`: intervals are then
            over groups.
        bins: Of equal width, as those of the calibration error.
        fewest: Images of a point; the last bins are joined with the point below them, and all images are one
            point where there are fewer.

    Returns:
        A row per point, by confidence: `count`, mean `confidence`, `accuracy`, and the ends `low` and `high`
        of its 95 % interval (`metrics.intervals`).

    Raises:
        ValueError: As `reliability_table`.
    """
    counts = reliability_table(confidence, correct, bins)["count"].to_numpy()
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    point, points = np.zeros(bins, int), [0]
    for number, count in enumerate(counts):
        if points[-1] >= fewest and counts[number:].sum() >= fewest:
            points.append(0)
        point[number] = len(points) - 1
        points[-1] += count
    index = _bins(confidence, bins)
    rows = []
    for number in range(len(points)):
        there = point[index] == number
        own = None if groups is None else np.unique(groups[there], return_inverse=True)[1]
        low, high = hit_interval(correct[there], own)
        rows.append(
            (int(there.sum()), confidence[there].mean(), correct[there].mean(), float(low), float(high))
        )
    return pd.DataFrame(rows, columns=["count", "confidence", "accuracy", "low", "high"])


def _bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Number `[N]` of the bin of each confidence."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
