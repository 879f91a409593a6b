"""What is fitted to the validation images once the weights are chosen."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from torch import Tensor

from landmarkfer.config import PredictionSettings
from landmarkfer.data.datamodule import FaceBatch
from landmarkfer.evaluation.offsets import class_offsets
from landmarkfer.models.base import FaceModel
from landmarkfer.models.fusion import FusionModel
from landmarkfer.models.views import view_logits

LARGEST_WEIGHT = 3.0


def fit_afterwards(model: FaceModel, faces: FaceBatch, settings: PredictionSettings) -> None:
    """Choose the weight of the second branch of a fused model, then raise the classes of low recall.

    How far a branch can be believed on training images, which it knows, is not how far it can be on new ones.

    Args:
        model: With its final weights.
        faces: Validation images in which the model sees something, with labels.
        settings: Over which views predictions are averaged, and how low a recall may be.
    """
    assert faces.labels is not None
    if not len(faces):
        return
    model.eval()
    if isinstance(model, FusionModel):
        _weigh_second_branch(model, faces, faces.labels, settings)
    if settings.least_recall:
        logits = view_logits(model, faces, settings).double().numpy()
        model.set_offset(torch.from_numpy(class_offsets(logits, faces.labels.numpy(), settings.least_recall)))


def _weigh_second_branch(
    model: FusionModel, faces: FaceBatch, labels: Tensor, settings: PredictionSettings
) -> None:
    """Scale what the second branch adds to the logits, so that the labels become most likely."""
    whole = view_logits(model, faces, settings).double().numpy()
    learned = model.head.weight.detach().clone()
    model.scale_second(0.0)
    alone = view_logits(model, faces, settings).double().numpy()
    number = np.arange(len(labels))

    def surprise(weight: float) -> float:
        views = alone + weight * (whole - alone)
        log_p = logsumexp(views - logsumexp(views, axis=2, keepdims=True), axis=0) - np.log(len(views))
        return -float(log_p[number, labels.numpy()].mean())

    best = minimize_scalar(surprise, bounds=(0.0, LARGEST_WEIGHT), method="bounded").x
    with torch.no_grad():
        model.head.weight.copy_(learned)
    model.scale_second(best)
