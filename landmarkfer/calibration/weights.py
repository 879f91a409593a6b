"""Weights of images, by which a fit to some images is one to images of another mix of data sets.

All functions of this package that take weights count an image as so many; None counts each once.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def effective_size(weights: ArrayLike) -> float:
    """How many images of equal weight determine a mean as well (Kish 1965): their number if all are equal."""
    w = np.asarray(weights, float)
    total = float(np.square(w).sum())
    return float(w.sum()) ** 2 / total if total else 0.0


def each_weight(weights: ArrayLike | None, count: int) -> Floats:
    """Weights `[n]` that sum to their effective size; ones if None.

    So a penalty beside a weighted sum has the strength that it has beside so many images.
    """
    if weights is None:
        return np.ones(count)
    w = np.asarray(weights, float)
    return w * (effective_size(w) / w.sum()) if w.sum() else w
