"""The run folder: what a training leaves behind, and all that prediction needs of it.

`config.json` and `model.safetensors` alone make a trained model; nothing pickled is read.
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open

import landmarkfer
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.images import ImageInfo
from landmarkfer.errors import RunError
from landmarkfer.face.graph import FaceGraph
from landmarkfer.files import replacing
from landmarkfer.models import build_model
from landmarkfer.models.classifier import Classifier

RUNS_ROOT = Path("experiments/runs")
FORMAT = 1
PARTS = ("train", "val", "test")
_GRAPH = "graph."
_GRAPH_ARRAYS = ("edge_index", "edge_kind", "node_region")
_PACKAGES = ("torch", "torch-geometric", "lightning", "timm", "scikit-learn", "numpy", "mediapipe")


class CacheInfo(BaseModel):
    """Which cache a run was trained on.

    `extraction` is how its landmarks and images were made (`detector`, `passes`, `crop`, ...), so that the
    run can be applied to photos without its cache; runs of version 0.1 have none.
    """

    model_config = ConfigDict(frozen=True)
    path: str
    fingerprint: str
    rows: int
    detector: str
    extraction: dict[str, Any] | None = None

    @classmethod
    def of(cls, cache: LandmarkCache) -> "CacheInfo":
        """What there is to say of a cache."""
        made = cache.manifest.detector
        return cls(
            path=cache.path.as_posix(),
            fingerprint=cache.fingerprint,
            rows=len(cache),
            detector=f"{made.name} {made.version}",
            extraction={"detector": made.name, **cache.manifest.settings},
        )


class GraphInfo(BaseModel):
    """Which graph a run uses; its edges lie beside the weights."""

    model_config = ConfigDict(frozen=True)
    name: str
    kinds: tuple[str, ...]
    nodes: int
    edges: int

    @classmethod
    def of(cls, model: Classifier) -> "GraphInfo | None":
        """What there is to say of a model's graph; None if it has none."""
        graph = getattr(model, "graph", None)
        if graph is None:
            return None
        return cls(name=graph.name, kinds=graph.kinds, nodes=graph.num_nodes, edges=len(graph.edges))


class RunConfig(BaseModel):
    """`config.json`: all that was decided before the first step.

    `settings` state every keyword of the model, so that the run outlives changed defaults; `changed` are
    those that were given and differ from the defaults of their day, by dotted key.
    """

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    settings: TrainSettings
    changed: dict[str, Any] = {}
    classes: tuple[str, ...]
    cache: CacheInfo
    also: tuple[CacheInfo, ...] = ()
    graph: GraphInfo | None
    images: ImageInfo | None = None
    parameters: int | None
    versions: dict[str, str]
    cores: int
    created: str


@dataclass(frozen=True)
class TrainedModel:
    """A model ready to predict, with what it has to know of its training."""

    model: Classifier
    config: RunConfig


class RunFolder:
    """The files of one run; making one touches no disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.splits_file = path / "splits.json"
        self.metrics_file = path / "metrics.csv"
        self.curves_file = path / "curves.png"
        self.resumes_file = path / "resumed.txt"
        self.weights_file = path / "model.safetensors"
        self.estimator_file = path / "model.skops"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.best_checkpoint = self.checkpoints / "best.ckpt"

    def __repr__(self) -> str:
        return f"<RunFolder {self.path}: {'finished' if self.finished else 'not finished'}>"

    @property
    def name(self) -> str:
        """The folder's name, also where it is given as `.`."""
        return Path(os.path.abspath(self.path)).name

    @property
    def address(self) -> str:
        """What commands find it by: its name, or its folder where it lies elsewhere."""
        return self.name if self.path.parent == RUNS_ROOT else self.path.as_posix()

    @property
    def finished(self) -> bool:
        """Whether the trained model is there."""
        return self.weights_file.is_file() or self.estimator_file.is_file()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only process that trains this run.

        Raises:
            RunError: Another one does.
        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                yield
        except Timeout:
            raise RunError(f"another process is training {self.path}; wait until it ends.") from None

    def note_resume(self) -> None:
        """Write down that the run is resumed now."""
        with self.resumes_file.open("a", encoding="utf-8") as file:
            file.write(datetime.now(UTC).isoformat(timespec="seconds") + "\n")

    def read_config(self) -> RunConfig:
        """Read `config.json`.

        Raises:
            RunError: It is missing, damaged or of another format.
        """
        try:
            content = json.loads(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.config_file} cannot be read: {error}; is {self.path} a run folder?"
            ) from error
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            raise RunError(
                f"{self.config_file} has format {found}, and this version reads {FORMAT}; train it again."
            )
        try:
            return RunConfig.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise RunError(f"{self.config_file} does not fit: '{key}': {first['msg']}.") from error

    def write_config(self, config: RunConfig) -> None:
        """Write `config.json`."""
        with replacing(self.config_file) as path:
            path.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def write_splits(self, splits: Mapping[str, list[str]]) -> None:
        """Write `splits.json`: the ids that train, validate and test."""
        with replacing(self.splits_file) as path:
            path.write_text(json.dumps(splits, ensure_ascii=False), encoding="utf-8")

    def read_splits(self) -> dict[str, list[str]]:
        """Read `splits.json`.

        Raises:
            RunError: It is missing or damaged.
        """
        try:
            content = json.loads(self.splits_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.splits_file} cannot be read: {error}.") from error
        if not isinstance(content, dict) or any(not isinstance(content.get(p), list) for p in PARTS):
            raise RunError(f"{self.splits_file} does not hold the lists {', '.join(PARTS)}; train it again.")
        return content

    def write_weights(self, model: Classifier) -> None:
        """Write the file of the trained model."""
        model.save(self.weights_file)

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        """Read `global_step` and `state_dict` of a checkpoint; only tensors and plain data are unpickled.

        Raises:
            RunError: It cannot be read.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            return {"global_step": content["global_step"], "state_dict": content["state_dict"]}
        except Exception as error:  # the reader of a damaged file may stumble over anything
            reason = str(error).partition("\n")[0][:200]
            raise RunError(
                f"{path} is damaged ({type(error).__name__}: {reason}); delete {self.checkpoints} and "
                f"`landmarkfer train --resume {self.address}` begins again."
            ) from error

    def load(self) -> TrainedModel:
        """The trained model, in evaluation mode, on the CPU.

        Raises:
            RunError: The training has not finished, or the files do not fit each other.
        """
        config = self.read_config()
        if not self.finished:
            raise RunError(
                f"{self.path} has no trained model: its training has not finished; "
                f"go on with `landmarkfer train --resume {self.address}`."
            )
        file = self.weights_file if self.weights_file.is_file() else self.estimator_file
        keywords = config.settings.model.keywords
        if config.graph is not None:
            keywords["graph"] = _read_graph(config.graph, file)
        model = build_model(config.settings.model.name, len(config.classes), **keywords)
        model.load(file)
        return TrainedModel(model, config)


def _read_graph(info: GraphInfo, origin: Path) -> FaceGraph:
    try:
        with safe_open(origin, "np") as file:
            there = file.keys()
            if missing := [name for name in _GRAPH_ARRAYS if _GRAPH + name not in there]:
                raise RunError(
                    f"{origin} lacks {_GRAPH}{missing[0]}, and its config names graph '{info.name}'."
                )
            arrays = {name: file.get_tensor(_GRAPH + name) for name in _GRAPH_ARRAYS}
    except (SafetensorError, OSError) as error:
        raise RunError(f"{origin} is damaged: {error}.") from error
    return FaceGraph(info.name, kinds=info.kinds, num_nodes=len(arrays["node_region"]), **arrays)


def find_run(where: str | os.PathLike[str]) -> RunFolder:
    """A run by its folder or by its name under `experiments/runs`.

    Raises:
        RunError: There is none; the message lists those there are.
    """
    for candidate in (Path(where), RUNS_ROOT / where):
        if (candidate / "config.json").is_file():
            return RunFolder(candidate)
    names = sorted(path.parent.name for path in RUNS_ROOT.glob("*/config.json"))
    there = f"there are {', '.join(names)}" if names else f"there is none under {RUNS_ROOT}"
    raise RunError(f"'{where}' is no run (no config.json in it); {there}.")


def new_run(name: str | None, default: str, root: Path = RUNS_ROOT) -> RunFolder:
    """Make the folder of a new run; of several processes that ask at once, each gets its own.

    Args:
        name: The wanted name; must not be taken.
        default: Used if `name` is None, with a number behind it where it is taken.
        root: The folder of all runs.

    Raises:
        RunError: The name is taken or is no plain folder name.
    """
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise RunError(f"'{name}' cannot name a run: give a plain folder name.")
    for number in count(1):
        path = root / (name or (default if number == 1 else f"{default}-{number}"))
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            if name is not None:
                raise RunError(
                    f"there is a run '{name}' in {root}; go on with `landmarkfer train --resume {name}`, "
                    "choose another --name, or delete that folder."
                ) from None
    return RunFolder(path)


def environment() -> dict[str, Any]:
    """Versions, cores and time, for `config.json`."""
    versions = {"landmarkfer": landmarkfer.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # one can train where no faces can be detected
            versions[package] = version(package)
    return {
        "versions": versions,
        "cores": os.cpu_count() or 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
