"""The run folder: what a training leaves behind, and all that prediction needs of it.

`config.json` and `model.safetensors` alone make a trained model; nothing pickled is read.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.models import load_model, model_class
from landmarkfer.runs.config import RunConfig, read_config, write_config

if TYPE_CHECKING:
    from landmarkfer.metrics.collapse import ModelWarning
    from landmarkfer.models.classifier import Classifier

RUNS_ROOT = Path("experiments/runs")
CONFIG_NAME = "config.json"
WARNINGS_NAME = "warnings.json"
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class TrainedModel:
    """A model ready to predict, with what it has to know of its training."""

    model: "Classifier"
    config: RunConfig


class RunFolder:
    """The files of one run; making one touches no disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / CONFIG_NAME
        self.splits_file = path / "splits.json"
        self.metrics_file = path / "metrics.csv"
        self.curves_file = path / "curves.png"
        self.resumes_file = path / "resumed.txt"
        self.warnings_file = path / WARNINGS_NAME
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
        """Read `config.json`; see `config.read_config`."""
        return read_config(self.config_file)

    def write_config(self, config: RunConfig) -> None:
        """Write `config.json`."""
        write_config(self.config_file, config)

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
            raise RunError(f"{self.splits_file} cannot be read: {error}; train the run again.") from error
        if not isinstance(content, dict) or any(not isinstance(content.get(p), list) for p in PARTS):
            raise RunError(f"{self.splits_file} does not hold the lists {', '.join(PARTS)}; train it again.")
        return content

    def write_warnings(self, warnings: Sequence["ModelWarning"]) -> None:
        """Write `warnings.json`: what the training warned of, an empty list if nothing."""
        content = [warning.model_dump(mode="json") for warning in warnings]
        with replacing(self.warnings_file) as path:
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def read_warnings(self) -> list[str]:
        """The sentences of `warnings.json`; see `read_warnings`."""
        return read_warnings(self.warnings_file)

    def write_model(self, model: "Classifier") -> None:
        """Write the file of the trained model, by which the run is finished."""
        model.save(self.path / model.file_name)

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        """Read a checkpoint; only tensors and plain data are unpickled.

        Returns:
            `global_step`, `state_dict` (the averaged weights where there are some), and `plain_state`, the
            weights that are averaged; None without an average.

        Raises:
            RunError: It cannot be read.
        """
        import torch

        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            plain = content.get("current_model_state")
            return {name: content[name] for name in ("global_step", "state_dict")} | {"plain_state": plain}
        except Exception as error:  # the reader of a damaged file may stumble over anything
            reason = str(error).partition("\n")[0][:200]
            raise RunError(
                f"{path} is damaged ({type(error).__name__}: {reason}); delete {self.checkpoints} and "
                f"`landmarkfer train --resume {self.address}` starts again."
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
                f"resume it with `landmarkfer train --resume {self.address}`."
            )
        model = config.settings.model
        loaded = load_model(
            model.name,
            len(config.classes),
            self.path / model_class(model.name).file_name,
            model.keywords,
            graph_name=config.graph.name if config.graph else "none",
            edge_kinds=config.graph.kinds if config.graph else (),
        )
        return TrainedModel(loaded, config)


def read_warnings(path: Path) -> list[str]:
    """The sentences of a `warnings.json`; none where there is no such file, as in runs of older versions.

    Raises:
        RunError: It is damaged.
    """
    if not path.exists():
        return []
    try:
        return [str(one["sentence"]) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read as the warnings of a training; delete it.") from error


def find_run(where: str | os.PathLike[str]) -> RunFolder:
    """A run by its folder or by its name under `experiments/runs`.

    Raises:
        RunError: There is none; the message lists those there are. Or `where` is of another type.
    """
    if not isinstance(where, str | os.PathLike):
        raise RunError(
            f"a run is named by its folder, its name or a RunFolder, not by {type(where).__name__}; "
            "`landmarkfer runs` lists those there are."
        )
    for candidate in _candidates(where):
        if (candidate / CONFIG_NAME).is_file():
            return RunFolder(candidate)
    names = sorted(path.parent.name for path in RUNS_ROOT.glob("*/config.json"))
    there = f"there are {', '.join(names)}" if names else f"there is none under {RUNS_ROOT}"
    raise RunError(f"'{where}' is no run (no config.json in it); {there}.")


def is_run(where: str | os.PathLike[str]) -> bool:
    """Whether `find_run` finds a run by that folder or name."""
    return any((candidate / CONFIG_NAME).is_file() for candidate in _candidates(where))


def _candidates(where: str | os.PathLike[str]) -> tuple[Path, Path]:
    return Path(where), RUNS_ROOT / where


def check_new_name(name: str, root: Path = RUNS_ROOT) -> None:
    """Check that a new run can have a name.

    Raises:
        RunError: The name is taken or is no plain folder name.
    """
    if Path(name).name != name or name in ("", ".", ".."):
        raise RunError(f"'{name}' cannot name a run: give a plain folder name.")
    if (root / name).exists():
        raise _taken(root / name)


def _taken(path: Path) -> RunError:
    known, resume = "a run", f"resume it with `landmarkfer train --resume {path.name}`, "
    if RunFolder(path).finished:
        known, resume = "a finished run", ""
    return RunError(
        f"there is {known} '{path.name}' in {path.parent}; {resume}choose another --name, or delete that "
        "folder."
    )


def new_run(name: str | None, default: str, root: Path = RUNS_ROOT) -> RunFolder:
    """Make the folder of a new run; of several processes that ask at once, each gets its own.

    Args:
        name: The wanted name; must not be taken.
        default: Used if `name` is None, with a number behind it where it is taken.
        root: The folder of all runs.

    Raises:
        RunError: The name is taken or is no plain folder name.
    """
    if name is not None:
        check_new_name(name, root)
    for number in count(1):
        path = root / (name or (default if number == 1 else f"{default}-{number}"))
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            if name is not None:
                raise _taken(path) from None
    return RunFolder(path)
