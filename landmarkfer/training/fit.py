"""Train a model from settings and leave a run folder; go on with one that was cut off."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import Tensor

from landmarkfer.config import ModelSettings, TrainSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.datamodule import FaceDataModule, FaceDataset, load_dataset
from landmarkfer.data.splits import Splits, make_splits
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.models import build_model, model_keywords
from landmarkfer.models.base import LandmarkModel
from landmarkfer.topology import build_graph
from landmarkfer.training.callbacks import EpochTable, TrainingProgress, WholeCheckpointIO, read_epochs
from landmarkfer.training.curves import draw_curves
from landmarkfer.training.losses import build_loss
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
    settings = _resolved(settings)
    cache = LandmarkCache.open(find_cache(settings.cache))
    dataset = load_dataset(cache, settings.normalisation)
    splits = make_splits(dataset.frame, settings.split)
    model = _new_model(settings, dataset, splits)
    graph = getattr(model, "graph", None)
    default = "-".join(filter(None, [settings.model.name, graph and graph.name, f"s{settings.seed}"]))
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
        graph=graph
        and GraphInfo(name=graph.name, kinds=graph.kinds, nodes=graph.num_nodes, edges=len(graph.edges)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        **environment(),
    )
    run.write_config(config)
    run.write_splits(splits.as_ids(dataset.frame["id"]))
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
        RunError: The run is finished, or the cache is no longer the one it began with.
    """
    config = run.read_config()
    if run.weights_file.exists():
        raise RunError(f"run '{run.name}' is finished; see it with `landmarkfer evaluate {run.name}`.")
    cache = LandmarkCache.open(find_cache(config.cache.path))
    if cache.fingerprint != config.cache.fingerprint:
        raise RunError(f"{cache.path} has changed since run '{run.name}' began; train a new run.")
    dataset = load_dataset(cache, config.settings.normalisation)
    splits = _splits_of_ids(run.read_splits(), dataset.frame["id"])
    model = _new_model(config.settings, dataset, splits)
    checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
    _fit(run, config, model, dataset, splits, checkpoint, console)
    return run


def _resolved(settings: TrainSettings) -> TrainSettings:
    """The settings with every keyword of the model stated, so that a run outlives changed defaults."""
    given = settings.model.keywords
    keywords = model_keywords(settings.model.name) | given
    return settings.model_copy(update={"model": ModelSettings(name=settings.model.name, **keywords)})


def landmark_statistics(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean face and SD of each coordinate, `[478, 3]` each, over faces and their mirror images.

    Args:
        landmarks: `[n, 478, 3]`, normalised.
    """
    mean = landmarks.mean(dim=0)
    variance = landmarks.var(dim=0, unbiased=False)
    swapped = mirror_landmarks(mean)
    # Over a set and its mirror images together: the mean of the variances plus the spread of the two means.
    mirrored_variance = mirror_landmarks(variance).abs()
    variance = (variance + mirrored_variance) / 2 + ((mean - swapped) / 2).square()
    return (mean + swapped) / 2, variance.sqrt()


def _new_model(settings: TrainSettings, dataset: FaceDataset, splits: Splits) -> LandmarkModel:
    """A model with fresh weights (by the seed) and the statistics of its training faces."""
    rows = splits.train[dataset.faces.present.numpy()[splits.train]]
    if len(rows) < 2:
        raise CacheError(f"training needs at least two labelled faces, and the cache has {len(rows)}.")
    faces = dataset.faces.rows(torch.as_tensor(rows))
    mean, std = landmark_statistics(faces.landmarks)
    keywords = settings.model.keywords
    if "graph" in keywords:
        name, k = keywords["graph"], keywords["k"]
        if not (isinstance(name, str) and isinstance(k, int)):
            raise SettingsError(
                f"model.graph must be a name or a path and model.k a whole number, not {name}, {k}."
            )
        keywords["graph"] = build_graph(name, mean_face=mean.numpy(), k=k)
    torch.manual_seed(settings.seed)
    model = build_model(settings.model.name, len(dataset.classes), **keywords)
    model.set_statistics(mean, std, _class_counts(dataset, splits) / len(splits.train))
    return model


def _class_counts(dataset: FaceDataset, splits: Splits) -> Tensor:
    """Training images of each class, `[C]`, those without a face included."""
    labels = dataset.frame["label"].to_numpy()[splits.train]
    return torch.tensor([np.count_nonzero(labels == name) for name in dataset.classes])


def _splits_of_ids(ids: dict[str, list[str]], known: pd.Series) -> Splits:
    row = pd.Series(np.arange(len(known)), index=known)
    return Splits(**{name: row.loc[ids[name]].to_numpy() for name in ("train", "val", "test")})


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
    data = FaceDataModule(dataset, splits, settings.fit.batch_size, settings.seed)
    steps = settings.fit.epochs * len(data.train_dataloader())
    task = ExpressionTask(model, build_loss(settings.loss, _class_counts(dataset, splits)), settings, steps)
    # Deterministic mode also fills fresh memory, against operations that read what they have not written;
    # ours do not, and it costs a pass over every activation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    with _quiet_lightning():
        trainer = pl.Trainer(
            max_epochs=settings.fit.epochs,
            accelerator=settings.fit.device,
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
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    best = torch.load(run.best_checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict(best)
    run.write_weights(task.model)
    draw_curves(read_epochs(run.metrics_file), run.curves_file, run.name)


def _callbacks(run: RunFolder, settings: TrainSettings, console: Console | None) -> list[pl.Callback]:
    fit = settings.fit
    mode = "min" if fit.monitor == "val_loss" else "max"
    # The averaged weights come first: the other callbacks must see them swapped in.
    callbacks: list[pl.Callback] = [EMAWeightAveraging(decay=fit.ema)] if fit.ema else []
    callbacks += [
        EpochTable(run.metrics_file),
        _checkpoint(run.best_checkpoint, monitor=fit.monitor, mode=mode),
        _checkpoint(run.last_checkpoint, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if fit.checkpoint_every:
        callbacks.append(_checkpoint(run.last_checkpoint, every_n_train_steps=fit.checkpoint_every))
    if fit.patience:
        callbacks.append(EarlyStopping(fit.monitor, patience=fit.patience, mode=mode))
    if console is not None:
        callbacks.append(TrainingProgress(console))
    return callbacks


def _checkpoint(path: Path, **keywords: Any) -> ModelCheckpoint:
    return ModelCheckpoint(path.parent, path.stem, enable_version_counter=False, **keywords)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning tells of devices, tips and loaders what a user of this package need not know."""
    levels = {name: logging.getLogger(name).level for name in ("lightning.pytorch", "lightning.fabric")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
