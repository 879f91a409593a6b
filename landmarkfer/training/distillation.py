"""Soft targets from other models' predictions of the training images (Hinton et al., 2015).

The predictions must be out of fold: on its own training images a model is overconfident, and predicts little
but their labels. `landmarkfer train --folds K` trains such models, and `landmarkfer evaluate --out-of-fold`
collects what each predicts of the images that it was not trained on.
https://arxiv.org/abs/1503.02531
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from landmarkfer.config.train import DistillationSettings
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows
from landmarkfer.errors import LandmarkferError, SettingsError
from landmarkfer.metrics.predictions import Predictions, read_predictions

logger = logging.getLogger(__name__)


def soft_targets(settings: DistillationSettings, dataset: FaceDataset, rows: Rows) -> Tensor | None:
    """The target of each image of a dataset, float32 `[N, C]`; None without predictions.

    Args:
        settings: Which predictions, and their weight beside the labels.
        dataset: The images; those without a label get zeros.
        rows: The training images. One without a prediction has its label as target.

    Raises:
        SettingsError: There is no such table, it is of other classes, or has none of the training images.
    """
    if settings.predictions is None:
        return None
    table = _read(Path(settings.predictions), dataset.classes)
    labels = dataset.faces.labels
    assert labels is not None
    targets = one_hot(labels.clamp_min(0), len(dataset.classes)).float() * (labels >= 0)[:, None]
    ids = dataset.frame["id"]
    place = pd.Index(table.ids).get_indexer(pd.Index(ids.iloc[rows]))
    known, place = rows[place >= 0], place[place >= 0]
    if not len(known):
        raise SettingsError(
            f"'distillation.predictions': {settings.predictions} has none of the training images; "
            "make it of runs on the same cache with `landmarkfer evaluate --out-of-fold`."
        )
    if missing := len(rows) - len(known):
        logger.warning("no prediction to learn from for %d of %d training images", missing, len(rows))
    soft = torch.tensor(table.probabilities[place], dtype=torch.float32)
    soft = soft.clamp_min(1e-8).log().softmax(dim=1)
    targets[known] = (1 - settings.weight) * targets[known] + settings.weight * soft
    return targets


def _read(path: Path, classes: Sequence[str]) -> Predictions:
    try:
        return read_predictions(path, classes)
    except LandmarkferError as error:
        raise SettingsError(f"'distillation.predictions' = '{path}' cannot be used: {error}") from error
