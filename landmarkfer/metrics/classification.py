"""Classification metrics as pure functions of arrays.

Labels and predictions are `[N]` arrays of class names or class indices; `classes` lists all `C` classes and
fixes the order of every per-class array. Scores are fractions in [0, 1], not percentages.

A class may be absent from the given images (a small subset, another data set). What is then undefined is
NaN, and averages leave it out: recall without an image of the class, precision without a prediction of it,
F1 without either. Macro-F1 therefore averages the classes that occur among labels or predictions, and
balanced accuracy those that occur among labels, which are scikit-learn's own definitions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

Floats = NDArray[np.float64]


class PerClass(NamedTuple):
    """Scores of each class, arrays `[C]` in the order of `classes`; NaN where undefined."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: NDArray[np.int64]


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Fraction of the `N` images whose prediction is the label; `labels` and `predictions` are `[N]`."""
    labels, predictions = _checked(labels, predictions)
    return float(np.mean(labels == predictions))


def balanced_accuracy(labels: ArrayLike, predictions: ArrayLike, classes: Sequence[Any]) -> float:
    """Mean recall over the classes that occur in `labels` `[N]`."""
    labels, predictions = _checked(labels, predictions)
    return float(
        sk.recall_score(labels, predictions, labels=list(classes), average="macro", zero_division=np.nan)
    )


def macro_f1(labels: ArrayLike, predictions: ArrayLike, classes: Sequence[Any]) -> float:
    """Mean F1 over the classes that occur in `labels` `[N]` or `predictions` `[N]`."""
    labels, predictions = _checked(labels, predictions)
    return float(
        sk.f1_score(labels, predictions, labels=list(classes), average="macro", zero_division=np.nan)
    )


def per_class(labels: ArrayLike, predictions: ArrayLike, classes: Sequence[Any]) -> PerClass:
    """Precision, recall, F1 and support of each class."""
    labels, predictions = _checked(labels, predictions)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predictions, labels=list(classes), zero_division=np.nan
    )
    return PerClass(precision, recall, f1, support)


def confusion(labels: ArrayLike, predictions: ArrayLike, classes: Sequence[Any]) -> NDArray[np.int64]:
    """Counts `[C, C]`: rows are true classes, columns predicted ones."""
    labels, predictions = _checked(labels, predictions)
    counts: NDArray[np.int64] = sk.confusion_matrix(labels, predictions, labels=list(classes))
    return counts


def normalised_confusion(counts: NDArray[np.int64]) -> Floats:
    """Counts `[C, C]` over their row sums, so that the diagonal is recall; NaN rows for absent classes."""
    return _ratio(counts, counts.sum(axis=-1, keepdims=True))


def scores_from_confusion(counts: NDArray[np.int64]) -> dict[str, Floats]:
    """All of the above from many confusion matrices at once, as resampling needs it.

    Args:
        counts: `[..., C, C]`, true classes by predicted ones.

    Returns:
        `accuracy`, `balanced_accuracy` and `macro_f1` of shape `[...]`; `precision`, `recall` and `f1` of
        shape `[..., C]`; with the same treatment of absent classes as the functions of those names.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    actual, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    recall, f1 = _ratio(hits, actual), _ratio(2 * hits, actual + predicted)
    return {
        "accuracy": _ratio(hits.sum(axis=-1), actual.sum(axis=-1)),
        "balanced_accuracy": _mean_of_defined(recall),
        "macro_f1": _mean_of_defined(f1),
        "precision": _ratio(hits, predicted),
        "recall": recall,
        "f1": f1,
    }


def _checked(labels: ArrayLike, predictions: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.ndim != 1 or labels.shape != predictions.shape or not len(labels):
        raise ValueError(
            f"labels and predictions must be [N] arrays of one length N > 0, "
            f"got {labels.shape} and {predictions.shape}"
        )
    return labels, predictions


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_of_defined(values: Floats) -> Floats:
    # np.nanmean would warn on a slice without any defined value; such a slice is NaN here.
    return _ratio(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1))
