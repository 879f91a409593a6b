"""Apply trained models: predictions for every image of a cache, and their evaluation."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.datamodule import FaceBatch, FaceDataset, load_dataset
from landmarkfer.data.splits import Rows, has_twin_in
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.predictions import average_predictions, probability_columns
from landmarkfer.evaluation.report import Evaluation, evaluate_predictions, write_evaluation
from landmarkfer.models.base import LandmarkModel
from landmarkfer.training.run import RunFolder, TrainedModel

logger = logging.getLogger(__name__)


@torch.inference_mode()
def predict_probabilities(
    model: LandmarkModel, faces: FaceBatch, *, mirror: bool, batch_size: int = 512
) -> Tensor:
    """Probabilities of each class, `[B, C]` on the CPU.

    Args:
        model: In evaluation mode; its device is used.
        faces: Normalised landmarks; a face that is not present gets the training prior.
        mirror: Whether to average with the prediction for the mirrored face.
        batch_size: Faces at a time.
    """
    device = next(model.parameters()).device
    parts = []
    for rows in torch.arange(len(faces)).split(batch_size):
        batch = faces.rows(rows).to(device)
        probabilities = model(batch).float().softmax(dim=-1)
        if mirror:
            mirrored = FaceBatch(mirror_landmarks(batch.landmarks), batch.present)
            probabilities = (probabilities + model(mirrored).float().softmax(dim=-1)) / 2
        parts.append(probabilities.cpu())
    return torch.cat(parts)


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
    mirror = trained.config.settings.prediction.mirror
    probabilities = predict_probabilities(
        trained.model, dataset.faces.rows(torch.as_tensor(rows)), mirror=mirror
    )
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
    table[probability_columns(classes)] = probabilities.double().numpy()
    return table


def evaluate_run(
    run: RunFolder, cache: str | os.PathLike[str] | None = None
) -> tuple[Evaluation, pd.DataFrame]:
    """Evaluate a run on its test images, or on another cache.

    Args:
        run: A finished run.
        cache: A cache other than the one it was trained on; its test images, or all its labelled ones where
            it has no test split, are predicted.

    Returns:
        The evaluation and the prediction table it was made from. Nothing is written.

    Raises:
        RunError: The run is not finished or damaged.
        CacheError: The cache is missing, or has no image of the run's classes.
    """
    trained = run.load()
    source = LandmarkCache.open(find_cache(trained.config.cache.path if cache is None else cache))
    dataset = load_dataset(source, trained.config.settings.normalisation, trained.config.classes)
    own = source.fingerprint == trained.config.cache.fingerprint
    if cache is None and not own:
        raise CacheError(
            f"{source.path} is no longer the cache that run '{run.name}' was trained on; to evaluate on what "
            f"is there now all the same, name it: --cache {source.path}."
        )
    rows = _own_test_rows(run, dataset) if own else _foreign_test_rows(source, dataset)
    table = predict_rows(trained, dataset, rows)
    if own:
        train = np.setdiff1d(np.flatnonzero(dataset.frame["label"].notna()), rows)
        table["clean"] = ~has_twin_in(dataset.frame, rows, train)
    return evaluate_predictions(table, trained.config.classes), table


def evaluate_runs(
    runs: Sequence[RunFolder], cache: str | os.PathLike[str] | None = None, out: Path | None = None
) -> list[tuple[str, Evaluation]]:
    """Evaluate runs one by one and, if there are several, the average of their probabilities.

    Args:
        runs: Finished runs.
        cache: See `evaluate_run`.
        out: Folder for the files of the evaluation: of the ensemble, or of the one run. Without it, runs that
            are evaluated on their own cache keep the files in their folders, and nothing else is written.

    Returns:
        Names and evaluations; the ensemble is the last.
    """
    found: list[tuple[str, Evaluation]] = []
    tables = []
    for run in runs:
        evaluation, table = evaluate_run(run, cache)
        if cache is None:
            write_evaluation(run.path, evaluation, table)
        found.append((run.name, evaluation))
        tables.append(table)
    if len(runs) > 1:
        average = average_predictions(tables)
        found.append((f"average of {len(runs)} runs", evaluate_predictions(average, found[0][1].classes)))
        tables.append(average)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_evaluation(out, found[-1][1], tables[-1])
    return found


def _own_test_rows(run: RunFolder, dataset: FaceDataset) -> Rows:
    wanted = dataset.frame["id"].isin(run.read_splits()["test"])
    return np.flatnonzero(wanted.to_numpy())


def _foreign_test_rows(source: LandmarkCache, dataset: FaceDataset) -> Rows:
    known = dataset.frame["label"].isin(dataset.classes).to_numpy()
    split = dataset.frame["split"].to_numpy()
    test = known & (split == "test") if (split == "test").any() else known
    if not test.any():
        raise CacheError(f"{source.path} has no image labelled with one of {', '.join(dataset.classes)}.")
    unknown = int((dataset.frame["label"].notna() & ~known).sum())
    if unknown:
        logger.warning(
            "%d images of %s have a label the model does not know and are left out", unknown, source.path
        )
    return np.flatnonzero(test)
