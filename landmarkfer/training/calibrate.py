"""What is fitted to the validation images once the weights are chosen."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from landmarkfer.calibration.class_offsets import class_offsets
from landmarkfer.calibration.conformal import find_thresholds
from landmarkfer.calibration.temperature import find_temperature, temper
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.inference.tta import view_embeddings
from landmarkfer.models.base import FaceModel
from landmarkfer.progress import SILENT, Progress


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
    seen = model.has_input(faces)
    if not seen.any():
        return
    assert faces.labels is not None
    labels = faces.labels.numpy()
    model.eval()
    embedded = view_embeddings(model, faces, settings, progress=progress).to(model.log_prior.device)
    model.fit_branch_weight(embedded[:, seen], labels[seen.numpy()])
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
