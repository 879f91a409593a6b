"""Fit a network: the loop over epochs, the best of them, and what is calibrated on validation images."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from landmarkfer.data.datamodule import FaceDataModule
from landmarkfer.inference.device import accelerator, precision
from landmarkfer.models.base import is_network
from landmarkfer.progress import Progress
from landmarkfer.reporting.learning_curves import draw_curves
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.calibrate import calibrate
from landmarkfer.training.callbacks import WholeCheckpointIO, build_callbacks
from landmarkfer.training.collapse import average_warnings, stored_warnings, warn
from landmarkfer.training.losses import build_loss
from landmarkfer.training.memory import keep_freed_memory
from landmarkfer.training.offline_augmentation import image_versions
from landmarkfer.training.samplers import build_sampler
from landmarkfer.training.setup import Training
from landmarkfer.training.task import ExpressionTask


def fit_network(
    run: RunFolder, training: Training, progress: Progress, callbacks: Sequence[pl.Callback]
) -> None:
    """Fit a network from the run's last checkpoint, or from its first weights, and write `model.safetensors`.

    Args:
        run: The run's folder.
        training: What is trained.
        progress: Counts the steps.
        callbacks: Called beside those of the run.

    Raises:
        RunError: The training diverges, or a checkpoint is damaged.
    """
    settings, model, dataset = training.settings, training.model, training.dataset
    assert is_network(model)
    assert dataset.faces.labels is not None
    checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
    # Lightning restores its loaders only in the middle of an epoch, so the data start at the right step.
    steps = run.read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    rows = training.usable_rows
    if settings.loss.consistency:
        rows = image_versions(dataset.frame["id"], rows)
    first = rows.reshape(len(rows), -1)[:, 0]
    labels = dataset.faces.labels.numpy()[first]
    of_cache = None if dataset.faces.caches is None else dataset.faces.caches.numpy()[first]
    sampler = build_sampler(settings.sampling, labels, len(dataset.classes), of_cache, dataset.caches)
    data = FaceDataModule(
        dataset, rows, training.splits.val, settings.fit.batch_size, settings.seed, steps, sampler
    )
    per_epoch = len(data.train_dataloader())
    loss = build_loss(settings.loss, training.class_counts)
    task = ExpressionTask(model, loss, settings, per_epoch, dataset.caches)
    if settings.fit.compile:
        model.compile()
    # Deterministic mode also fills fresh memory, against operations that read what they have not written;
    # ours do not, and it costs a pass over every activation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with _quiet_lightning(), keep_freed_memory():
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=accelerator(settings.fit.device),
            devices=1,
            precision=precision(settings.fit),
            gradient_clip_val=settings.optimiser.clip or None,
            deterministic="warn",
            callbacks=[
                *build_callbacks(run, settings, sampler, dataset.classes, progress, dataset.caches),
                *callbacks,
            ],
            logger=TensorBoardLogger(run.path, name="", version="tensorboard"),
            plugins=[WholeCheckpointIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:
            # What Lightning makes of Ctrl-C; to leave the process is not for a library to decide.
            raise KeyboardInterrupt from stop
        model.to(accelerator(settings.fit.device))  # Lightning has moved it to the CPU
        validation = dataset.faces.rows(torch.as_tensor(training.splits.val))
        found = []
        if settings.fit.ema:
            last = run.read_checkpoint(run.last_checkpoint)
            prediction, decay = settings.prediction, settings.fit.ema
            found = average_warnings(task, last, validation, prediction, decay, progress)
        task.load_state_dict(run.read_checkpoint(run.best_checkpoint)["state_dict"])
        groups = dataset.frame["group"].to_numpy(object)[training.splits.val]
        calibrate(
            model,
            validation,
            settings.prediction,
            training.log_class_weights,
            groups,
            training.validation_weights,
            progress=progress,
        )
        stored = stored_warnings(model.eval(), validation, dataset.classes, settings.prediction, progress)
        counts = np.bincount(dataset.faces.labels.numpy()[training.splits.val])
        draw_curves(read_epochs(run.metrics_file), run.curves_file, run.name, settings.fit.monitor, counts)
        warn(run, [*stored, *found])
        run.write_model(model)  # last, since this file says that the run is finished


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's messages on devices, tips and loaders."""
    levels = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
