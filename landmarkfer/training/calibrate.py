"""What is fitted to the validation images once the weights are chosen."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from landmarkfer.calibration.class_offsets import class_offsets
from landmarkfer.calibration.conformal import find_thresholds
from landmarkfer.calibration.temperature import find_temperature, temper
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.inference.tta import view_embeddings
from landmarkfer.models.base import FaceModel
from landmarkfer.models.fusion import FusionModel
from landmarkfer.progress import SILENT, Progress

LARGEST_WEIGHT = 3.0


@torch.inference_mode()
def fit_afterwards(
    model: FaceModel, faces: FaceBatch, settings: PredictionSettings, progress: Progress = SILENT
) -> None:
    """Choose the weight of a fused model's second branch, raise classes of low recall, and calibrate.

    How far a branch can be believed on training images, which it knows, is not how far it can be on new ones.
    The images are looked at once: all of it is about the last layer.

    Args:
        model: With its final weights.
        faces: Validation images, with labels.
        settings: Over which views predictions are averaged, how low a recall may be, and whether
            probabilities are tempered.
        progress: Told of the images that are predicted.
    """
    seen = model.sees(faces)
    if not seen.any():
        return
    assert faces.labels is not None
    labels = faces.labels.numpy()
    model.eval()
    embedded = view_embeddings(model, faces, settings, progress=progress).to(model.log_prior.device)
    if isinstance(model, FusionModel):
        model.scale_second(_best_weight(model, embedded[:, seen], labels[seen.numpy()]))
    if settings.least_recall:
        logits = _view_logits(model, embedded, seen)[:, seen.numpy()]
        model.set_offset(torch.from_numpy(class_offsets(logits, labels[seen.numpy()], settings.least_recall)))
    _calibrate(model, _view_logits(model, embedded, seen), labels, seen.numpy(), settings)


def _view_logits(model: FaceModel, embedded: Tensor, seen: Tensor) -> np.ndarray:
    """Logits `[V, N, C]` from features `[V, N, D]`."""
    seen = seen.to(embedded.device)
    return torch.stack([model.logits(view, seen) for view in embedded]).double().cpu().numpy()


def _calibrate(
    model: FaceModel, logits: np.ndarray, labels: np.ndarray, seen: np.ndarray, settings: PredictionSettings
) -> None:
    """Fit the temperature to the images in which the model sees something, and thresholds of sets to all."""
    mean = np.exp(logits - logsumexp(logits, axis=2, keepdims=True)).mean(axis=0)
    temperature = find_temperature(mean[seen], labels[seen]) if settings.calibrate else 1.0
    given = temper(mean, np.where(seen, temperature, 1.0))[np.arange(len(labels)), labels]
    model.set_calibration(temperature, torch.from_numpy(find_thresholds(given)))


def _best_weight(model: FusionModel, embedded: Tensor, labels: np.ndarray) -> float:
    """By how much what the second branch adds to the logits is to be scaled, so that labels become likely."""
    whole = torch.stack([model.classify(view) for view in embedded]).double().cpu().numpy()
    alone = torch.stack([model.classify_image(view) for view in embedded]).double().cpu().numpy()
    number = np.arange(len(labels))

    def surprise(weight: float) -> float:
        views = alone + weight * (whole - alone)
        log_p = logsumexp(views - logsumexp(views, axis=2, keepdims=True), axis=0) - np.log(len(views))
        return -float(log_p[number, labels].mean())

    return float(minimize_scalar(surprise, bounds=(0.0, LARGEST_WEIGHT), method="bounded").x)
