"""What is fitted to the validation images once the weights are selected."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from landmarkfer.calibration.answers import answer_thresholds
from landmarkfer.calibration.class_offsets import class_offsets
from landmarkfer.calibration.conformal import find_thresholds
from landmarkfer.calibration.temperature import find_temperature, temper
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.inference.tta import tta_embeddings
from landmarkfer.models.base import FaceModel
from landmarkfer.progress import SILENT, Progress


@torch.inference_mode()
def calibrate(
    model: FaceModel, faces: FaceBatch, settings: PredictionSettings, progress: Progress = SILENT
) -> None:
    """Fit a fused model's weight of the second branch, class offsets, the temperature and set thresholds.

    The weight of a branch must come from new images: on training images a branch is too accurate.
    The images are predicted once, since all of this concerns the last layer.

    Args:
        model: With its final weights.
        faces: Validation images, with labels.
        settings: Which test-time augmentation there is, how low a recall may be, and whether a temperature
            is fitted.
        progress: Counts the predicted images.
    """
    usable = model.has_input(faces)
    if not usable.any():
        return
    assert faces.labels is not None
    labels = faces.labels.numpy()
    model.eval()
    embedded = tta_embeddings(model, faces, settings, progress=progress).to(model.log_prior.device)
    model.fit_branch_weight(embedded[:, usable], labels[usable.numpy()])
    if settings.least_recall:
        logits = _view_logits(model, embedded, usable)[:, usable.numpy()]
        model.set_offset(
            torch.from_numpy(class_offsets(logits, labels[usable.numpy()], settings.least_recall))
        )
    _fit_calibration(model, _view_logits(model, embedded, usable), labels, usable.numpy(), settings)


def _view_logits(model: FaceModel, embedded: Tensor, usable: Tensor) -> np.ndarray:
    """Logits `[V, N, C]` from features `[V, N, D]`."""
    usable = usable.to(embedded.device)
    return torch.stack([model.logits(view, usable) for view in embedded]).double().cpu().numpy()


def _fit_calibration(
    model: FaceModel, logits: np.ndarray, labels: np.ndarray, usable: np.ndarray, settings: PredictionSettings
) -> None:
    """Fit temperature and abstention to images with usable input, thresholds of prediction sets to all."""
    mean = np.exp(logits - logsumexp(logits, axis=2, keepdims=True)).mean(axis=0)
    temperature = find_temperature(mean[usable], labels[usable]) if settings.calibrate else 1.0
    probabilities = temper(mean, np.where(usable, temperature, 1.0))
    given = probabilities[np.arange(len(labels)), labels]
    answers = answer_thresholds(
        probabilities[usable].max(axis=1), (probabilities.argmax(axis=1) == labels)[usable]
    )
    model.set_calibration(temperature, torch.from_numpy(find_thresholds(given)), torch.from_numpy(answers))
