"""The options of a prediction, checked; those that concern probabilities against the model, and applied."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from landmarkfer.calibration.priors import Prior, prior_ratio, reweighted
from landmarkfer.calibration.temperature import LEAST_IMAGES
from landmarkfer.errors import SettingsError
from landmarkfer.inference.find import Wanted
from landmarkfer.inference.network import ModelInfo, Outputs
from landmarkfer.metrics.sets import STATED


@dataclass(frozen=True)
class Options:
    """Checked options; see `predictor.Predictor.stream`.

    Attributes:
        least_confidence: Below which the model abstains; None for never.
        coverage: Of prediction sets.
        weights: What each probability is multiplied by before they are brought to a sum of 1; None for 1.
        batch_size: Faces at a time; 0 for the model's choice.
    """

    least_confidence: float | None = None
    coverage: float = STATED
    weights: tuple[float, ...] | None = None
    batch_size: int = 0

    def under_prior(self, outputs: Outputs) -> Outputs:
        """Probabilities under the wanted prior; the label is then the most probable class."""
        if self.weights is None:
            return outputs
        probabilities = reweighted(outputs.probabilities, self.weights)
        return Outputs(probabilities, probabilities)


def check_options(
    info: ModelInfo,
    *,
    least_confidence: float | None = None,
    accuracy: float | None = None,
    coverage: float | None = None,
    prior: Prior | None = None,
    batch_size: int = 0,
) -> Options:
    """The options of a prediction with a model.

    Raises:
        SettingsError: One does not fit, or the model lacks what it needs.
    """
    _check_share("least_confidence", least_confidence)
    if accuracy is not None:
        if least_confidence is not None:
            raise SettingsError("least_confidence and accuracy both say when to abstain; give one of them.")
        least_confidence = confidence_for(info, accuracy)
    if coverage is not None and info.set_thresholds is None:
        raise SettingsError(f"'{info.name}' has no prediction sets, so coverage does not fit; leave it out.")
    if coverage is not None:
        _percent("coverage", coverage)
    if not isinstance(batch_size, int) or batch_size < 0:
        raise SettingsError(f"batch_size must be a whole number from 0 on, not {batch_size!r}.")
    return Options(
        least_confidence, STATED if coverage is None else coverage, _prior_weights(info, prior), batch_size
    )


def check_search(faces: object, boxes: object, workers: object, sources: Sequence[str]) -> None:
    """Check how faces are searched; arguments are those of `predictor.Predictor.stream`.

    Raises:
        SettingsError: One does not fit, or the boxes name none of the images.
    """
    if faces not in get_args(Wanted):
        raise SettingsError(f"faces must be {' or '.join(map(repr, get_args(Wanted)))}, not {faces!r}.")
    if boxes is not None:
        form = "boxes must be lists of x0, y0, x1, y1 by the source of their image, such as {'photo.jpg': "
        form += "[(10, 20, 90, 110)]}"
        if not isinstance(boxes, Mapping):
            raise SettingsError(f"{form}, not of type {type(boxes).__name__}.")
        wrong = [name for name, each in boxes.items() if any(np.shape(box) != (4,) for box in each)]
        if wrong:
            raise SettingsError(f"{form}; those of {wrong[0]!r} are {boxes[wrong[0]]!r}.")
        if boxes and not boxes.keys() & set(sources):
            raise SettingsError(
                f"boxes name none of the images: their first source is {next(iter(boxes))!r}, and the first "
                f"image is {next(iter(sources), '')!r}."
            )
    if not isinstance(workers, int) or workers < 1:
        raise SettingsError(f"workers must be a whole number from 1 on, not {workers!r}.")


def confidence_for(info: ModelInfo, accuracy: float) -> float:
    """The least confidence at which a model's answers to its validation images had an accuracy.

    Raises:
        SettingsError: The accuracy is no whole percent, was not reached, or the model has no such thresholds.
    """
    percent = _percent("accuracy", accuracy)
    if info.answer_thresholds is None:
        raise SettingsError(
            f"'{info.name}' cannot tell when its answers are {percent} % accurate: it had fewer than "
            f"{LEAST_IMAGES} validation images with a face; train it with more of them."
        )
    threshold = info.answer_thresholds[percent - 1]
    if not threshold <= 1:
        reached = max((p for p, value in enumerate(info.answer_thresholds, start=1) if value <= 1), default=0)
        raise SettingsError(
            f"'{info.name}' did not reach an accuracy of {percent} % on any share of its validation images; "
            f"the highest was {reached} %."
        )
    return float(threshold)


def _percent(name: str, value: Any) -> int:
    percent = round(100 * value) if isinstance(value, int | float | np.number) and math.isfinite(value) else 0
    if not 1 <= percent <= 99 or abs(100 * value - percent) > 1e-6:
        raise SettingsError(f"{name} must be a whole percent from 0.01 to 0.99, such as 0.8, not {value!r}.")
    return percent


def _check_share(name: str, value: Any) -> None:
    if value is not None and not (isinstance(value, int | float | np.number) and 0 <= value <= 1):
        raise SettingsError(f"{name} must be a probability from 0 to 1, not {value!r}.")


def _prior_weights(info: ModelInfo, prior: Prior | None) -> tuple[float, ...] | None:
    """The wanted share of each class by its share among the training images."""
    if prior is None:
        return None
    if info.prior is None:
        raise SettingsError(f"'{info.name}' does not state its training prior, so another cannot be set.")
    return tuple(prior_ratio(prior, info.classes, info.prior).tolist())
