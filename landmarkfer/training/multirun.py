"""Multirun: several runs of one recipe, over seeds and folds, and their validation figures together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import RunError
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder
from landmarkfer.runs.metrics_table import best_epoch, read_epochs
from landmarkfer.training.collapse import repeat_warnings
from landmarkfer.training.fine_tuning import with_shipped
from landmarkfer.training.fit import train_or_resume

logger = logging.getLogger(__name__)

FIGURES = ("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss")


def repetitions(
    settings: TrainSettings, seeds: Sequence[int] = (), folds: int = 0, base: str | None = None
) -> list[TrainSettings]:
    """The settings of every run: each seed with each fold, with names that distinguish them.

    Args:
        settings: What the runs have in common.
        seeds: Training seeds; the one of the settings if empty.
        folds: k of k-fold cross-validation; 0 for the one validation part of the settings.
        base: Prefix of the names; the settings' own name, or the model's, if None.
    """
    base = base or settings.name or with_shipped(settings).model.name
    found = []
    for seed in seeds or [settings.seed]:
        for fold in range(folds) if folds else [None]:
            name = f"{base}-s{seed}" + ("" if fold is None else f"-fold{fold + 1}of{folds}")
            split = settings.split
            if fold is not None:
                split = split.model_copy(update={"folds": folds, "fold": fold})
            found.append(settings.model_copy(update={"seed": seed, "split": split, "name": name}))
    return found


def train_multirun(
    wanted: Sequence[TrainSettings], *, runs_root: Path = RUNS_ROOT, progress: Progress = SILENT
) -> list[RunFolder]:
    """Train runs one after the other; finished ones stay as they are, and interrupted ones resume.

    What a training warns of is logged, that of finished ones again.

    Args:
        wanted: Settings with names.
        runs_root: The folder of all runs.
        progress: Shows how far it is.

    Raises:
        RunError: There is a run of such a name with other settings.
    """
    runs = []
    for number, settings in enumerate(wanted, start=1):
        finished = settings.name is not None and RunFolder(runs_root / settings.name).finished
        known = ", which is finished" if finished else ""
        progress.say(f"run {number} of {len(wanted)}: {settings.name}{known}")
        runs.append(train_or_resume(settings, runs_root=runs_root, progress=progress))
        if finished:
            repeat_warnings(runs[-1])
    return runs


@dataclass(frozen=True)
class Validation:
    """The validation figures of the epoch whose weights a run selected."""

    name: str
    figures: dict[str, float]


def read_validation(run: RunFolder) -> Validation:
    """The validation figures of a finished run."""
    best = best_epoch(read_epochs(run.metrics_file), run.read_config().settings.fit.monitor)
    if best is None:
        raise RunError(
            f"{run.metrics_file} has no epoch with validation figures; train run {run.name} again."
        )
    return Validation(run.name, {name: float(best[name]) for name in FIGURES})


def validation_table(validations: Sequence[Validation]) -> Table:
    """Validation figures of each run, and their mean and SD, for the terminal."""
    from rich import box

    caption = "validation, at the selected epoch; test figures come from `landmarkfer evaluate`"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", no_wrap=True)
    for heading in ("accuracy", "balanced", "macro-F1", "loss"):
        table.add_column(heading, justify="right")
    factors = (100, 100, 100, 1)
    for one in validations:
        values = (f"{factor * one.figures[name]:.2f}" for name, factor in zip(FIGURES, factors, strict=True))
        table.add_row(one.name, *values)
    if len(validations) > 1:
        table.add_section()
        cells = []
        for name, factor in zip(FIGURES, factors, strict=True):
            sample = factor * np.array([one.figures[name] for one in validations])
            cells.append(f"{sample.mean():.2f} ± {sample.std(ddof=1):.2f}")
        table.add_row("mean ± SD", *cells)
    return table
