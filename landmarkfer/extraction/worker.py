"""What a worker process does: take batches of entries from its pipe, send back their rows.

A worker imports neither torch nor the storage of caches. It ends when its pipe does, so that it outlives a
killed parent by no more than the image it is at.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmarkfer.errors import LandmarkferError
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.entry import Entry, Reader

if TYPE_CHECKING:
    from landmarkfer.extraction.detectors import Detector

# Work is split by image; a library that starts threads for one image takes them from the others.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a run need: the source's reader, the settings, the detector's name and model.

    `make` is called with entries, reader, detector and settings, and gives an answer for each entry; without
    it, that is the row of a cache.
    """

    reader: Reader
    settings: ExtractSettings
    detector: str
    model: Path | None
    make: Callable[[Sequence[Entry], Reader, "Detector", ExtractSettings], Sequence[Any]] | None = None


def serve(pipe: Connection, job: Job, log: str) -> None:
    """Turn batches of entries into rows until the pipe closes or says None.

    Args:
        pipe: Gives lists of entries; takes a list of answers for each, or the error that stops the detector.
        job: What to do with them.
        log: File that takes what native code writes to the standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    _redirect_stderr(log)
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")
    from landmarkfer.extraction.detectors import create_detector
    from landmarkfer.extraction.process import make_rows

    try:
        detector = create_detector(job.detector, job.model)
        make = job.make or make_rows
        while (entries := pipe.recv()) is not None:
            pipe.send(make(entries, job.reader, detector, job.settings))
    except LandmarkferError as error:
        pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the parent is gone, and nothing here is worth an orderly end


def _redirect_stderr(log: str) -> None:
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 2)
    os.close(file)
