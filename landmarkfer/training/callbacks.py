"""Callbacks of the training loop: the table of epochs, progress, and checkpoints written atomically."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.files import replacing
from landmarkfer.progress import Progress
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.metrics_table import COLUMNS, FOCUS, lower_is_better, read_epochs
from landmarkfer.training.cache_figures import cache_columns
from landmarkfer.training.samplers import AdaptiveSampler, ClassSampler
from landmarkfer.training.weight_average import MovingWeightAverage


class WholeCheckpointIO(TorchCheckpointIO):
    """Checkpoints are written atomically, so that a process killed while saving loses nothing."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save under a temporary name and rename."""
        with replacing(Path(path)) as temporary:
            super().save_checkpoint(checkpoint, temporary, storage_options)


class OneCheckpoint(ModelCheckpoint):
    """One checkpoint file that is written over, wherever the run's folder lies now.

    Args:
        path: The file.
        **keywords: Of `ModelCheckpoint`: when to write it.
    """

    def __init__(self, path: Path, **keywords: Any) -> None:
        super().__init__(path.parent, path.stem, enable_version_counter=False, **keywords)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Save every N steps, but not at the end of an epoch.

        Lightning would consider an epoch validated whose last step was saved, and the epoch's own checkpoint
        follows at once.
        """
        if not trainer.is_last_batch:
            super().on_train_batch_end(trainer, *args, **kwargs)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score also in a folder that was moved or copied, where Lightning forgets it."""
        path = str(Path(str(self.dirpath)) / f"{self.filename}.ckpt")
        state = state_dict | {"dirpath": self.dirpath, "best_model_path": path}
        if state_dict["best_k_models"]:
            state |= {"best_k_models": {path: state_dict["best_model_score"]}, "kth_best_model_path": path}
        super().load_state_dict(state)


class Patience(EarlyStopping):
    """Early stopping that remembers, when a run is resumed, that it had stopped."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop again if the run was interrupted between its last epoch and its end."""
        trainer.should_stop = trainer.should_stop or self.stopped_epoch > 0


class SamplerUpdate(pl.Callback):
    """Gives the sampler each epoch's validation F1 by class; its state is in every checkpoint."""

    @property
    def state_key(self) -> str:
        """The name in checkpoints, which version 0.1 wrote too."""
        return "SamplingFocus"

    def __init__(self, sampler: ClassSampler) -> None:
        self._sampler = sampler

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the focus of the next epoch."""
        self._sampler.update(pl_module.class_f1())  # type: ignore[operator]

    def state_dict(self) -> dict[str, Any]:
        """Of the sampler."""
        return self._sampler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of the sampler."""
        self._sampler.load_state_dict(state_dict)


class EpochTable(pl.Callback):
    """One row per epoch in a CSV file; after a resume, rows of epochs that are trained again are replaced.

    `lr` is the largest learning rate of the last step; `seconds` restart where an epoch is resumed;
    `focus` names the classes that the epoch drew more often, where the sampling is adaptive. Of several
    caches, the figures of each follow (`cache_figures`).

    Args:
        path: The CSV file.
        sampler: What the epochs draw.
        classes: Names by number.
        caches: Names of the caches, where there are several.
    """

    def __init__(
        self, path: Path, sampler: ClassSampler, classes: Sequence[str], caches: Sequence[str] = ()
    ) -> None:
        self._path = path
        self._sampler = sampler
        self._classes = classes
        self._figures = [*COLUMNS, *cache_columns(caches)]
        self._focus = ""
        self._started = 0.0
        self._lr = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, also in the middle of an epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._focus = " ".join(self._classes[number] for number in self._sampler.focus)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Note the learning rate, which the schedule changes after the step."""
        self._lr = max(group["lr"] for group in trainer.optimizers[0].param_groups)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row."""
        row: dict[str, Any] = {
            name: value.item() for name, value in trainer.callback_metrics.items() if name in self._figures
        }
        row |= {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": self._lr,
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        columns = self._figures
        if isinstance(self._sampler, AdaptiveSampler):
            columns = [*columns, FOCUS]
            row[FOCUS] = self._focus
        table = read_epochs(self._path)
        rows = [*table[table["epoch"] <= trainer.current_epoch].to_dict("records"), row]
        with replacing(self._path) as path:
            pd.DataFrame(rows, columns=columns).to_csv(path, index=False)


class TrainingProgress(pl.Callback):
    """Steps of all epochs, with the figures of the last one.

    Args:
        progress: Counts them.
        monitor: The figure that chooses the epoch, whose best value is shown.
        caches: Names of the caches, where there are several.
    """

    def __init__(self, progress: Progress, monitor: str, caches: Sequence[str] = ()) -> None:
        self._progress = progress
        self._monitor = monitor
        self._caches = caches
        self._lower = lower_is_better(monitor)
        self._best = float("nan")
        self._note = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report where the run stands."""
        self._report(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Count the step."""
        self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch's figures."""
        figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
        accuracy = figures.get("val_accuracy", float("nan"))
        found = figures.get(self._monitor, float("nan"))
        better = np.fmin if self._lower else np.fmax  # neither takes a NaN for the best
        self._best = float(better(self._best, found))
        best = f"{self._best:.3f}" if self._lower else f"{self._best:.1%}"
        of_what = "" if self._monitor == "val_accuracy" else f" {self._monitor}"
        of_each = ", ".join(f"{name} {figures[f'val_accuracy_{name}']:.1%}" for name in self._caches)
        self._note = (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            f"  loss {figures.get('train_loss', float('nan')):.3f}"
            f"  val accuracy {accuracy:.1%}{f' ({of_each})' if of_each else ''}  best{of_what} {best}"
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the figures of the last epoch."""
        self._progress("training", trainer.global_step, trainer.global_step, self._note)
        self._progress.say(self._note)

    def _report(self, trainer: pl.Trainer) -> None:
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
        # The last step is reported at the end, when the last epoch is validated.
        self._progress("training", min(trainer.global_step, total - 1), total, self._note)


def build_callbacks(
    run: RunFolder,
    settings: ResolvedSettings,
    sampler: ClassSampler,
    classes: Sequence[str],
    progress: Progress,
    caches: Sequence[str] = (),
) -> list[pl.Callback]:
    """The callbacks of a training, in the order in which they must be called.

    Args:
        run: Where the table of epochs and the checkpoints are written.
        settings: Of the run.
        sampler: What the epochs draw.
        classes: Names by number.
        progress: Counts the steps.
        caches: Names of the caches, where there are several.
    """
    fit = settings.fit
    mode = "min" if lower_is_better(fit.monitor) else "max"
    # The averaged weights come first: the other callbacks must see them swapped in.
    callbacks: list[pl.Callback] = []
    if fit.ema:
        callbacks.append(MovingWeightAverage(fit.ema))
    callbacks += [
        SamplerUpdate(sampler),
        EpochTable(run.metrics_file, sampler, classes, caches),
        OneCheckpoint(run.best_checkpoint, monitor=fit.monitor, mode=mode),
        OneCheckpoint(run.last_checkpoint, every_n_epochs=1, save_on_train_epoch_end=True),
    ]
    if fit.checkpoint_every:
        callbacks.append(OneCheckpoint(run.last_checkpoint, every_n_train_steps=fit.checkpoint_every))
    if fit.patience:
        callbacks.append(Patience(fit.monitor, patience=fit.patience, mode=mode))
    callbacks.append(TrainingProgress(progress, fit.monitor, caches))
    return callbacks
