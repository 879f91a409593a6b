"""Several trainings at a time, each in a process of its own with its share of the processor's cores."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from rich.console import Console

from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import LandmarkferError, RunError
from landmarkfer.progress import SILENT, Progress, show_progress
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.collapse import repeat_warnings
from landmarkfer.training.multirun import train_multirun

_POLL_SECONDS = 1.0


def train_parallel(
    wanted: Sequence[TrainSettings],
    jobs: int,
    *,
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
) -> None:
    """Train runs, `jobs` at a time; finished ones stay as they are, and interrupted ones resume.

    A run that is initialised from another one waits for it. The output of a training is in
    `<runs_root>/<name>.log`; what it warned of is logged here too. A run that fails, or whose process is
    killed, stops no others but those that are initialised from it.

    Args:
        wanted: Settings with names.
        jobs: How many at a time.
        runs_root: The folder of all runs.
        progress: Shows how far it is.

    Raises:
        RunError: A run failed, after all others are done; or runs are initialised from each other.
    """
    runs_root.mkdir(parents=True, exist_ok=True)
    waiting = list(wanted)
    running: dict[str, _Process] = {}
    failed: dict[str, str] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    status = _RunProgress(len(wanted), runs_root, progress)
    try:
        while waiting or running:
            unfinished = {settings.name for settings in waiting} | set(running)
            ready = [settings for settings in waiting if not unfinished & _needed(settings)]
            for settings in ready[: jobs - len(running)]:
                waiting.remove(settings)
                assert settings.name is not None
                status.start(settings.name, settings.epochs)
                running[settings.name] = _Process.start(settings, runs_root, threads)
            if not running:
                raise RunError(
                    f"run '{waiting[0].name}' is initialised from one that is initialised from it."
                )
            ended = wait([one.process.sentinel for one in running.values()], _POLL_SECONDS)
            for name in [name for name, one in running.items() if one.process.sentinel in ended]:
                if error := running.pop(name).error():
                    failed[name] = error
                status.end(name, failed.get(name))
                if name not in failed:
                    repeat_warnings(RunFolder(runs_root / name))  # its process wrote them to the log file
            status.update()
    finally:
        for one in running.values():
            one.process.kill()  # its checkpoints stand, and Lightning would put a request to end off
    if failed:
        name, error = next(iter(failed.items()))
        others = f" ({len(failed)} runs failed)" if len(failed) > 1 else ""
        raise RunError(f"run '{name}' failed: {error}{others}")


def _needed(settings: TrainSettings) -> set[str | None]:
    """Names of the runs that a run is initialised from."""
    return {settings.init, settings.branches.image, settings.branches.encoder} - {None}


@dataclass(frozen=True)
class _Process:
    """A training in a process of its own, which sends at its end what went wrong."""

    process: BaseProcess
    connection: Connection
    log: Path

    @classmethod
    def start(cls, settings: TrainSettings, runs_root: Path, threads: int) -> "_Process":
        context = _context()
        connection, sender = context.Pipe(duplex=False)
        log = runs_root / f"{settings.name}.log"
        args = settings, runs_root, log, threads, sender
        process = context.Process(target=_train_logged, args=args, name=settings.name, daemon=True)
        process.start()
        sender.close()  # so that the connection ends with the process
        return cls(process, connection, log)

    def error(self) -> str | None:
        """Why the training failed; None if it did not."""
        self.process.join()
        try:
            return self.connection.recv()
        except EOFError:
            code = self.process.exitcode or 0
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
            return f"its process {how}; {self.log} says how far it was."


def _context() -> ForkServerContext | SpawnContext:
    """How processes start: as forks of one that has imported all and has no threads, where that exists.

    A fork of a process that has looked for a GPU cannot use it.
    """
    if torch.cuda.is_available() or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _train_logged(
    settings: TrainSettings, runs_root: Path, log: Path, threads: int, sender: Connection
) -> None:
    """In a process of its own: train, with all output in a file, and send what went wrong."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    with log.open("a", encoding="utf-8", buffering=1) as file:
        sys.stdout = sys.stderr = file
        try:
            with show_progress(Console(file=file, width=100)) as progress:
                train_multirun([settings], runs_root=runs_root, progress=progress)
            sender.send(None)
        except LandmarkferError as error:
            sender.send(str(error))
        except Exception as error:  # a fault of ours stops no other run, and is not lost
            traceback.print_exc()
            sender.send(f"{type(error).__name__}: {error}; {log} holds the traceback.")
        finally:
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__


def _end_with_parent() -> None:
    """End when the benchmark ends, for whatever reason, so that the next one finds the run unlocked."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _RunProgress:
    """Reports the epochs of each run that is being trained, and how many runs are done."""

    def __init__(self, runs: int, runs_root: Path, progress: Progress) -> None:
        self._progress = progress
        self._runs_root = runs_root
        self._runs = runs
        self._done = 0
        self._epochs: dict[str, int] = {}

    def start(self, name: str, epochs: int) -> None:
        """Report a run from now on."""
        self._epochs[name] = epochs

    def update(self) -> None:
        """Report how far the runs are."""
        for name, epochs in self._epochs.items():
            done = len(read_epochs(RunFolder(self._runs_root / name).metrics_file))
            self._progress(name, min(done, epochs - 1), epochs)

    def end(self, name: str, error: str | None = None) -> None:
        """Report that a run is trained, or why it is not."""
        epochs = self._epochs.pop(name)
        self._done += 1
        self._progress(name, epochs, epochs)
        self._progress("runs", self._done, self._runs)
        self._progress.say(f"{name}: {error or 'trained'}")
