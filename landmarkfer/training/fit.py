"""Train a model from settings and leave a run folder; go on with one that was cut off."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors import SafetensorError

from landmarkfer.config.recipes import changed_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.datamodule import FaceDataModule
from landmarkfer.data.dataset import FaceDataset, label_images, load_dataset
from landmarkfer.data.splits import Splits, make_splits
from landmarkfer.errors import RunError
from landmarkfer.inference.device import accelerator, precision
from landmarkfer.models.base import is_network
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.learning_curves import draw_curves
from landmarkfer.runs.folder import (
    RUNS_ROOT,
    CacheInfo,
    GraphInfo,
    RunConfig,
    RunFolder,
    environment,
    new_run,
)
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.calibrate import fit_afterwards
from landmarkfer.training.callbacks import (
    EpochTable,
    MovingWeightAverage,
    OneCheckpoint,
    Patience,
    SamplingFocus,
    StochasticWeightAverage,
    TrainingProgress,
    WholeCheckpointIO,
)
from landmarkfer.training.classical import fit_classical
from landmarkfer.training.distillation import soft_targets
from landmarkfer.training.losses import build_loss
from landmarkfer.training.memory import freed_memory_kept
from landmarkfer.training.offline_augmentation import with_copies
from landmarkfer.training.resolve import resolved
from landmarkfer.training.samplers import ClassSampler, build_sampler, check_sampling
from landmarkfer.training.setup import class_counts, image_info, new_model, seen_rows
from landmarkfer.training.task import ExpressionTask

logger = logging.getLogger(__name__)


def train(
    settings: TrainSettings,
    *,
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
    callbacks: Sequence[pl.Callback] = (),
) -> RunFolder:
    """Train a new run.

    Args:
        settings: All that decides the run.
        runs_root: The folder of all runs.
        progress: Told how far it is.
        callbacks: What else is called along the way.

    Returns:
        The finished run's folder.

    Raises:
        LandmarkferError: The cache, a setting or the run's name does not fit.
    """
    changed = changed_settings(settings)
    settings = resolved(settings)
    cache = LandmarkCache.open(find_cache(settings.cache))
    copies = [LandmarkCache.open(find_cache(name)) for name in settings.data.also]
    labels = label_images(cache, settings.data)
    splits = make_splits(labels[0], settings.split, settings.data.per_class)
    check_sampling(settings.sampling, labels[1], _counts(labels, splits))
    images = image_info(settings, cache)
    dataset = load_dataset(cache, settings.normalisation, labels, images, progress, settings.data.shuffled)
    model = new_model(settings, dataset, splits)
    dataset = _with_targets(settings, dataset, model, splits)
    graph = GraphInfo.of(model)
    parts = [settings.model.name, _variant(settings, graph), f"s{settings.seed}"]
    default = "-".join(filter(None, parts))
    wanted = RunFolder(runs_root / (settings.name or default))
    with _disk_errors(f"go on with `landmarkfer train --resume {wanted.address}`"):
        run = new_run(settings.name, default, runs_root)
        config = RunConfig(
            settings=settings,
            changed=changed,
            classes=dataset.classes,
            cache=CacheInfo.of(cache),
            also=tuple(CacheInfo.of(copy) for copy in copies),
            graph=graph,
            images=images,
            parameters=model.num_parameters,
            **environment(),
        )
        run.write_splits(splits.as_ids(dataset.frame["id"]))
        run.write_config(config)
    with run.writing():
        _fit(run, config, model, dataset, splits, copies, None, progress, callbacks)
    return run


def resume(
    run: RunFolder, *, progress: Progress = SILENT, callbacks: Sequence[pl.Callback] = ()
) -> RunFolder:
    """Go on with a run where its last checkpoint stands; from the start if there is none.

    The result is that of a run that was never cut off.

    Args:
        run: The run's folder.
        progress: Told how far it is.
        callbacks: What else is called along the way.

    Returns:
        The same folder, finished.

    Raises:
        RunError: The run is finished, another process trains it, or the cache is no longer the one it began
            with.
    """
    config = run.read_config()
    if run.finished:
        raise RunError(f"run '{run.name}' is finished; see it with `landmarkfer evaluate {run.name}`.")
    settings = resolved(config.settings)
    cache, *copies = (LandmarkCache.open(find_cache(info.path)) for info in (config.cache, *config.also))
    for opened, info in zip((cache, *copies), (config.cache, *config.also), strict=True):
        if opened.fingerprint != info.fingerprint:
            raise RunError(f"{opened.path} has changed since run '{run.name}' began; train a new run.")
    labels = label_images(cache, settings.data)
    dataset = load_dataset(
        cache, settings.normalisation, labels, config.images, progress, settings.data.shuffled
    )
    splits = _splits_of_ids(run, dataset.frame["id"])
    model = new_model(settings, dataset, splits, fresh=not run.last_checkpoint.exists())
    if GraphInfo.of(model) != config.graph:
        raise RunError(
            f"the graph '{settings.model.keywords['graph']}' has changed since run '{run.name}' began; "
            "train a new run."
        )
    dataset = _with_targets(settings, dataset, model, splits)
    with run.writing():
        run.note_resume()
        checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
        _fit(run, config, model, dataset, splits, copies, checkpoint, progress, callbacks)
    return run


def _variant(settings: TrainSettings, graph: GraphInfo | None) -> str | None:
    """What a run's name tells of its model beside the model's own: the graph, or the backbone."""
    return graph.name if graph else settings.model.keywords.get("backbone")


def _with_targets(
    settings: TrainSettings, dataset: FaceDataset, model: Classifier, splits: Splits
) -> FaceDataset:
    """The dataset with what others say of the training faces, where the settings name it."""
    targets = soft_targets(settings.distillation, dataset, seen_rows(model, dataset, splits.train))
    return dataset if targets is None else replace(dataset, faces=replace(dataset.faces, targets=targets))


def _counts(labels: tuple[pd.DataFrame, tuple[str, ...]], splits: Splits) -> list[int]:
    frame, classes = labels
    there = frame["label"].iloc[splits.train].value_counts()
    return [int(there.get(name, 0)) for name in classes]


def _splits_of_ids(run: RunFolder, known: pd.Series) -> Splits:
    row = pd.Series(np.arange(len(known)), index=known)
    try:
        return Splits(**{part: row.loc[ids].to_numpy(copy=True) for part, ids in run.read_splits().items()})
    except (KeyError, TypeError) as error:
        raise RunError(f"{run.splits_file} does not fit the cache: {error}; train a new run.") from error


def _fit(
    run: RunFolder,
    config: RunConfig,
    model: Classifier,
    dataset: FaceDataset,
    splits: Splits,
    copies: Sequence[LandmarkCache],
    checkpoint: Path | None,
    progress: Progress,
    callbacks: Sequence[pl.Callback],
) -> None:
    dataset, train_rows = with_copies(dataset, splits.train, copies, config.settings, config.images, progress)
    splits = replace(splits, train=train_rows)
    if not is_network(model):
        with _disk_errors(f"go on with `landmarkfer train --resume {run.address}`"):
            fit_classical(run, config.settings, model, dataset, splits, progress)
        return
    settings = config.settings
    # Lightning brings its loaders back only in the middle of an epoch, so the data begin at the right step.
    steps = run.read_checkpoint(checkpoint)["global_step"] if checkpoint else 0
    rows = seen_rows(model, dataset, splits.train)
    assert dataset.faces.labels is not None
    train_labels = dataset.faces.labels.numpy()[rows]
    sampler = build_sampler(settings.sampling, train_labels, len(dataset.classes))
    data = FaceDataModule(dataset, rows, splits.val, settings.fit.batch_size, settings.seed, steps, sampler)
    per_epoch = len(data.train_dataloader())
    loss = build_loss(settings.loss, class_counts(dataset, splits.train))
    task = ExpressionTask(model, loss, settings, per_epoch)
    if settings.fit.compile:
        model.compile()
    # Deterministic mode also fills fresh memory, against operations that read what they have not written;
    # ours do not, and it costs a pass over every activation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    again = f"go on with `landmarkfer train --resume {run.address}`"
    with _quiet_lightning(), _disk_errors(again), freed_memory_kept():
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=accelerator(settings.fit.device),
            devices=1,
            precision=precision(settings.fit),
            gradient_clip_val=settings.optimiser.clip or None,
            deterministic="warn",
            callbacks=[
                *_callbacks(run, settings, per_epoch, sampler, dataset.classes, progress),
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
            logger.warning("training was stopped; %s", again)
            raise KeyboardInterrupt from stop
        _warn_of_collapse(task, dataset.classes)
        task.load_state_dict(run.read_checkpoint(run.best_checkpoint)["state_dict"])
        validation = dataset.faces.rows(torch.as_tensor(splits.val))
        model.to(accelerator(settings.fit.device))  # Lightning has taken it off
        fit_afterwards(model, validation, settings.prediction, progress)
        draw_curves(read_epochs(run.metrics_file), run.curves_file, run.name, settings.fit.monitor)
        run.write_weights(model)  # last, since this file says that the run is finished


def _warn_of_collapse(task: ExpressionTask, classes: Sequence[str]) -> None:
    """Say so where the last validation was answered with one class: accuracy alone would hide it."""
    told = np.flatnonzero(task.val_confusion.confmat.sum(dim=0).cpu().numpy())
    if len(told) == 1:
        logger.warning(
            "every validation image was told '%s': the model has learnt which class is most common, nothing "
            "else; try another optimiser.lr, more epochs, or loss.class_weights=inverse",
            classes[told[0]],
        )


def _callbacks(
    run: RunFolder,
    settings: TrainSettings,
    steps_per_epoch: int,
    sampler: ClassSampler,
    classes: Sequence[str],
    progress: Progress,
) -> list[pl.Callback]:
    fit = settings.fit
    mode = "min" if fit.monitor == "val_loss" else "max"
    # The averaged weights come first: the other callbacks must see them swapped in.
    callbacks: list[pl.Callback] = []
    if fit.ema:
        callbacks.append(MovingWeightAverage(fit.ema))
    if fit.swa:
        first = settings.epochs - max(1, round(fit.swa * settings.epochs))
        callbacks.append(StochasticWeightAverage(first, steps_per_epoch))
    callbacks += [
        SamplingFocus(sampler),
        EpochTable(run.metrics_file, sampler, classes),
        OneCheckpoint(run.best_checkpoint, monitor=fit.monitor, mode=mode),
        OneCheckpoint(run.last_checkpoint, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if fit.checkpoint_every:
        callbacks.append(OneCheckpoint(run.last_checkpoint, every_n_train_steps=fit.checkpoint_every))
    if fit.patience:
        callbacks.append(Patience(fit.monitor, patience=fit.patience, mode=mode))
    callbacks.append(TrainingProgress(progress))
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
