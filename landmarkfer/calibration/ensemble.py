"""The weight of each member of an ensemble, fitted on validation images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from landmarkfer.metrics.combine import align_predictions
from landmarkfer.metrics.predictions import Predictions

_LEAST = 1e-9


def find_weights(members: Sequence[Predictions]) -> NDArray[np.float64]:
    """Weights of a mean of probabilities with the lowest log-loss.

    The log-loss is convex in the weights, so there is one best mixture; it is found by sequential quadratic
    programming from equal weights.

    Args:
        members: Predictions of M models on the same labelled validation images.

    Returns:
        `[M]`, not negative, of sum 1.

    Raises:
        RunError: The members differ in images or classes.
    """
    aligned = align_predictions(members)
    labels = aligned[0].labels
    rows = np.arange(len(labels))
    # [N, M], each member's probability of the label.
    given = np.stack([one.probabilities[rows, labels] for one in aligned], axis=1)

    def loss(shares: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mixed = np.maximum(given @ shares, _LEAST)
        return float(-np.log(mixed).mean()), -(given / mixed[:, None]).mean(axis=0)

    count = len(members)
    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like},
    )
    shares = np.clip(found.x, 0, 1)
    return shares / shares.sum()
