"""Figures over slices of the test images: those that have one value of a feature beside the expression.

A model that has learnt a confound does well where the confound and the class agree, and badly elsewhere,
which the figures over all images do not show.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.metrics.classification import accuracy, balanced_accuracy
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.intervals import hit_interval
from landmarkfer.metrics.predictions import Predictions

LEAST = 20
"""Images that a slice has at least; fewer state too little."""


class Slice(BaseModel):
    """The figures over the test images that have one value of a feature.

    `interval` is that of the accuracy (`metrics.intervals`): over images, or, where the test images belong to
    people or sequences, over `groups` of them. `balanced_accuracy` is the mean recall over `classes`, which
    counts the images of each class that occurs. Slices of earlier versions lack `groups`, and their
    intervals are over images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature: str
    value: str
    n: int
    accuracy: float
    interval: tuple[float, float]
    balanced_accuracy: float
    classes: dict[str, int]
    groups: int | None = None


class SmallSlices(BaseModel):
    """The values of a feature that have no slice, since fewer than `LEAST` test images have each of them.

    `values` counts those that a test image has, `images` the images that have them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature: str
    values: int
    images: int


def slice_predictions(
    predictions: Predictions, slices: Iterable[tuple[str, str, NDArray[np.bool_]]]
) -> list[Slice]:
    """The figures over slices, those of fewer than `LEAST` images left out.

    Args:
        predictions: On `N` labelled images.
        slices: Feature, value and bool `[N]`, which images have it.
    """
    grouped = group_numbers(predictions.groups) is not None
    return [
        _figures(predictions.rows(chosen), feature, value, grouped)
        for feature, value, chosen in slices
        if np.sum(chosen) >= LEAST
    ]


def small_slices(slices: Iterable[tuple[str, str, NDArray[np.bool_]]]) -> list[SmallSlices]:
    """What `slice_predictions` leaves out, by feature.

    Args:
        slices: As there.
    """
    sizes: dict[str, list[int]] = {}
    for feature, _, chosen in slices:
        if 0 < np.sum(chosen) < LEAST:
            sizes.setdefault(feature, []).append(int(np.sum(chosen)))
    return [SmallSlices(feature=name, values=len(few), images=sum(few)) for name, few in sizes.items()]


def _figures(predictions: Predictions, feature: str, value: str, grouped: bool) -> Slice:
    labels, predicted = predictions.labels, predictions.predicted
    counts = np.bincount(labels, minlength=len(predictions.classes)).tolist()
    groups = group_numbers(predictions.groups) if grouped else None
    low, high = hit_interval(predictions.correct, groups).tolist()
    return Slice(
        feature=feature,
        value=value,
        n=len(labels),
        accuracy=accuracy(labels, predicted),
        interval=(low, high),
        balanced_accuracy=balanced_accuracy(labels, predicted, range(len(predictions.classes))),
        classes={name: n for name, n in zip(predictions.classes, counts, strict=True) if n},
        # Without two images of one group in the slice, each image is one.
        groups=(len(labels) if groups is None else int(groups.max()) + 1) if grouped else None,
    )
