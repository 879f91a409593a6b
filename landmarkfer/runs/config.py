"""`config.json` of a run: all that was decided before the first step; read without torch."""

import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from landmarkfer.config.faults import reason
from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.images import ImageInfo
from landmarkfer.errors import RunError
from landmarkfer.face.frame import Frame
from landmarkfer.face.graph import FaceGraph
from landmarkfer.files import replacing

if TYPE_CHECKING:
    from landmarkfer.data.cache import LandmarkCache

FORMAT = 1
_PACKAGES = ("torch", "torch-geometric", "lightning", "timm", "scikit-learn", "numpy", "mediapipe")


class CacheInfo(BaseModel):
    """Which cache a run was trained on.

    `extraction` is how its landmarks and images were made (`detector`, `passes`, `crop`, ...), so that the
    run can be applied to photos without its cache; runs of version 0.1 have none. `members` are the caches
    where several were joined (`data.joined`); `path` then names them, and there is no such folder.
    """

    model_config = ConfigDict(frozen=True)
    path: str
    fingerprint: str
    rows: int
    detector: str
    extraction: dict[str, Any] | None = None
    members: tuple["CacheInfo", ...] = ()

    @property
    def each(self) -> tuple["CacheInfo", ...]:
        """The caches, one or several."""
        return self.members or (self,)

    @property
    def where(self) -> str | tuple[str, ...]:
        """The folder of the cache, or those of several."""
        return tuple(one.path for one in self.members) or self.path

    @property
    def names(self) -> tuple[str, ...]:
        """What the caches are called: the names of their folders."""
        return tuple(Path(os.path.abspath(one.path)).name for one in self.each)

    @property
    def crops(self) -> tuple[int, ...]:
        """Sides of the aligned crops that the caches hold, each once; none where images are whole."""
        sides = [(one.extraction or {}).get("crop") for one in self.each]
        return tuple(sorted({side for side in sides if side})) if all(sides) else ()

    def prefix_of(self, fingerprint: str) -> str | None:
        """What the run has before the ids of a cache: nothing, or of one of several its name and a slash.

        Args:
            fingerprint: Of the cache's content.

        Returns:
            The prefix; None where the run was not trained on such a cache.
        """
        if fingerprint == self.fingerprint:
            return ""
        known = {one.fingerprint: f"{name}/" for one, name in zip(self.members, self.names, strict=False)}
        return known.get(fingerprint)

    @classmethod
    def of(cls, cache: "LandmarkCache") -> "CacheInfo":
        """What a run states of a cache."""
        made = cache.manifest.detector
        return cls(
            path=cache.path.as_posix(),
            fingerprint=cache.fingerprint,
            rows=len(cache),
            detector=f"{made.name} {made.version}",
            extraction={"detector": made.name, **cache.manifest.settings},
            members=tuple(cls.of(one) for one in cache.members) if len(cache.members) > 1 else (),
        )

    def open(self) -> "LandmarkCache":
        """Open the cache, or several joined, whatever is there now.

        Raises:
            CacheError: One is not there or damaged, or they no longer fit each other.
        """
        from landmarkfer.data.joined import open_cache

        return open_cache(self.where)


class GraphInfo(BaseModel):
    """Which graph a run uses; its arrays are buffers of the model."""

    model_config = ConfigDict(frozen=True)
    name: str
    kinds: tuple[str, ...]
    nodes: int
    edges: int

    @classmethod
    def of(cls, graph: FaceGraph | None) -> "GraphInfo | None":
        """What a run states of its model's graph; None without one."""
        if graph is None:
            return None
        return cls(name=graph.name, kinds=graph.kinds, nodes=graph.num_nodes, edges=len(graph.edges))


class RunConfig(BaseModel):
    """The content of `config.json`.

    `settings` state every keyword of the model, so that the run outlives changed defaults; `changed` are
    those that were given and differ from the defaults of their day, by dotted key. `frame` is None where the
    training images are not squares of one size; runs of version 0.1 have none.
    """

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    settings: ResolvedSettings
    changed: dict[str, Any] = {}
    classes: tuple[str, ...]
    cache: CacheInfo
    also: tuple[CacheInfo, ...] = ()
    graph: GraphInfo | None
    images: ImageInfo | None = None
    frame: Frame | None = None
    parameters: int | None
    versions: dict[str, str]
    cores: int
    created: str


def read_config(path: Path) -> RunConfig:
    """Read `config.json`.

    Raises:
        RunError: It is missing, damaged or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error}; is {path.parent} a run folder?") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is no JSON: {error}; train the run again.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise RunError(f"{path} has format {found}, and this version reads {FORMAT}; train it again.")
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} does not fit: '{key}': {reason(first)}; train the run again.") from error


def write_config(path: Path, config: RunConfig) -> None:
    """Write `config.json`."""
    with replacing(path) as temporary:
        temporary.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    """Versions, cores and time, for `config.json`."""
    versions = {"landmarkfer": version("landmarkfer"), "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # one can train where no faces can be detected
            versions[package] = version(package)
    return {
        "versions": versions,
        "cores": os.cpu_count() or 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
