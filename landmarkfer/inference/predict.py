"""Apply a trained model to faces: probabilities, prediction sets, and the table of predictions."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from landmarkfer.calibration.conformal import label_sets, threshold_for
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows
from landmarkfer.errors import RunError
from landmarkfer.inference.network import Outputs
from landmarkfer.inference.tta import mean_probabilities
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.sets import STATED
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import TrainedModel


def predict_faces(
    model: Classifier,
    faces: FaceBatch,
    settings: PredictionSettings,
    *,
    batch_size: int = 0,
    progress: Progress = SILENT,
) -> Outputs:
    """Predict faces.

    Args:
        model: In evaluation mode; its device is used.
        faces: Normalised landmarks and stored images, as far as the model reads them; without usable input,
            the training prior is predicted.
        settings: Test-time augmentation, over which the prediction is averaged.
        batch_size: See `tta.batches`.
        progress: Counts the faces.
    """
    mean = mean_probabilities(model, faces, settings, batch_size=batch_size, progress=progress).numpy()
    usable = model.has_input(faces).cpu().numpy()
    return Outputs(model.calibration.calibrated(mean, usable), mean)


def predict_sets(model: Classifier, outputs: Outputs, coverage: float = STATED) -> NDArray[np.bool_]:
    """Which labels are in the prediction set of each image, `[B, C]`; see `calibration.conformal`.

    Args:
        model: With fitted prediction sets.
        outputs: What `predict_faces` gave.
        coverage: How often a set shall hold the label, a whole percent.

    Raises:
        RunError: The model has no thresholds of prediction sets.
        ValueError: The coverage is not a whole percent from 1 % to 99 %.
    """
    thresholds = model.calibration.set_thresholds
    if thresholds is None:
        raise RunError(
            "this model has no thresholds of prediction sets; train it with this version, which fits them."
        )
    return label_sets(outputs.probabilities, threshold_for(thresholds, coverage), outputs.predicted)


def predict_rows(trained: TrainedModel, dataset: FaceDataset, rows: Rows) -> Predictions:
    """Predictions on some images of a dataset, those without a face included.

    Args:
        trained: A trained model.
        dataset: Normalised as the model's training faces were.
        rows: Row numbers.
    """
    classes = trained.config.classes
    model, faces = trained.model, dataset.faces.rows(torch.as_tensor(rows))
    outputs = predict_faces(model, faces, trained.config.settings.prediction)
    known = dataset.frame.iloc[rows]
    subset, group = (known[name].astype(object) for name in ("subset", "group"))
    has_sets = model.calibration.set_thresholds is not None
    return Predictions(
        ids=known["id"].to_numpy(object),
        labels=pd.Index(list(classes)).get_indexer(pd.Index(known["label"])).astype(np.int64),
        predicted=outputs.predicted,
        probabilities=outputs.probabilities,
        classes=tuple(classes),
        status=known["status"].to_numpy(object),
        uncalibrated=outputs.uncalibrated,
        sets=predict_sets(model, outputs) if has_sets else None,
        subset=subset.where(subset.notna(), None).to_numpy(object),
        groups=group.where(group.notna(), None).to_numpy(object) if group.notna().any() else None,
        caches=known["cache"].to_numpy(object) if dataset.caches else None,
    )
