"""Whether the probabilities and the prediction sets of each class can be believed, rare classes included.

A calibration error over all predictions, such as the expected calibration error, hardly changes where a rare
class is predicted ten times as often as it occurs; its classwise version (Kull et al. 2019,
https://arxiv.org/abs/1910.12656) compares the probability of each class with how frequent it is.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.metrics.calibration import calibration_error, reliability_table
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.sets import set_scores


class ClassCalibration(BaseModel):
    """Calibration of one class over some images.

    Attributes:
        expected: Its mean probability: its share of the images by the model.
        share: Its share of the images by their labels.
        ece: Mean over images of |frequency - probability| of the class, by bins of its probability.
        coverage: How often a prediction set of an image of the class holds it; None without sets or images.
        interval: Of the coverage, over images or groups of them.
        in_sets: Share of all prediction sets that hold the class; None without sets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    expected: float
    share: float
    ece: float
    coverage: float | None = None
    interval: tuple[float, float] | None = None
    in_sets: float | None = None


def class_calibration(
    predictions: Predictions, groups: NDArray[np.int64] | None = None
) -> dict[str, ClassCalibration]:
    """The calibration of each class, by name.

    Args:
        predictions: On labelled images, at least one.
        groups: `[N]`, see `metrics.groups.group_numbers`.
    """
    p = predictions.probabilities / predictions.probabilities.sum(axis=1, keepdims=True)
    found = {}
    for number, name in enumerate(predictions.classes):
        true = predictions.labels == number
        # Sums of rounded numbers can exceed 1 by the last digit.
        table = reliability_table(np.minimum(p[:, number], 1), true)
        covered: dict[str, object] = {}
        if predictions.sets is not None:
            covered["in_sets"] = float(predictions.sets[:, number].mean())
            if true.any():
                own = None if groups is None else np.unique(groups[true], return_inverse=True)[1]
                scores = set_scores(predictions.sets[true], predictions.labels[true], own)
                covered |= {"coverage": scores.coverage, "interval": (scores.low, scores.high)}
        found[name] = ClassCalibration(
            expected=float(p[:, number].mean()),
            share=float(true.mean()),
            ece=calibration_error(table),
            **covered,
        )
    return found


def classwise_calibration_error(calibration: dict[str, ClassCalibration]) -> float:
    """Mean over the classes of their calibration errors."""
    return float(np.mean([one.ece for one in calibration.values()]))
