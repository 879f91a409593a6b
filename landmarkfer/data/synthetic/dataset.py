"""Synthetic faces as a folder of images, like a data set: `train/<class>/x.jpg` and `test/<class>/x.jpg`."""

import json
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.synthetic.faces import CLASSES, make_face, make_faceless
from landmarkfer.errors import SourceError
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress

_MARK = ".made-faces.json"  # as version 0.1 wrote it
_VERSION = 1  # of the generator: raised when the same seed gives other faces
_QUALITY = 92
_CHUNK = 40
FACELESS = "no_face.jpg"


@dataclass(frozen=True)
class DatasetPlan:
    """What a folder of synthetic faces holds.

    Attributes:
        train: images per class in `train/`.
        test: images per class in `test/`.
        seed: of all faces; no face is in both.
        size: side of the images, pixels.
        version: of the generator.
    """

    train: int
    test: int
    seed: int
    size: int
    version: int = _VERSION

    @property
    def faces(self) -> list[tuple[str, str, int]]:
        """(path below the folder, class, number of the face) of every face."""
        listed = []
        for position, label in enumerate(CLASSES):
            for index in range(self.train + self.test):
                split = "train" if index < self.train else "test"
                number = index * len(CLASSES) + position
                listed.append((f"{split}/{label}/{number:05d}.jpg", label, number))
        return listed


def plan_dataset(per_class: int, seed: int, size: int, test_share: float) -> DatasetPlan:
    """Divide the images of each class between the splits; see `write_dataset`."""
    if per_class < 2 or not 0.0 < test_share < 1.0:
        raise ValueError(
            f"a data set needs at least 2 images per class and a test share between 0 and 1, got {per_class} "
            f"and {test_share}"
        )
    test = min(max(1, round(per_class * test_share)), per_class - 1)
    return DatasetPlan(per_class - test, test, seed, size)


def write_dataset(
    folder: Path,
    per_class: int = 150,
    seed: int = 0,
    *,
    size: int = 192,
    test_share: float = 0.25,
    workers: int = 1,
    progress: Progress = SILENT,
) -> int:
    """Write a labelled data set of synthetic faces, with one image without a face in each split.

    A folder that holds part of the same data set is completed, a whole one is left as it is.

    Args:
        folder: Where to; made if need be.
        per_class: Images of each of the seven classes, both splits together; at least two.
        seed: Same seed and settings, same files.
        size: Side of the images, pixels.
        test_share: Share of the images of each class that goes to `test/`; at least one stays on either side.
        workers: Processes. More than one are started anew, so a script needs its `__main__` guard.
        progress: Reports the task `making faces`.

    Returns:
        How many images the folder holds.

    Raises:
        SourceError: The folder holds other images already, or cannot be written to.
        ValueError: The numbers make no data set.
    """
    plan = plan_dataset(per_class, seed, size, test_share)
    total = len(plan.faces) + 2
    try:
        _claim(folder, plan)
        for path in {path.rpartition("/")[0] for path, _, _ in plan.faces}:
            (folder / path).mkdir(parents=True, exist_ok=True)
        for number, split in enumerate(("train", "test")):
            _save(make_faceless(number, size), folder / split / "neutral" / FACELESS)
        _write_faces(folder, plan, workers, lambda done: progress("making faces", done + 2, total))
    except OSError as error:
        raise SourceError(f"cannot write synthetic faces to {folder}: {error.strerror or error}.") from error
    return total


def _claim(folder: Path, plan: DatasetPlan) -> None:
    """Mark the folder as one of synthetic faces, or make sure that it is marked with the same plan."""
    mark = folder / _MARK
    if mark.is_file():
        try:
            written = json.loads(mark.read_text(encoding="utf-8"))
        except ValueError:
            written = None
        if written != asdict(plan):
            raise SourceError(
                f"{folder} holds faces made with other settings ({written}); remove it or name another."
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise SourceError(f"{folder} holds files that are not synthetic faces; name another folder.")
    else:
        with replacing(mark) as file:
            file.write_text(json.dumps(asdict(plan)), encoding="utf-8")


def _write_faces(folder: Path, plan: DatasetPlan, workers: int, report: Callable[[int], None]) -> None:
    faces = [face for face in plan.faces if not (folder / face[0]).is_file()]
    chunks = [faces[start : start + _CHUNK] for start in range(0, len(faces), _CHUNK)]
    done = len(plan.faces) - len(faces)
    report(done)
    if workers <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            done += _write_chunk(folder, plan, chunk)
            report(done)
        return
    # Spawned, not forked: a fork of a process in which torch or MediaPipe runs threads can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_leave_interrupts_to_parent) as pool:
        try:
            waiting = [pool.submit(_write_chunk, folder, plan, chunk) for chunk in chunks]
            for future in as_completed(waiting):
                done += future.result()
                report(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_chunk(folder: Path, plan: DatasetPlan, chunk: list[tuple[str, str, int]]) -> int:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # Matrices this small gain nothing from threads, and with one thread the same seed gives the same bytes.
    with threadpool_limits(1):
        for path, label, number in chunk:
            _save(make_face(label, number, plan.size, plan.seed).image, folder / path)
    return len(chunk)


def _save(image: NDArray[np.uint8], path: Path) -> None:
    with replacing(path) as file:
        Image.fromarray(image).save(file, quality=_QUALITY)
