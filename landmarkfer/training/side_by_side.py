"""Several trainings at a time, each in a process of its own with its share of the processor's cores."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from landmarkfer.config import TrainSettings
from landmarkfer.errors import LandmarkferError, RunError
from landmarkfer.training.callbacks import read_epochs
from landmarkfer.training.repeat import train_all
from landmarkfer.training.run import RUNS_ROOT, RunFolder

_POLL_SECONDS = 1.0


def train_side_by_side(
    wanted: Sequence[TrainSettings],
    jobs: int,
    *,
    runs_root: Path = RUNS_ROOT,
    console: Console | None = None,
) -> None:
    """Train runs, `jobs` at a time; what is finished is kept, and what was cut off goes on.

    A run that begins with another one's weights waits for it. What a training says is in
    `<runs_root>/<name>.log`. A run that fails keeps none but those that begin with it from being trained.

    Args:
        wanted: Settings with names.
        jobs: How many at a time.
        runs_root: The folder of all runs.
        console: Where progress is shown; nowhere if None.

    Raises:
        RunError: A run failed, after all others are done; or runs begin with each other.
    """
    runs_root.mkdir(parents=True, exist_ok=True)
    waiting = list(wanted)
    running: dict[Future[None], str] = {}
    failed: dict[str, LandmarkferError] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with (
        ProcessPoolExecutor(jobs, spawn, torch.set_num_threads, (threads,)) as pool,
        _Bars(len(wanted), runs_root, console) as bars,
    ):
        try:
            while waiting or running:
                unfinished = {settings.name for settings in waiting} | set(running.values())
                ready = [settings for settings in waiting if not unfinished & _needed(settings)]
                for settings in ready[: jobs - len(running)]:
                    waiting.remove(settings)
                    assert settings.name is not None
                    bars.begin(settings.name, settings.epochs)
                    running[pool.submit(_train_logged, settings, runs_root)] = settings.name
                if not running:
                    raise RunError(f"run '{waiting[0].name}' begins with one that begins with it.")
                for future in wait(running, _POLL_SECONDS, FIRST_COMPLETED).done:
                    name = running.pop(future)
                    error = future.exception()
                    if isinstance(error, LandmarkferError):
                        failed[name] = error
                    elif error is not None:
                        raise error
                    bars.end(name, failed.get(name))
                bars.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        name, error = next(iter(failed.items()))
        others = f" ({len(failed)} runs failed)" if len(failed) > 1 else ""
        raise RunError(f"run '{name}' failed: {error}{others}") from error


def _needed(settings: TrainSettings) -> set[str | None]:
    """Names of the runs that a run begins with."""
    return {settings.init, settings.branches.image, settings.branches.encoder} - {None}


def _train_logged(settings: TrainSettings, runs_root: Path) -> None:
    """In a process of its own: train, with all that is said in a file."""
    with (runs_root / f"{settings.name}.log").open("a", encoding="utf-8", buffering=1) as log:
        sys.stdout = sys.stderr = log
        try:
            train_all([settings], runs_root=runs_root, console=Console(file=log, width=100))
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


class _Bars:
    """The epochs of each run that is being trained, and how many runs are done; plain lines elsewhere."""

    def __init__(self, runs: int, runs_root: Path, console: Console | None) -> None:
        self._console = console or Console(quiet=True)
        self._runs_root = runs_root
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bars = Progress(
            *columns, console=self._console, disable=console is None or not console.is_terminal
        )
        self._all = self._bars.add_task("runs", total=runs)
        self._one: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, name: str, epochs: int) -> None:
        """Show a run."""
        self._one[name] = self._bars.add_task(name, total=epochs)

    def update(self) -> None:
        """Look at how far the runs are."""
        for name, bar in self._one.items():
            self._bars.update(bar, completed=len(read_epochs(RunFolder(self._runs_root / name).metrics_file)))

    def end(self, name: str, error: LandmarkferError | None = None) -> None:
        """Say that a run is trained, or why it is not."""
        self._bars.remove_task(self._one.pop(name))
        self._bars.advance(self._all)
        self._console.print(f"{name}: {error or 'trained'}", highlight=False)
