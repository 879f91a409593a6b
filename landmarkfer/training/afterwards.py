"""What is fitted to the validation images once the weights are chosen."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from landmarkfer.config import PredictionSettings
from landmarkfer.data.datamodule import FaceBatch
from landmarkfer.data.images import Progress
from landmarkfer.evaluation.conformal import find_thresholds
from landmarkfer.evaluation.offsets import class_offsets
from landmarkfer.evaluation.temperature import find_temperature, temper
from landmarkfer.models.base import FaceModel
from landmarkfer.models.fusion import FusionModel
from landmarkfer.models.views import mean_probabilities, view_logits

LARGEST_WEIGHT = 3.0


def fit_afterwards(
    model: FaceModel, faces: FaceBatch, settings: PredictionSettings, progress: Progress | None = None
) -> None:
    """Choose the weight of a fused model's second branch, raise classes of low recall, and calibrate.

    How far a branch can be believed on training images, which it knows, is not how far it can be on new ones.

    Args:
        model: With its final weights.
        faces: Validation images, with labels.
        settings: Over which views predictions are averaged, how low a recall may be, and whether
            probabilities are tempered.
        progress: Shows how far each pass over the images is.
    """
    seen = faces.rows(model.sees(faces).nonzero().flatten())
    if not len(seen):
        return
    assert seen.labels is not None
    model.eval()
    if isinstance(model, FusionModel):
        _weigh_second_branch(model, seen, seen.labels, settings, progress)
    if settings.least_recall:
        logits = view_logits(model, seen, settings, progress=progress).double().numpy()
        model.set_offset(torch.from_numpy(class_offsets(logits, seen.labels.numpy(), settings.least_recall)))
    calibrate(model, faces, settings, progress)


def calibrate(
    model: FaceModel, faces: FaceBatch, settings: PredictionSettings, progress: Progress | None = None
) -> None:
    """Fit the temperature to the images in which the model sees something, and thresholds of sets to all.

    Args:
        model: In evaluation mode, otherwise as it will predict.
        faces: Validation images, with labels.
        settings: Over which views predictions are averaged, and whether there is to be a temperature.
        progress: Shows how far it is.
    """
    assert faces.labels is not None
    labels, seen = faces.labels.numpy(), model.sees(faces).numpy()
    mean = mean_probabilities(model, faces, settings, progress=progress).numpy()
    temperature = find_temperature(mean[seen], labels[seen]) if settings.calibrate else 1.0
    given = temper(mean, np.where(seen, temperature, 1.0))[np.arange(len(labels)), labels]
    model.set_calibration(temperature, torch.from_numpy(find_thresholds(given)))


def _weigh_second_branch(
    model: FusionModel,
    faces: FaceBatch,
    labels: Tensor,
    settings: PredictionSettings,
    progress: Progress | None,
) -> None:
    """Scale what the second branch adds to the logits, so that the labels become most likely."""
    whole = view_logits(model, faces, settings, progress=progress).double().numpy()
    learned = model.head.weight.detach().clone()
    model.scale_second(0.0)
    alone = view_logits(model, faces, settings, progress=progress).double().numpy()
    number = np.arange(len(labels))

    def surprise(weight: float) -> float:
        views = alone + weight * (whole - alone)
        log_p = logsumexp(views - logsumexp(views, axis=2, keepdims=True), axis=0) - np.log(len(views))
        return -float(log_p[number, labels.numpy()].mean())

    best = minimize_scalar(surprise, bounds=(0.0, LARGEST_WEIGHT), method="bounded").x
    with torch.no_grad():
        model.head.weight.copy_(learned)
    model.scale_second(best)
