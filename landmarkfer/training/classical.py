"""Fit a classical model: at once, without epochs, into the same run folder as a network's."""

import time

import numpy as np
import pandas as pd
import torch

from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.splits import Rows
from landmarkfer.files import replacing
from landmarkfer.inference.tta import batches
from landmarkfer.metrics.classification import accuracy, balanced_accuracy, macro_f1
from landmarkfer.progress import Patient, Progress
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.cache_figures import CacheFigures
from landmarkfer.training.calibrate import calibrate_classical
from landmarkfer.training.collapse import stored_warnings, warn
from landmarkfer.training.setup import Training


def fit_classical(run: RunFolder, training: Training, progress: Progress) -> None:
    """Fit a classical model and write its run folder: `metrics.csv` of one row, and `model.skops`.

    Args:
        run: The run's folder.
        training: What is trained.
        progress: Shows how far it is.
    """
    model, faces = training.model, training.dataset.faces
    usable = model.has_input(faces).numpy()
    train, val = training.usable_rows, training.splits.val

    def part(rows: Rows) -> tuple[FaceBatch, np.ndarray]:
        chosen = faces.rows(torch.as_tensor(rows))
        assert chosen.labels is not None
        return chosen, chosen.labels.numpy()

    started = time.perf_counter()
    batch, labels = part(train)
    validation = part(val[usable[val]])
    patient = Patient(progress)
    model.fit(batch, labels, validation=validation, seed=training.settings.seed, progress=patient)
    calibrate_classical(
        model,
        *part(val),
        training.settings.prediction,
        training.log_class_weights,
        training.dataset.frame["group"].to_numpy(object)[val],
        training.validation_weights,
    )
    seconds = time.perf_counter() - started
    row: dict[str, float] = {"epoch": 1, "step": 1, "lr": np.nan}
    for stage, rows, name in (("train", train, "training"), ("val", val, "validation")):
        batch, labels = part(rows)
        parts = batches(batch, model, progress=patient, task=f"predicting {name} faces")
        probabilities = torch.cat([model.probabilities(some) for some in parts]).numpy()
        predicted, classes = probabilities.argmax(axis=1), range(len(training.dataset.classes))
        true = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
        row |= {
            f"{stage}_loss": float(-np.log(true).mean()),
            f"{stage}_accuracy": accuracy(labels, predicted),
            f"{stage}_balanced_accuracy": balanced_accuracy(labels, predicted, classes),
            f"{stage}_macro_f1": macro_f1(labels, predicted, classes),
        }
        if stage == "val" and batch.caches is not None:
            by_cache = CacheFigures(training.dataset.caches, len(classes))
            for number in np.unique(of_cache := batch.caches.numpy()):
                own = of_cache == number
                by_cache.add(number, labels[own], predicted[own], float(-np.log(true[own]).mean()))
            row |= by_cache.compute()
    row["seconds"] = round(seconds, 3)
    with replacing(run.metrics_file) as path:
        pd.DataFrame([row]).to_csv(path, index=False)
    progress.say(f"val accuracy {row['val_accuracy']:.1%} after {seconds:.0f} s")
    validation_faces, settings = part(val)[0], training.settings.prediction
    warn(run, stored_warnings(model, validation_faces, training.dataset.classes, settings, progress))
    run.write_model(model)  # last, since this file says that the run is finished
