"""How much the second branch of a fused model adds to its logits, fitted on validation images."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

LARGEST_WEIGHT = 3.0


def second_branch_weight(
    first: NDArray[np.float64],
    both: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: ArrayLike | None = None,
) -> float:
    """The factor on what the second branch adds to the logits that makes the labels most likely.

    Args:
        first: Logits of the first branch, `[V, N, C]`, for each of V passes of test-time augmentation.
        both: Logits of both branches, `[V, N, C]`.
        labels: int64 `[N]`.
        weights: `[N]`, see `calibration.weights`.

    Returns:
        The factor, from 0 to `LARGEST_WEIGHT`.
    """
    number = np.arange(len(labels))

    def log_loss(weight: float) -> float:
        logits = first + weight * (both - first)
        log_p = logsumexp(logits - logsumexp(logits, axis=2, keepdims=True), axis=0) - np.log(len(logits))
        return -float(np.average(log_p[number, labels], weights=weights))

    return float(minimize_scalar(log_loss, bounds=(0.0, LARGEST_WEIGHT), method="bounded").x)
