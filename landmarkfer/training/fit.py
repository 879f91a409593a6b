"""Train a model from settings and leave a run folder; go on with one that was cut off."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from safetensors import SafetensorError

from landmarkfer.config import TrainSettings
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.datamodule import FaceDataModule, FaceDataset, load_dataset
from landmarkfer.data.splits import Splits, make_splits
from landmarkfer.errors import RunError
from landmarkfer.models.base import LandmarkModel
from landmarkfer.training.callbacks import (
    EpochTable,
    OneCheckpoint,
    Patience,
    TrainingProgress,
    WholeCheckpointIO,
    read_epochs,
)
from landmarkfer.training.curves import draw_curves
from landmarkfer.training.losses import build_loss
from landmarkfer.training.prepare import accelerator, class_counts, new_model, resolved
from landmarkfer.training.run import (
    RUNS_ROOT,
    CacheInfo,
    GraphInfo,
    RunConfig,
    RunFolder,
    environment,
    new_run,
)
from landmarkfer.training.task import ExpressionTask

logger = logging.getLogger(__name__)


def train(
    settings: TrainSettings, *, runs_root: Path = RUNS_ROOT, console: Console | None = None
) -> RunFolder:
    """Train a new run.

    Args:
        settings: All that decides the run.
        runs_root: The folder of all runs.
        console: Where progress is shown; nowhere if None.

    Returns:
        The finished run's folder.

    Raises:
        LandmarkferError: The cache, a setting or the run's name does not fit.
    """
    settings = resolved(settings)
    cache = LandmarkCache.open(find_cache(settings.cache))
    dataset = load_dataset(cache, settings.normalisation)
    splits = make_splits(dataset.frame, settings.split)
    model = new_model(settings, dataset, splits)
    graph = GraphInfo.of(model)
    parts = [settings.model.name, graph.name if graph else None, f"s{settings.seed}"]
    default = "-".join(filter(None, parts))
    with _disk_errors(f"go on with `landmarkfer train --resume {settings.name or default}`"):
        run = new_run(settings.name, default, runs_root)
        config = RunConfig(
            settings=settings,
            classes=dataset.classes,
            cache=CacheInfo(
                path=cache.path.as_posix(),
                fingerprint=cache.fingerprint,
                rows=len(cache),
                detector=f"{cache.manifest.detector.name} {cache.manifest.detector.version}",
            ),
            graph=graph,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            **environment(),
        )
        run.write_splits(splits.as_ids(dataset.frame["id"]))
        run.write_config(config)
    with run.writing():
        _fit(run, config, model, dataset, splits, None, console)
    return run


def resume(run: RunFolder, *, console: Console | None = None) -> RunFolder:
    """Go on with a run where its last checkpoint stands; from the start if there is none.

    The result is that of a run that was never cut off.

    Args:
        run: The run's folder.
        console: Where progress is shown; nowhere if None.

    Returns:
        The same folder, finished.

    Raises:
        RunError: The run is finished, another process trains it, or the cache is no longer the one it began
            with.
    """
    config = run.read_config()
    if run.weights_file.exists():
        raise RunError(f"run '{run.name}' is finished; see it with `landmarkfer evaluate {run.name}`.")
    settings = resolved(config.settings)
    cache = LandmarkCache.open(find_cache(config.cache.path))
    if cache.fingerprint != config.cache.fingerprint:
        raise RunError(f"{cache.path} has changed since run '{run.name}' began; train a new run.")
    dataset = load_dataset(cache, settings.normalisation)
    splits = _splits_of_ids(run, dataset.frame["id"])
    model = new_model(settings, dataset, splits)
    if GraphInfo.of(model) != config.graph:
        raise RunError(
            f"the graph '{settings.model.keywords['graph']}' has changed since run '{run.name}' began; "
            "train a new run."
        )
    with run.writing():
        checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
        _fit(run, config, model, dataset, splits, checkpoint, console)
    return run


def _splits_of_ids(run: RunFolder, known: pd.Series) -> Splits:
    row = pd.Series(np.arange(len(known)), index=known)
    try:
        return Splits(**{part: row.loc[ids].to_numpy() for part, ids in run.read_splits().items()})
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.splits_file} does not fit the cache: {error}; train a new run.") from error


def _fit(
    run: RunFolder,
    config: RunConfig,
    model: LandmarkModel,
    dataset: FaceDataset,
    splits: Splits,
    checkpoint: Path | None,
    console: Console | None,
) -> None:
    settings = config.settings
    # Lightning brings its loaders back only in the middle of an epoch, so the data begin at the right step.
    steps = run.read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    data = FaceDataModule(dataset, splits, settings.fit.batch_size, settings.seed, steps)
    total_steps = settings.epochs * len(data.train_dataloader())
    loss = build_loss(settings.loss, class_counts(dataset, splits))
    task = ExpressionTask(model, loss, settings, total_steps)
    # Deterministic mode also fills fresh memory, against operations that read what they have not written;
    # ours do not, and it costs a pass over every activation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    again = f"go on with `landmarkfer train --resume {run.name}`"
    with _quiet_lightning(), _disk_errors(again):
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=accelerator(settings.fit.device),
            devices=1,
            precision=settings.fit.precision,
            gradient_clip_val=settings.optimiser.clip or None,
            deterministic="warn",
            callbacks=_callbacks(run, settings, console),
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
            logger.warning("training was stopped; %s", again)
            raise KeyboardInterrupt from stop
        task.load_state_dict(run.read_checkpoint(run.best_checkpoint)["state_dict"])
        draw_curves(read_epochs(run.metrics_file), run.curves_file, run.name, settings.fit.monitor)
        run.write_weights(task.model)  # last, since this file says that the run is finished


def _callbacks(run: RunFolder, settings: TrainSettings, console: Console | None) -> list[pl.Callback]:
    fit = settings.fit
    mode = "min" if fit.monitor == "val_loss" else "max"
    # The averaged weights come first: the other callbacks must see them swapped in.
    callbacks: list[pl.Callback] = [EMAWeightAveraging(decay=fit.ema)] if fit.ema else []
    callbacks += [
        EpochTable(run.metrics_file),
        OneCheckpoint(run.best_checkpoint, monitor=fit.monitor, mode=mode),
        OneCheckpoint(run.last_checkpoint, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if fit.checkpoint_every:
        callbacks.append(OneCheckpoint(run.last_checkpoint, every_n_train_steps=fit.checkpoint_every))
    if fit.patience:
        callbacks.append(Patience(fit.monitor, patience=fit.patience, mode=mode))
    if console is not None:
        callbacks.append(TrainingProgress(console))
    return callbacks


@contextmanager
def _disk_errors(advice: str) -> Iterator[None]:
    """A full disk or a folder that cannot be written is the user's to mend."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise RunError(f"the run cannot be written: {error}; make room, then {advice}.") from error


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning tells of devices, tips and loaders what a user of this package need not know."""
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
