"""Figures over slices of the test images: those that have one value of a feature beside the expression.

A model that has learnt a confound does well where the confound and the class agree, and badly elsewhere,
which the figures over all images do not show.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from landmarkfer.metrics.bootstrap import LEVEL
from landmarkfer.metrics.classification import accuracy, balanced_accuracy
from landmarkfer.metrics.predictions import Predictions

LEAST = 20
"""Images that a slice has at least; fewer state too little."""


class Slice(BaseModel):
    """The figures over the test images that have one value of a feature.

    `accuracy` has its exact interval (Clopper and Pearson), which takes the images as independent, and is too
    narrow where these share people; `balanced_accuracy` is the mean recall over `classes`, which counts the
    images of each class that occurs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature: str
    value: str
    n: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    classes: dict[str, int]


def slice_predictions(
    predictions: Predictions, slices: Iterable[tuple[str, str, NDArray[np.bool_]]]
) -> list[Slice]:
    """The figures over slices, those of fewer than `LEAST` images left out.

    Args:
        predictions: On `N` labelled images.
        slices: Feature, value and bool `[N]`, which images have it.
    """
    return [
        _figures(predictions.rows(chosen), feature, value)
        for feature, value, chosen in slices
        if np.sum(chosen) >= LEAST
    ]


def _figures(predictions: Predictions, feature: str, value: str) -> Slice:
    labels, predicted = predictions.labels, predictions.predicted
    counts = np.bincount(labels, minlength=len(predictions.classes)).tolist()
    right = int(predictions.correct.sum())
    interval = stats.binomtest(right, len(labels)).proportion_ci(LEVEL)
    return Slice(
        feature=feature,
        value=value,
        n=len(labels),
        accuracy=accuracy(labels, predicted),
        interval=(float(interval.low), float(interval.high)),
        balanced_accuracy=balanced_accuracy(labels, predicted, range(len(predictions.classes))),
        classes={name: n for name, n in zip(predictions.classes, counts, strict=True) if n},
    )
