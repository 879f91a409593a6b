"""Whether probabilities can be believed: calibration error, the table behind a reliability diagram, scores.

`confidence` `[N]` is the probability a model gave to the class it predicted, `correct` `[N]` whether that was
right. Bins are of equal width on (0, 1] and closed on the right; a confidence of exactly 0 is in the first.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import brier_score_loss, log_loss

BINS = 15


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
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
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
