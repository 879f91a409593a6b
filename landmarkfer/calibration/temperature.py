"""One number that makes a network's probabilities as sure as they are right: its temperature.

Networks are often too sure of themselves, and label smoothing, mixing and averages over views make them too
unsure. The power 1 / T of every probability, renormalised, mends most of either, and the order of the
classes stays as it is, so that accuracy does too (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BOUNDS = (0.1, 10.0)
LEAST_IMAGES = 50
"""Fewer say too little of how sure is too sure."""
_TINY = np.finfo(float).tiny


def temper(probabilities: ArrayLike, temperature: ArrayLike) -> NDArray[np.float64]:
    """Probabilities `[N, C]` at a temperature, one for all or `[N]`; at `1 / temperature` they are undone.

    Of the softmax of logits, this is the softmax of logits / T.
    """
    with np.errstate(divide="ignore"):  # what is impossible stays so
        return softmax(np.log(np.asarray(probabilities, float)) / np.reshape(temperature, (-1, 1)), axis=1)


def find_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The temperature, within `BOUNDS`, that makes the labels most likely.

    Args:
        probabilities: `[n, C]`, of images that the model was not trained on.
        labels: int `[n]`, below C.

    Returns:
        The temperature, to four decimals. It is 1 for fewer than `LEAST_IMAGES` images or a single class, and
        not below 1 where every image is told rightly: no error then says how sure is too sure.
    """
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    if len(labels) < LEAST_IMAGES or len(np.unique(labels)) < 2:
        return 1.0
    log_p = np.log(np.maximum(probabilities, _TINY))
    number = np.arange(len(labels))

    def surprise(log_temperature: float) -> float:
        return -float(log_softmax(log_p / np.exp(log_temperature), axis=1)[number, labels].mean())

    perfect = bool((probabilities.argmax(axis=1) == labels).all())
    bounds = np.log((1.0 if perfect else BOUNDS[0], BOUNDS[1]))
    return round(float(np.exp(minimize_scalar(surprise, bounds=bounds, method="bounded").x)), 4)
