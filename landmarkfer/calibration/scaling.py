"""Maps from a model's log probabilities to calibrated ones, the kind chosen by likelihood on held-out folds.

Every map is p = softmax(W l + b) of the log probabilities l `[C]`. There are four kinds, from the simplest:

- `temperature`: W = I / T, b = 0 (Guo et al. 2017, https://arxiv.org/abs/1706.04599);
- `bias`: W = I / T, and b (bias-corrected temperature scaling, Alexandari et al. 2020,
  https://arxiv.org/abs/1901.06852), which also corrects the frequencies of the classes;
- `vector`: a diagonal W, and b (Guo et al. 2017);
- `dirichlet`: any W, and b (Kull et al. 2019, https://arxiv.org/abs/1910.12656).

What a kind adds to the one before is penalised, as by a normal prior around it: a class with few images, or
none, stays near what the simpler kind says of it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from landmarkfer.calibration.temperature import LEAST_IMAGES, TINY, find_temperature
from landmarkfer.calibration.weights import each_weight, effective_size

Floats = NDArray[np.float64]
Kind = Literal["temperature", "bias", "vector", "dirichlet"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BIAS_SD, DIAGONAL_SD, OTHER_SD = 1.0, 0.3, 0.1
"""SDs of the normal priors: of b, of the diagonal of W around 1 / T, and of the rest of W around 0."""
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Scaling:
    """A map from log probabilities to calibrated probabilities.

    Attributes:
        kind: See the top of this module; `none` leaves probabilities as they are, `weights` undoes class
            weights alone (`fitted`), and of a `stored` map it is not known.
        matrix: W, `[C, C]`.
        bias: b, `[C]`.
    """

    kind: Kind | Literal["none", "weights", "stored"]
    matrix: Floats
    bias: Floats

    @classmethod
    def identity(cls, classes: int) -> "Scaling":
        """The map that changes nothing, of C classes."""
        return cls("none", np.eye(classes), np.zeros(classes))

    @classmethod
    def of_temperature(cls, temperature: float, classes: int) -> "Scaling":
        """Division of the log probabilities of C classes by a temperature."""
        return cls("temperature", np.eye(classes) / temperature, np.zeros(classes))

    def __call__(self, probabilities: ArrayLike) -> Floats:
        """Calibrated probabilities `[N, C]` from probabilities `[N, C]`."""
        return softmax(log_of(probabilities) @ self.matrix.T + self.bias, axis=1)


def log_of(probabilities: ArrayLike) -> Floats:
    """Logarithms of probabilities; of 0, that of the least positive number."""
    return np.log(np.maximum(np.asarray(probabilities, float), TINY))


def choose_scaling(
    probabilities: ArrayLike,
    labels: ArrayLike,
    folds: NDArray[np.int64],
    kinds: tuple[Kind, ...] = KINDS,
    weights: ArrayLike | None = None,
) -> tuple[Scaling, Floats]:
    """The scaling of the kind that makes held-out labels most likely, fitted to all images.

    Each kind is fitted to all folds but one and scored on that one. A kind is preferred to simpler ones only
    where the log-loss that it saves is above its standard error.

    Args:
        probabilities: `[n, C]`, of images that the model was not trained on.
        labels: int `[n]`, below C.
        folds: int `[n]`, the fold of each image; images of a group share one.
        kinds: Those to choose from, the simplest first.
        weights: `[n]`, see `calibration.weights`.

    Returns:
        The scaling, and the calibrated probabilities `[n, C]` of each image by a map of that kind that was
        fitted without its fold. Fewer than `LEAST_IMAGES` images, or images of one class, determine none.
    """
    p, y = np.asarray(probabilities, float), np.asarray(labels)
    w = each_weight(weights, len(y))
    size = effective_size(w)
    if size < LEAST_IMAGES or len(np.unique(y)) < 2:
        return Scaling.identity(p.shape[1]), p.copy()
    rows = np.arange(len(y))
    if (p.argmax(axis=1) == y).all():
        kinds = kinds[:1]  # no error bounds the confidence
    held_out = [_held_out(kind, p, y, folds, w) for kind in kinds]
    losses = [-log_of(one)[rows, y] for one in held_out]
    best = 0
    for number in range(1, len(kinds)):
        saved = losses[best] - losses[number]
        mean = np.average(saved, weights=w)
        if mean > np.sqrt(np.average((saved - mean) ** 2, weights=w) / (size - 1)):
            best = number
    return fit_scaling(kinds[best], p, y, w), held_out[best]


def _held_out(kind: Kind, p: Floats, y: NDArray[np.int64], folds: NDArray[np.int64], w: Floats) -> Floats:
    found = np.empty_like(p)
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = fit_scaling(kind, p[~held], y[~held], w[~held])(p[held])
    return found


def fit_scaling(
    kind: Kind, probabilities: Floats, labels: NDArray[np.int64], weights: ArrayLike | None = None
) -> Scaling:
    """The scaling of one kind, by penalised likelihood.

    Args:
        kind: Which.
        probabilities: `[n, C]`, of images that the model was not trained on.
        labels: int `[n]`, below C.
        weights: `[n]`, see `calibration.weights`.
    """
    classes = probabilities.shape[1]
    w = each_weight(weights, len(labels))
    temperature = find_temperature(probabilities, labels, w)
    if kind == "temperature":
        return Scaling.of_temperature(temperature, classes)
    log_p = log_softmax(log_of(probabilities), axis=1)
    target = np.eye(classes)[labels]
    spread = _spreads(kind, classes)  # [C, C]: 0 where W is not free beside the common factor
    free = spread > 0
    precision = np.where(free, 1 / np.where(free, spread, 1) ** 2, 0.0)

    def loss(values: Floats) -> tuple[float, Floats]:
        factor, bias, extra = _unpack(values, free)
        log_q = log_softmax(log_p @ (factor * np.eye(classes) + extra).T + bias, axis=1)
        error = w[:, None] * (np.exp(log_q) - target)  # [n, C], the slope of the log-loss in the logits
        slope = error.T @ log_p  # [C, C], in W
        value = -(w * log_q[target > 0]).sum() + (bias**2).sum() / (2 * BIAS_SD**2)
        value += (precision * extra**2).sum() / 2
        parts = [np.trace(slope)], error.sum(axis=0) + bias / BIAS_SD**2, (slope + precision * extra)[free]
        return float(value), np.concatenate(parts)

    start = np.concatenate([[1 / temperature], np.zeros(classes + free.sum())])
    bounds = [(0.1, 10.0)] + [(None, None)] * (len(start) - 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    factor, bias, extra = _unpack(found.x, free)
    return Scaling(kind, factor * np.eye(classes) + extra, bias)


def _spreads(kind: Kind, classes: int) -> Floats:
    if kind == "bias":
        return np.zeros((classes, classes))
    diagonal = np.eye(classes, dtype=bool)
    return np.where(diagonal, DIAGONAL_SD, OTHER_SD if kind == "dirichlet" else 0.0)


def _unpack(values: Floats, free: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
    """Common factor, b `[C]`, and what W is beside the common factor, `[C, C]`."""
    classes = len(free)
    extra = np.zeros(free.shape)
    extra[free] = values[1 + classes :]
    return float(values[0]), values[1 : 1 + classes], extra
