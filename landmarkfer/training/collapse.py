"""Say at the end of a training, and store in the run, what its accuracy hides: see `metrics.collapse`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landmarkfer.calibration.temperature import LEAST_IMAGES
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.inference.predict import predict_faces
from landmarkfer.metrics.classification import confusion
from landmarkfer.metrics.collapse import Advice, ModelWarning, averaging_warnings, collapse_warnings
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import Patient, Progress, counted
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.task import ExpressionTask

logger = logging.getLogger(__name__)


def stored_warnings(
    model: Classifier,
    faces: FaceBatch,
    classes: Sequence[str],
    settings: PredictionSettings,
    progress: Progress,
) -> list[ModelWarning]:
    """What is to be said of a model as it is stored and will predict: calibrated, with offsets and TTA.

    Args:
        model: In evaluation mode.
        faces: Validation images, with labels; those without usable input count.
        classes: Names by number.
        settings: How the model is applied.
        progress: Counts the images.
    """
    if not len(faces):
        return []
    assert faces.labels is not None
    usable = int(model.has_input(faces).sum())
    few = few_images_warnings(usable, len(faces)) if settings.calibrate or not usable else []
    if not usable:
        return few
    predicted = _predicted(model, faces, settings, progress)
    counts = confusion(faces.labels.cpu().numpy(), predicted, range(len(classes)))
    advice: Advice = "classical" if model.fitted_at_once else "network"
    return [*few, *collapse_warnings(counts, classes, advice=advice)]


def few_images_warnings(usable: int, images: int) -> list[ModelWarning]:
    """Whether the validation images are too few to choose weights and to calibrate probabilities by.

    Args:
        usable: Validation images in which the model has input: those with a face, for one of landmarks.
        images: All validation images.
    """
    if usable >= LEAST_IMAGES:
        return []
    if usable:
        sentence = (
            f"the probabilities are not calibrated: that takes {LEAST_IMAGES} validation images with a face, "
            f"and there are {usable}; add images, or let more validate, as --split 60/20/20 does"
        )
    else:
        sentence = (
            f"no face was found in any of {counted(images, 'validation image')}, so that nothing says which "
            "epoch was best, and nothing was calibrated; check them (`landmarkfer inspect`), or split all "
            "images anew, as --split 60/20/20 does"
        )
    return [ModelWarning(kind="few_images", sentence=sentence, numbers={"usable": usable, "images": images})]


def average_warnings(
    task: ExpressionTask,
    checkpoint: Mapping[str, Any],
    faces: FaceBatch,
    settings: PredictionSettings,
    decay: float,
    progress: Progress,
) -> list[ModelWarning]:
    """What is to be said of averaged weights beside the plain ones of the last epoch.

    Args:
        task: Of the training, whose weights are written over.
        checkpoint: Of the last epoch, see `RunFolder.read_checkpoint`.
        faces: Validation images, with labels; those without usable input are left out.
        settings: How the model is applied.
        decay: Of the average.
        progress: Counts the images.
    """
    model = task.model
    faces = faces.rows(torch.nonzero(model.has_input(faces))[:, 0])
    if not len(faces) or checkpoint["plain_state"] is None:
        return []
    assert faces.labels is not None
    predicted = {}
    for name in ("plain_state", "state_dict"):
        task.load_state_dict(checkpoint[name])
        predicted[name] = _predicted(model.eval(), faces, settings, progress)
    labels, steps = faces.labels.cpu().numpy(), checkpoint["global_step"]
    return averaging_warnings(labels, predicted["plain_state"], predicted["state_dict"], decay, steps)


def warn(run: RunFolder, warnings: Sequence[ModelWarning]) -> None:
    """Log the warnings of a training and store them in its run."""
    run.write_warnings(warnings)
    repeat_warnings(run)


def repeat_warnings(run: RunFolder) -> None:
    """Log what the training of a run warned of when it ended."""
    for sentence in run.read_warnings():
        logger.warning("run '%s': %s", run.name, sentence)


def _predicted(
    model: Classifier, faces: FaceBatch, settings: PredictionSettings, progress: Progress
) -> NDArray[np.int64]:
    return predict_faces(model, faces, settings, progress=Patient(progress)).predicted
