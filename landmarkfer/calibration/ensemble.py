"""How much each member of an ensemble counts, found on validation images and nowhere else."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from landmarkfer.metrics.predictions import check_same_images, label_columns, probability_columns

_LEAST = 1e-9


def find_weights(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> NDArray[np.float64]:
    """Shares of a weighted mean of probabilities that make the labels most likely.

    The likelihood is concave in the shares, so there is one best mixture; it is found by sequential quadratic
    programming from equal shares.

    Args:
        tables: Prediction tables of the members, M of them, on the same validation images.
        classes: All classes.

    Returns:
        `[M]`, not negative, of sum 1.

    Raises:
        RunError: The tables are about different images or classes.
    """
    aligned = check_same_images(tables)
    labels = label_columns(aligned[0], classes)
    columns = probability_columns(classes)
    rows = np.arange(len(labels))
    # [N, M], what each member gave to the label.
    given = np.stack([table[columns].to_numpy(dtype=float)[rows, labels] for table in aligned], axis=1)

    def loss(shares: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        mixed = np.maximum(given @ shares, _LEAST)
        return float(-np.log(mixed).mean()), -(given / mixed[:, None]).mean(axis=0)

    members = len(tables)
    found = minimize(
        loss,
        np.full(members, 1 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like},
    )
    shares = np.clip(found.x, 0, 1)
    return shares / shares.sum()
