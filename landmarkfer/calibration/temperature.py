"""Temperature scaling: one number that makes a model's confidence as high as its accuracy.

Networks are often overconfident, and label smoothing, mixing and test-time augmentation make them
underconfident. The power 1 / T of every probability, renormalised, corrects most of either. The order of the
classes stays as it is, and so does accuracy (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from landmarkfer.calibration.weights import each_weight, effective_size

BOUNDS = (0.1, 10.0)
LEAST_IMAGES = 50
"""Fewer images do not determine a temperature."""
TINY = np.finfo(float).tiny


def temper(probabilities: ArrayLike, temperature: ArrayLike) -> NDArray[np.float64]:
    """Scale probabilities `[N, C]` by a temperature, one for all or `[N]`; `1 / temperature` undoes it.

    Of the softmax of logits, this is the softmax of logits / T.
    """
    with np.errstate(divide="ignore"):  # a probability of zero stays zero
        return softmax(np.log(np.asarray(probabilities, float)) / np.reshape(temperature, (-1, 1)), axis=1)


def find_temperature(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The temperature of a network's probabilities, within `BOUNDS`, of the lowest log-loss.

    Args:
        probabilities: `[n, C]`, of images that the model was not trained on.
        labels: int `[n]`, below C.
        weights: `[n]`, see `calibration.weights`.

    Returns:
        The temperature, to four decimals. It is 1 for fewer than `LEAST_IMAGES` images or a single class, and
        not below 1 where every prediction is correct: no error then bounds the confidence.
    """
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    each = each_weight(weights, len(labels))
    if effective_size(each) < LEAST_IMAGES or len(np.unique(labels)) < 2:
        return 1.0
    perfect = bool((probabilities.argmax(axis=1) == labels).all())
    bounds = (1.0 if perfect else BOUNDS[0], BOUNDS[1])
    return round(fit_temperature(np.log(np.maximum(probabilities, TINY)), labels, bounds, each), 4)


def fit_temperature(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    bounds: tuple[float, float],
    weights: ArrayLike | None = None,
) -> float:
    """The temperature T at which `softmax(logits / T)` has the lowest log-loss.

    Args:
        logits: `[n, C]`; log probabilities, or scores that a softmax makes probabilities of.
        labels: int `[n]`, below C.
        bounds: The lowest and the highest temperature.
        weights: `[n]`, see `calibration.weights`.
    """
    rows = np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        return -float(
            np.average(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels], weights=weights)
        )

    # The log-loss is convex in 1 / T, so it has one minimum in log T.
    return float(np.exp(minimize_scalar(log_loss, bounds=np.log(bounds), method="bounded").x))
