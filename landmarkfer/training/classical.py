"""Classical models train in one go: the same run folder as a network's, without epochs."""

import time

import numpy as np
import pandas as pd
import torch

from landmarkfer.config.train import TrainSettings
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows, Splits
from landmarkfer.files import replacing
from landmarkfer.metrics.classification import accuracy, balanced_accuracy, macro_f1
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import Progress
from landmarkfer.runs.folder import RunFolder


def fit_classical(
    run: RunFolder,
    settings: TrainSettings,
    model: Classifier,
    dataset: FaceDataset,
    splits: Splits,
    progress: Progress,
) -> None:
    """Fit a classical model and write its run folder: `metrics.csv` of one row, and `model.skops`.

    Args:
        run: The run's folder.
        settings: Of the run.
        model: A fresh one, with its prior.
        dataset: The cache in memory.
        splits: Of its rows.
        progress: Told how far it is.
    """
    faces = dataset.faces
    assert faces.labels is not None
    seen = model.has_input(faces).numpy()
    train, val = splits.train[seen[splits.train]], splits.val[seen[splits.val]]

    def part(rows: Rows) -> tuple:
        chosen = faces.rows(torch.as_tensor(rows))
        assert chosen.labels is not None
        return chosen, chosen.labels.numpy()

    started = time.perf_counter()
    batch, labels = part(train)
    model.fit(batch, labels, validation=part(val), seed=settings.seed, report=progress.say)
    seconds = time.perf_counter() - started
    row: dict[str, float] = {"epoch": 1, "step": 1, "lr": np.nan}
    for stage, rows in (("train", train), ("val", splits.val)):
        batch, labels = part(rows)
        probabilities = model.probabilities(batch).numpy()
        told, classes = probabilities.argmax(axis=1), range(len(dataset.classes))
        true = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
        row |= {
            f"{stage}_loss": float(-np.log(true).mean()),
            f"{stage}_accuracy": accuracy(labels, told),
            f"{stage}_balanced_accuracy": balanced_accuracy(labels, told, classes),
            f"{stage}_macro_f1": macro_f1(labels, told, classes),
        }
    row["seconds"] = round(seconds, 3)
    with replacing(run.metrics_file) as path:
        pd.DataFrame([row]).to_csv(path, index=False)
    progress.say(f"val accuracy {row['val_accuracy']:.1%} after {seconds:.0f} s")
    model.save(run.estimator_file)  # last, since this file says that the run is finished
