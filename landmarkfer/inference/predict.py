"""Apply a trained model to faces: probabilities, sets of labels, and the table of predictions."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.calibration.conformal import label_sets, threshold_for
from landmarkfer.calibration.temperature import temper
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows
from landmarkfer.errors import RunError
from landmarkfer.inference.tta import batches, mean_probabilities, views
from landmarkfer.metrics.predictions import TEMPERATURE, probability_columns, set_columns
from landmarkfer.metrics.sets import STATED
from landmarkfer.models.base import FaceModel
from landmarkfer.runs.folder import AnyModel, TrainedModel


def predict_probabilities(
    model: AnyModel, faces: FaceBatch, settings: PredictionSettings, *, batch_size: int = 0
) -> Tensor:
    """Probabilities of each class, float64 `[B, C]` on the CPU.

    Args:
        model: In evaluation mode; its device is used.
        faces: Normalised landmarks and stored images, as far as the model looks at them; where it sees
            nothing, the training prior is predicted.
        settings: Over which views of a face the prediction is averaged; the average of a network is then
            tempered.
        batch_size: See `models.views.batches`.
    """
    if isinstance(model, FaceModel):
        mean = mean_probabilities(model, faces, settings, batch_size=batch_size)
        return torch.from_numpy(temper(mean.numpy(), model.temperatures(faces).numpy()))
    parts = []
    for batch in batches(faces, model, batch_size):
        found = [model.probabilities(view) for view in views(batch, model, settings)]
        parts.append(sum(found[1:], found[0]) / len(found))
    return torch.cat(parts).double()


def has_sets(model: AnyModel) -> bool:
    """Whether a model can give sets of labels; classical ones and networks of older versions cannot."""
    return isinstance(model, FaceModel) and bool(model.set_thresholds.any())


def predict_sets(model: AnyModel, probabilities: Tensor, coverage: float = STATED) -> NDArray[np.bool_]:
    """Which labels are in the set of each image, `[B, C]`; see `evaluation.conformal`.

    Args:
        model: Of `has_sets`.
        probabilities: What `predict_probabilities` gave, `[B, C]`.
        coverage: How often a set shall hold the label, a whole percent.

    Raises:
        RunError: The model knows no sets.
        ValueError: The coverage is not a whole percent from 1 % to 99 %.
    """
    if not has_sets(model):
        raise RunError(
            "this model has no thresholds for sets of labels; train a network with this version, which fits "
            "them."
        )
    assert isinstance(model, FaceModel)
    return label_sets(probabilities.numpy(), threshold_for(model.set_thresholds.cpu().numpy(), coverage))


def predict_rows(trained: TrainedModel, dataset: FaceDataset, rows: Rows) -> pd.DataFrame:
    """The prediction table (`evaluation.predictions`) of some images of a dataset.

    Args:
        trained: A trained model.
        dataset: Normalised as the model's training faces were.
        rows: Row numbers.

    Returns:
        One row per image, those without a face included.
    """
    classes = list(trained.config.classes)
    model, faces = trained.model, dataset.faces.rows(torch.as_tensor(rows))
    probabilities = predict_probabilities(model, faces, trained.config.settings.prediction)
    known = dataset.frame.iloc[rows].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "id": known["id"],
            "label": known["label"],
            "predicted": np.array(classes, dtype=object)[probabilities.argmax(dim=1).numpy()],
            "status": known["status"],
            "subset": known["subset"],
        }
    )
    table[probability_columns(classes)] = probabilities.numpy()
    if isinstance(model, FaceModel):
        table[TEMPERATURE] = model.temperatures(faces).numpy()
    if has_sets(model):
        table[set_columns(classes)] = predict_sets(model, probabilities)
    return table
