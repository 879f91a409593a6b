"""All that is fitted to a model's validation images so that its probabilities can be believed.

What training weighted is undone first. A network that was trained with the weight w_c of class c learns
probabilities proportional to w_c p_c, and so does one that saw the class w_c times as often, or whose logits
were offset by log w_c. Its most probable class is then what the weights asked for, and its probabilities are
wrong by a known factor, which one temperature cannot undo. So the label stays the most probable class of what
the model gives (`uncalibrated`), and the probabilities are divided by w_c, scaled (`scaling`), and given.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from landmarkfer.calibration.answers import answer_thresholds
from landmarkfer.calibration.conformal import PERCENTS, class_thresholds
from landmarkfer.calibration.scaling import Floats, Scaling, choose_scaling, log_of
from landmarkfer.calibration.temperature import LEAST_IMAGES


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns a model's uncalibrated probabilities into calibrated ones and prediction sets, of C classes.

    Attributes:
        scaling: From uncalibrated to calibrated probabilities.
        set_thresholds: float32 `[99, C]`, see `conformal.class_thresholds`; None where none were fitted.
        answer_thresholds: float32 `[99]`, see `answers`; None of fewer than `LEAST_IMAGES` faces.
    """

    scaling: Scaling
    set_thresholds: NDArray[np.float32] | None = None
    answer_thresholds: NDArray[np.float32] | None = None

    @classmethod
    def none(cls, classes: int) -> "Calibration":
        """That of a model that is not calibrated."""
        return cls(Scaling.identity(classes))

    @classmethod
    def of_arrays(
        cls, matrix: ArrayLike, bias: ArrayLike, set_thresholds: ArrayLike, answers: ArrayLike
    ) -> "Calibration":
        """The calibration that `arrays` gave."""
        w, b = np.asarray(matrix, float), np.asarray(bias, float)
        sets, answer = np.asarray(set_thresholds, np.float32), np.asarray(answers, np.float32)
        return cls(Scaling("stored", w, b), sets if sets.any() else None, answer if answer.any() else None)

    def arrays(self) -> tuple[NDArray[np.floating], ...]:
        """W, b, and the thresholds, zeros where there are none, as they are stored."""
        classes = len(self.scaling.bias)
        sets, answers = self.set_thresholds, self.answer_thresholds
        return (
            self.scaling.matrix,
            self.scaling.bias,
            np.zeros((len(PERCENTS), classes), np.float32) if sets is None else sets,
            np.zeros(len(PERCENTS), np.float32) if answers is None else answers,
        )

    def calibrated(self, uncalibrated: ArrayLike, usable: ArrayLike) -> Floats:
        """Calibrated probabilities `[N, C]`.

        Args:
            uncalibrated: `[N, C]`, as the model gives them.
            usable: bool `[N]`; without usable input, the training prior is predicted and stays as it is.
        """
        given = np.asarray(uncalibrated, float)
        if self.scaling.kind == "none":
            return given
        return np.where(np.asarray(usable, bool)[:, None], self.scaling(given), given)


def fit_calibration(
    uncalibrated: ArrayLike,
    labels: ArrayLike,
    usable: ArrayLike,
    folds: NDArray[np.int64],
    log_weights: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    scale: bool = True,
) -> Calibration:
    """Fit a calibration to validation images.

    Thresholds are those of probabilities by maps that were fitted without the image's fold: a map of many
    numbers makes the labels that it was fitted to more likely than new ones.

    Args:
        uncalibrated: `[n, C]`, as the model gives them.
        labels: int `[n]`, below C.
        usable: bool `[n]`: whether the model had usable input.
        folds: int `[n]`, the fold of each image; see `scaling.choose_scaling`.
        log_weights: `[C]`, log w_c, what training made the logits of each class higher by; 0 if None.
        weights: `[n]`, how much each image counts, see `calibration.weights`.
        scale: Whether to undo the weights and to scale; thresholds are fitted all the same.
    """
    given, y, usable = np.asarray(uncalibrated, float), np.asarray(labels), np.asarray(usable, bool)
    classes = given.shape[1]
    w = None if weights is None else np.asarray(weights, float)
    scaling, probabilities = Scaling.identity(classes), given.copy()
    if scale and usable.any():
        some = None if w is None else w[usable]
        scaling, probabilities[usable] = _fitted_scaling(
            given[usable], y[usable], folds[usable], log_weights, some
        )
    predicted = given.argmax(axis=1)
    rows = np.arange(len(y))
    confidence = probabilities[rows, predicted]
    answers = None
    if usable.sum() >= LEAST_IMAGES:
        some = None if w is None else w[usable]
        answers = answer_thresholds(confidence[usable], (predicted == y)[usable], some)
    return Calibration(scaling, class_thresholds(probabilities[rows, y], y, classes, w), answers)


def _fitted_scaling(
    given: Floats,
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    log_weights: ArrayLike | None,
    weights: Floats | None,
) -> tuple[Scaling, Floats]:
    """The scaling with the weights undone, and held-out calibrated probabilities."""
    shift = np.zeros(given.shape[1]) if log_weights is None else np.asarray(log_weights, float)
    scaling, held_out = choose_scaling(softmax(log_of(given) - shift, axis=1), labels, folds, weights=weights)
    if not shift.any():
        return scaling, held_out
    kind = "weights" if scaling.kind == "none" else scaling.kind
    return Scaling(kind, scaling.matrix, scaling.bias - scaling.matrix @ shift), held_out
