"""Predictions of another data set than a run's own: under another prior, and beside those of its own.

A model is calibrated on images of its own data set. On another one its probabilities may be wrong for two
reasons: other classes are frequent there, which another prior corrects (`predictions_under`), or the faces
themselves differ, which nothing here corrects.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from landmarkfer.calibration.priors import Prior, reweighted
from landmarkfer.errors import RunError
from landmarkfer.evaluation.files import read_evaluation
from landmarkfer.metrics.predictions import UNKNOWN, Predictions
from landmarkfer.metrics.report import shifted_figures
from landmarkfer.runs.folder import RunFolder


def predictions_under(predictions: Predictions, ratio: ArrayLike) -> Predictions:
    """Predictions under another prior: probabilities and labels change, prediction sets stay.

    The label is then the most probable class, whatever weights the training gave the classes: it is the prior
    that says how rare a class is. The thresholds of sets are those of each class
    (`conformal.class_thresholds`), and how frequent the classes are does not change what share of the images
    of a class reach them. So sets hold the coverage of each class under any prior; the new label joins its
    set.

    Args:
        predictions: Under the training prior.
        ratio: `[C]`, see `prior_ratio`.
    """
    probabilities, sets = reweighted(predictions.probabilities, ratio), predictions.sets
    predicted = probabilities.argmax(axis=1)
    if sets is not None:
        sets = sets.copy()
        sets[np.arange(len(sets)), predicted] = True
    return replace(
        predictions, probabilities=probabilities, uncalibrated=None, predicted=predicted, sets=sets
    )


def stated_prior(prior: Prior | None) -> dict[str, float] | str | None:
    """A prior as JSON states it."""
    return dict(prior) if isinstance(prior, Mapping) else prior


def own_figures(run: RunFolder) -> dict[str, float]:
    """The `shifted_figures` of a run on its own test images; none where it was not evaluated on them."""
    try:
        report = read_evaluation(run.path).subsets["test"]
    except (RunError, KeyError):
        return {}
    return shifted_figures(report)


def class_shares(predictions: Predictions, trained: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The share of each class in the data that a model was trained on, and among the labels here."""
    known = predictions.labels[predictions.labels != UNKNOWN]
    here = np.bincount(known, minlength=len(predictions.classes)) / max(len(known), 1)
    return {name: (trained[name], float(here[i])) for i, name in enumerate(predictions.classes)}
