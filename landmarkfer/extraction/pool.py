"""Worker processes that survive their own deaths: entries in, rows out, nothing lost in a crash.

Entries travel in batches. Every worker has a pipe of its own and answers in order, so when one dies, the
batch it was at is known. The images of that batch are then tried one by one, and one that kills its process
too is given up, with the signal as the reason.
"""

import logging
import multiprocessing
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, ModuleType, TracebackType

from landmarkfer.data.row import Row
from landmarkfer.errors import DetectorError
from landmarkfer.extraction.sources.entry import Entry, row_of
from landmarkfer.extraction.worker import Job, serve

logger = logging.getLogger(__name__)

DEPTH = 3
"""Batches that a worker has waiting, so that it is not idle while the parent writes a part."""

Batch = Sequence[tuple[int, Entry]]
"""Entries with the numbers that come back with their rows."""

# So many deaths in a row, without one row between them, mean that it is not the images.
_MAX_DEATHS = 6


class _Worker:
    """One process, its pipe, and the batches it has not answered."""

    def __init__(self, job: Job, log: Path) -> None:
        # Not forked: a fork would share locks and threads of whatever the caller has loaded.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.log = log
        self.waiting: deque[Batch] = deque()
        self.process: BaseProcess = context.Process(target=serve, args=(theirs, job, str(log)), daemon=True)
        with _nothing_as_main(), _interrupts_blocked():
            self.process.start()
        theirs.close()  # the child has its own copy; with this one open, its death would not close the pipe

    def give(self, batch: Batch) -> None:
        self.waiting.append(batch)
        try:
            self.pipe.send([entry for _, entry in batch])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has died, which the next reading from it will show

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class WorkerPool:
    """Runs a job on entries in several processes; use it as a context manager.

    Args:
        job: What the workers need.
        workers: How many to start.
        batch: How many entries travel together.
    """

    def __init__(self, job: Job, workers: int, batch: int = 1) -> None:
        self._job = job
        self._batch = batch
        self._wanted = workers
        self._workers: list[_Worker] = []
        self._suspects: set[Entry] = set()
        self._in_a_row = 0

    def __enter__(self) -> "WorkerPool":
        self._logs = tempfile.TemporaryDirectory(prefix="landmarkfer-")
        try:
            for _ in range(self._wanted):
                self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._logs.cleanup()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run now."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def room(self) -> int:
        """Return how many more entries can be given before rows have to be taken."""
        return self._batch * sum(max(0, DEPTH - len(worker.waiting)) for worker in self._workers)

    def give(self, items: Batch) -> None:
        """Hand entries out in batches, each to the worker with the shortest queue."""
        for start in range(0, len(items), self._batch):
            worker = min(self._workers, key=lambda worker: len(worker.waiting))
            worker.give(items[start : start + self._batch])

    def take(self) -> Iterator[tuple[int, Row]]:
        """Wait for rows and yield all that are there, with the numbers of their entries.

        Raises:
            DetectorError: The detector does not work, or the workers die whatever they are given.
        """
        busy = [worker for worker in self._workers if worker.waiting]
        ready = wait([worker.pipe for worker in busy])
        for worker in [worker for worker in busy if worker.pipe in ready]:
            try:
                answer = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                yield from self._bury(worker)
                continue
            if isinstance(answer, Exception):
                raise answer
            self._in_a_row = 0
            for (number, _), row in zip(worker.waiting.popleft(), answer, strict=True):
                yield number, row

    def _start(self) -> None:
        with interrupts_held():  # so that no process is started and then not in the list of those to end
            self._workers.append(_Worker(self._job, Path(self._logs.name) / f"{len(self._workers)}.log"))

    def _bury(self, worker: _Worker) -> Iterator[tuple[int, Row]]:
        """Replace a dead worker; yield the row of the image that killed it if it was alone in its batch."""
        worker.process.join(timeout=5)
        reason = _reason(worker.process.exitcode)
        last_words = _last_line(worker.log)
        batch, *later = worker.waiting
        names = " to ".join(dict.fromkeys([batch[0][1].id, batch[-1][1].id]))
        self._in_a_row += 1
        logger.warning("a worker process ended by %s at %s; %s", reason, names, last_words)
        if self._in_a_row >= _MAX_DEATHS:
            raise DetectorError(
                f"worker processes keep dying ({reason}, lastly at {names}): {last_words}. "
                "If memory is short, use fewer workers."
            )
        self._workers.remove(worker)
        worker.end()
        self._start()
        tried_alone = len(batch) == 1 and batch[0][1] in self._suspects
        again = [] if tried_alone else [[item] for item in batch]
        self._suspects.update(entry for _, entry in batch)
        for part in [*again, *later]:
            self._workers[-1].give(part)
        if tried_alone:
            number, entry = batch[0]
            row = row_of(entry)
            row.status, row.error = "unreadable", f"the detector crashed on it twice ({reason})"
            yield number, row


@contextmanager
def _nothing_as_main() -> Iterator[None]:
    """Keep new processes from running the caller's script, as they otherwise do before anything else.

    They need nothing from it, it may take long, and a script without `if __name__ == "__main__":` would start
    workers of its own.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that never see Ctrl-C, not even while they start: they inherit the blocked signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # multiprocessing's own process starts with the first of ours, and with it the signal would be let in.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Put Ctrl-C off until the block ends.

    For blocks in which a `KeyboardInterrupt` may be lost, as within imports: Python drops exceptions in the
    callbacks that it runs there. To block the signal is not enough, since another thread may take it. Nothing
    is changed where Ctrl-C is ignored and in threads other than the main one, which never see it.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *interrupt: held.append(interrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"signal {-code}, {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no message"
    return f"its last message: {lines[-1]}" if lines else "it left no message"
