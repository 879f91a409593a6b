import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from landmarkfer.progress import Progress

# Before torch is loaded: on tensors as small as the tests' ones, threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from landmarkfer.config.train import TrainSettings
    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.data.row import Row


def _from_environment(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    path = Path(value)
    assert path.is_file(), f"{variable} names {path}, which is not a file"
    return path


@pytest.fixture(scope="session")
def fer2013_zip() -> Path:
    return _from_environment("LANDMARKFER_FER2013")


@pytest.fixture(scope="session")
def landmarker_path() -> Path:
    return _from_environment("LANDMARKFER_LANDMARKER")


@pytest.fixture(scope="session")
def photos_zip() -> Path:
    return _from_environment("LANDMARKFER_PHOTOS")


def tiny_rows(train: int = 36, test: int = 12, seed: int = 0) -> list["Row"]:
    """Rows of a small, learnable cache of three classes, with every irregularity a real one has.

    Per class: `train` and `test` faces of 200 x 100 pixels, the canonical face with a group of points moved
    by class, turned and shifted at random. Besides: each class has a pair of identical images within train
    and one test image that is identical to a training image; two training and three test images have no face,
    one test image is unreadable, and one training image has no label.
    """
    from landmarkfer.data.row import Row
    from landmarkfer.face.landmarks import CANONICAL, OUTER_LIPS_RING, region_points

    rng = np.random.default_rng(seed)
    moved = {
        "happy": list(OUTER_LIPS_RING),
        "sad": region_points("left_brow"),
        "angry": region_points("nose"),
    }
    rows = []
    for split, count in (("train", train), ("test", test)):
        for label, points in moved.items():
            for number in range(count):
                face = CANONICAL + 0.02 * rng.standard_normal((478, 3))
                face[points, 1] -= rng.uniform(0.1, 0.3)
                turn = rng.normal(0, 0.2)
                face[:, :2] = face[:, :2] @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
                pixels = face * 25 + [100, 50, 0] + [*rng.uniform(-10, 10, 2), 0]
                rows.append(
                    Row(
                        id=f"{split}/{label}/{number:03}.png",
                        label=label,
                        split=split,
                        subset="train" if split == "train" else ("public", "private")[number % 2],
                        width=200,
                        height=100,
                        sha256=f"{len(rows):064x}",
                        faces=1,
                        detections=1,
                        landmarks=(pixels / [200, 100, 200]).astype(np.float32),
                    )
                )
    by_id = {row.id: row for row in rows}
    for label in moved:
        for twin in (by_id[f"train/{label}/001.png"], by_id[f"test/{label}/000.png"]):
            first = by_id[f"train/{label}/000.png"]
            twin.sha256, twin.landmarks = first.sha256, first.landmarks
    for name in ("train/sad/002", "train/happy/002", "test/sad/001", "test/happy/001", "test/angry/001"):
        missing = by_id[f"{name}.png"]
        missing.status, missing.landmarks, missing.faces, missing.detections = "no_face", None, 0, 0
    broken = by_id["test/happy/002.png"]
    broken.status, broken.error, broken.landmarks = "unreadable", "the file is truncated", None
    broken.width = broken.height = broken.sha256 = None
    broken.faces = broken.detections = 0
    by_id["train/angry/002.png"].label = None
    return sorted(rows, key=lambda row: row.id)


@pytest.fixture(scope="session")
def make_rows():
    """The function `tiny_rows`, for tests that change the rows before they write a cache."""
    return tiny_rows


@pytest.fixture(scope="session")
def make_pictured_rows():
    """The function `pictured_rows`, for the same end."""
    return pictured_rows


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> "LandmarkCache":
    """The cache of `tiny_rows`, in two parts; never write to it."""
    from landmarkfer.data.cache_writer import write_cache

    return write_cache(tmp_path_factory.mktemp("caches") / "tiny", tiny_rows(), part_rows=100)


def pictured_rows(train: int = 36, test: int = 12, seed: int = 0) -> list["Row"]:
    """The rows of `tiny_rows` with pixels: grey squares of 24 pixels, whose bright band tells the class."""
    import io

    from PIL import Image

    rng = np.random.default_rng(seed)
    bands = {"happy": slice(2, 9), "sad": slice(9, 16), "angry": slice(16, 23)}
    rows = tiny_rows(train, test, seed)
    first: dict[str, bytes] = {}
    for row in rows:
        if row.status == "unreadable":
            continue
        pixels = rng.integers(0, 120, (24, 24))
        if row.label is not None:
            pixels[bands[row.label]] += rng.integers(40, 130)
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        assert row.sha256 is not None
        row.face = first.setdefault(row.sha256, file.getvalue())  # twins share their pixels
        row.width = row.height = 24
    return rows


@pytest.fixture(scope="session")
def pictured_cache(tmp_path_factory: pytest.TempPathFactory) -> "LandmarkCache":
    """The cache of `pictured_rows`; its decoded images may be kept in it, but write nothing else to it."""
    from landmarkfer.data.cache_writer import write_cache

    return write_cache(tmp_path_factory.mktemp("caches") / "pictured", pictured_rows(), part_rows=100)


class Recorder(Progress):
    """A progress that remembers: `calls` of (task, done, total), `notes` and what was `said`.

    Args:
        stop: Raises KeyboardInterrupt when a task has so many units done.
    """

    def __init__(self, stop: int | None = None) -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self.said: list[str] = []
        self.stop = stop

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        self.calls.append((task, done, total))
        self.notes.append(note)
        if done == self.stop:
            raise KeyboardInterrupt

    def say(self, text: str) -> None:
        self.said.append(text)

    @property
    def steps(self) -> list[tuple[int, int]]:
        return [(done, total) for _, done, total in self.calls]

    @property
    def ends(self) -> dict[str, tuple[int, int]]:
        """Task -> its last (done, total)."""
        return {task: (done, total) for task, done, total in self.calls}


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture(scope="session")
def image_settings(pictured_cache: "LandmarkCache"):
    """Settings of an image training that takes a second: `image_settings(**{"fit.epochs": 3})`."""
    from landmarkfer.config.recipes import load_settings

    def settings(model: str = "image", **overrides: object) -> "TrainSettings":
        small: dict[str, object] = {"model.name": model, "cache": str(pictured_cache.path)}
        if model == "image":
            small |= {"model.width": 4, "model.size": 16, "model.dropout": 0.0}
        small |= {"fit.epochs": 2, "fit.batch_size": 16, "fit.device": "cpu", "optimiser.lr": 0.01}
        return load_settings(overrides=small | overrides)

    return settings


@pytest.fixture(scope="session")
def tiny_settings(tiny_cache: "LandmarkCache", small_settings):
    """Those of `small_settings` on `tiny_cache`: `tiny_settings("mlp", **{"fit.epochs": 3})`."""

    def settings(model: str = "mlp", **overrides: object) -> "TrainSettings":
        return small_settings(model, **{"cache": str(tiny_cache.path)} | overrides)

    return settings


@pytest.fixture(scope="session")
def small_settings():
    """Settings of a training that takes a second: `small_settings("mlp", **{"cache": "faces"})`."""
    from landmarkfer.config.recipes import load_settings

    def settings(model: str = "mlp", **overrides: object) -> "TrainSettings":
        small: dict[str, object] = {"model.name": model, "model.hidden": [16]}
        # Whitening solves for 1,434 eigenvectors, which takes longer than all the rest.
        small |= {"model.features": "displacement"}
        small |= {"fit.epochs": 2, "fit.batch_size": 16, "fit.device": "cpu", "optimiser.lr": 0.01}
        if model == "gnn":
            small |= {"model.widths": [8], "model.node_width": 4, "model.identity": 2}
        return load_settings(overrides=small | overrides)

    return settings


@pytest.fixture
def made_run(tmp_path):
    """Write a run's folder by hand: `made_run("gnn-s0", [0.5, 0.6], seed=0, test=0.55, **{"fit.epochs": 9})`.

    The arguments are its validation accuracies by epoch, its settings by dotted key, the `state` (finished or
    not) and, for an evaluated run, the test accuracy. Folders lie in `experiments/runs` of `tmp_path`.
    """
    import json

    def write(name="run", val=(0.5,), *, test=None, finished=True, config=(), **settings):
        folder = tmp_path / "experiments/runs" / name
        folder.mkdir(parents=True)
        content = {"format": 1, "settings": {"model": {"name": "mlp"}}, "classes": ["happy", "sad"]}
        content |= {"graph": None, "parameters": 1234, "created": "2026-01-01T00:00:00+00:00"}
        content |= {"versions": {}, "cores": 1, "cache": {}} | dict(config)
        of_cache = {"path": "cache/faces", "fingerprint": "f00", "rows": 9, "detector": "none 1"}
        of_graph = {"name": "tesselation", "kinds": [], "nodes": 478, "edges": 0}
        for key, whole in (("cache", of_cache), ("graph", of_graph)):
            content[key] = whole | content[key] if isinstance(content[key], dict) else content[key]
        for key, value in settings.items():
            *tables, last = key.split(".")
            table = content["settings"]
            for part in tables:
                table = table.setdefault(part, {})
            table[last] = value
        (folder / "config.json").write_text(json.dumps(content))
        lines = ["epoch,step,lr,train_loss,val_loss,val_accuracy,val_macro_f1,seconds"]
        lines += [f"{e},{10 * e},0.1,1,{1 - v},{v},{v / 2},1.5" for e, v in enumerate(val, start=1)]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        if finished:
            (folder / "model.safetensors").touch()
        if test is not None:
            ends = {"accuracy": [test - 0.02, test + 0.03], "macro_f1": [test / 2 - 0.02, test / 2 + 0.03]}
            figures = {"n": 700, "accuracy": test, "macro_f1": test / 2, "ece": 0.1, "intervals": ends}
            (folder / "metrics.json").write_text(json.dumps({"subsets": {"test": figures}}))
        return folder

    return write


@pytest.fixture(scope="session")
def detector(request):
    """The default detector; if that is the landmarker, with the model the environment names, or skipped."""
    from landmarkfer.extraction.detectors import FaceMeshDetector, create_detector, default_detector

    if default_detector() != FaceMeshDetector.name:
        request.getfixturevalue("landmarker_path")
    found = create_detector()
    yield found
    found.close()


@pytest.fixture(scope="session")
def synthetic_faces():
    """Fourteen labelled faces of 192 pixels, two of each class, with the landmarks they were made to have."""
    from landmarkfer.data.synthetic import make_faces

    return list(make_faces(14, seed=1))


@pytest.fixture(scope="session")
def synthetic_dataset(tmp_path_factory):
    """28 synthetic faces, `train/<class>/*.jpg` and `test/<class>/*.jpg`, and two images without a face."""
    from landmarkfer.data.synthetic import write_dataset

    folder = tmp_path_factory.mktemp("made") / "faces"
    write_dataset(folder, per_class=4, seed=1)
    return folder
