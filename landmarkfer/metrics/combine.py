"""Predictions brought into one order, averaged into an ensemble, joined, or given with fewer classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from landmarkfer.errors import RunError
from landmarkfer.metrics.classification import Floats
from landmarkfer.metrics.predictions import ARRAYS, UNKNOWN, Predictions


def align_predictions(several: Sequence[Predictions]) -> list[Predictions]:
    """Predictions on the same images, all with the images and the classes in the order of the first.

    Raises:
        RunError: There are none, or they differ in images, labels or classes.
    """
    if not several:
        raise RunError("At least one prediction table is needed.")
    first = several[0]
    aligned = []
    for number, other in enumerate(several, start=1):
        if set(other.classes) != set(first.classes):
            raise RunError(
                f"Prediction tables 1 and {number} have different classes; give tables of the same."
            )
        rows = pd.Index(other.ids).get_indexer(pd.Index(first.ids))
        if len(other) != len(first) or (rows < 0).any():
            raise RunError(
                f"Prediction tables 1 and {number} are about different images; give tables of the same."
            )
        same = other.by_class(first.classes).rows(rows)
        if not np.array_equal(same.labels, first.labels):
            raise RunError(f"Prediction tables 1 and {number} give different labels to the same images.")
        aligned.append(same)
    return aligned


def average_predictions(
    members: Sequence[Predictions], weights: Sequence[float] | Floats | None = None
) -> Predictions:
    """Ensemble: the mean of the probabilities of several models on the same images.

    Images and classes are in the order of the first member, as are `subset`, `clean` and `clean_near`. The
    label is the most probable class of the mean of what chose the members' labels (`Predictions.ranking`).
    Prediction sets are left out: they belong to one model. An image counts as `ok` if any member had a face
    in it, and as `unreadable` only if it was so for all, which matters when the members come from different
    detectors.

    Args:
        members: Predictions of each model.
        weights: How much each counts, of sum 1; all alike if None.

    Raises:
        RunError: There is no member, or members differ in images, labels or classes.
    """
    aligned = align_predictions(members)
    shares = np.full(len(aligned), 1 / len(aligned)) if weights is None else np.asarray(weights, float)
    found = np.any([one.found for one in aligned], axis=0)
    unreadable = np.all([one.status == "unreadable" for one in aligned], axis=0)
    mean = np.tensordot(shares, [one.probabilities for one in aligned], axes=1)
    ranking = np.tensordot(shares, [one.ranking for one in aligned], axes=1)
    calibrated = any(one.uncalibrated is not None for one in aligned)
    return replace(
        aligned[0],
        probabilities=mean,
        predicted=ranking.argmax(axis=1),
        uncalibrated=ranking if calibrated else None,
        status=np.select([found, unreadable], ["ok", "unreadable"], "no_face").astype(object),
        sets=None,
    )


def merge_classes(predictions: Predictions, merged: Mapping[str, str]) -> Predictions:
    """Predictions of classes of which some become one: their probabilities are added.

    The prediction is then the most probable class of `Predictions.ranking`. A prediction set has a class
    where it had one of its parts, so that its coverage is not less.

    Args:
        predictions: Of all classes.
        merged: The new name by class; other classes stay, and classes that are not there are passed over.
    """
    names = [merged.get(name, name) for name in predictions.classes]
    classes = tuple(dict.fromkeys(names))
    if classes == predictions.classes:
        return predictions
    number = np.array([classes.index(name) for name in names])
    member = number[:, None] == np.arange(len(classes))  # [C, D]
    probabilities = predictions.probabilities @ member
    uncalibrated = None if predictions.uncalibrated is None else predictions.uncalibrated @ member
    sets = predictions.sets
    return replace(
        predictions,
        classes=classes,
        labels=np.append(number, UNKNOWN)[predictions.labels],
        predicted=(probabilities if uncalibrated is None else uncalibrated).argmax(axis=1),
        probabilities=probabilities,
        uncalibrated=uncalibrated,
        sets=None if sets is None else (sets[:, :, None] & member).any(axis=1),
    )


def join_predictions(several: Sequence[Predictions]) -> Predictions:
    """Predictions on different images of the same classes, one after the other.

    Optional arrays that one of them lacks are left out.

    Raises:
        RunError: There are none, they differ in classes, or two are about the same image.
    """
    if not several:
        raise RunError("At least one prediction table is needed.")
    alike = [one.by_class(several[0].classes) for one in several]
    arrays = {name: [getattr(one, name) for one in alike] for name in ARRAYS}
    whole: dict[str, Any] = {
        name: None if any(part is None for part in parts) else np.concatenate(parts)
        for name, parts in arrays.items()
    }
    return replace(alike[0], **whole)
