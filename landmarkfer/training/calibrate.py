"""What is fitted to the validation images once the weights are selected."""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from landmarkfer.calibration.class_offsets import class_offsets
from landmarkfer.calibration.fitted import fit_calibration
from landmarkfer.calibration.scaling import FOLDS
from landmarkfer.calibration.temperature import LEAST_IMAGES
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.inference.tta import mean_probabilities, tta_embeddings
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.models.base import FaceModel
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import SILENT, Progress


@torch.inference_mode()
def calibrate(
    model: FaceModel,
    faces: FaceBatch,
    settings: PredictionSettings,
    log_weights: NDArray[np.float64] | None = None,
    groups: NDArray[np.object_] | None = None,
    weights: NDArray[np.float64] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Fit a fused model's weight of the second branch, class offsets, and the calibration.

    The weight of a branch must come from new images: on training images a branch is too accurate.
    The images are predicted once, since all of this concerns the last layer.

    Args:
        model: With its final weights.
        faces: Validation images, with labels.
        settings: Which test-time augmentation there is, how low a recall may be, and whether probabilities
            are calibrated.
        log_weights: `[C]`, what training made the logits of each class higher by; see `class_weighting`.
        groups: `[N]`, the person or sequence of each image; None where that is not known.
        weights: `[N]`, how much each image counts; see `cache_shares`.
        progress: Counts the predicted images.
    """
    usable = model.has_input(faces)
    if not usable.any():
        return
    assert faces.labels is not None
    labels = faces.labels.numpy()
    model.eval()
    embedded = tta_embeddings(model, faces, settings, progress=progress).to(model.log_prior.device)
    some = None if weights is None else weights[usable.numpy()]
    model.fit_branch_weight(embedded[:, usable], labels[usable.numpy()], some)
    if settings.least_recall:
        logits = _view_logits(model, embedded, usable)[:, usable.numpy()]
        offsets = class_offsets(logits, labels[usable.numpy()], settings.least_recall, some)
        model.set_offset(torch.from_numpy(offsets))
    views = _view_logits(model, embedded, usable)
    mean = np.exp(views - logsumexp(views, axis=2, keepdims=True)).mean(axis=0)
    shift = model.class_offset.double().cpu().numpy() + (0 if log_weights is None else log_weights)
    model.set_calibration(
        fit_calibration(
            mean,
            labels,
            usable.numpy(),
            validation_folds(labels, groups),
            shift,
            weights=weights,
            scale=settings.calibrate,
        )
    )


def _view_logits(model: FaceModel, embedded: Tensor, usable: Tensor) -> np.ndarray:
    """Logits `[V, N, C]` from features `[V, N, D]`."""
    usable = usable.to(embedded.device)
    return torch.stack([model.logits(view, usable) for view in embedded]).double().cpu().numpy()


def calibrate_classical(
    model: Classifier,
    faces: FaceBatch,
    labels: NDArray[np.int64],
    settings: PredictionSettings,
    log_weights: NDArray[np.float64] | None = None,
    groups: NDArray[np.object_] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> None:
    """Fit the calibration of a fitted classical model.

    Args:
        model: The model.
        faces: Validation images.
        labels: int `[N]`.
        settings: Test-time augmentation, and whether probabilities are calibrated.
        log_weights: See `calibrate`.
        groups: See `calibrate`.
        weights: See `calibrate`.
    """
    if not len(labels):
        return
    model.set_calibration(
        fit_calibration(
            mean_probabilities(model, faces, settings).numpy(),
            labels,
            model.has_input(faces).cpu().numpy(),
            validation_folds(labels, groups),
            log_weights,
            weights=weights,
            scale=settings.calibrate,
        )
    )


def validation_folds(
    labels: NDArray[np.int64], groups: NDArray[np.object_] | None = None
) -> NDArray[np.int64]:
    """The fold of each validation image, `[n]`, stratified by class; images of a group share one.

    Args:
        labels: int `[n]`.
        groups: `[n]`, the person or sequence of each image, None where it is not known.
    """
    folds = np.zeros(len(labels), np.int64)
    if len(labels) < LEAST_IMAGES:
        return folds
    numbers = group_numbers(groups)
    if numbers is not None and numbers.max() == 0:
        numbers = None  # all images are of one group
    splitter: StratifiedKFold | StratifiedGroupKFold
    if numbers is None:
        splitter = StratifiedKFold(min(FOLDS, np.bincount(labels).max()), shuffle=True, random_state=0)
    else:
        splitter = StratifiedGroupKFold(min(FOLDS, numbers.max() + 1), shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class may have fewer images than there are folds
        for fold, (_, held) in enumerate(splitter.split(labels, labels, numbers)):
            folds[held] = fold
    return folds
