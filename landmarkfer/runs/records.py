"""What run folders tell: one record per run, from its JSON and CSV files alone.

Nothing heavy is imported, so that fifty runs are listed in a moment, and nothing is written. A file that is
missing, damaged or of another version costs the fields it would fill and leaves a problem in the record; it
never stops the listing. Scores are fractions in [0, 1], times seconds.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeVar

import pandas as pd
from filelock import FileLock, Timeout

from landmarkfer.config.recipes import changed_keys
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import RunError
from landmarkfer.runs.config import read_config
from landmarkfer.runs.folder import RUNS_ROOT, WARNINGS_NAME, read_warnings
from landmarkfer.runs.metrics_table import best_epoch, finite_figures, read_epochs

T = TypeVar("T")
State = Literal["finished", "training", "interrupted", "evaluation", "damaged"]
Interval = tuple[float, float]

_MODEL_FILES = ("model.safetensors", "model.skops")
_FILES = ("config.json", "splits.json", "metrics.csv", "metrics.json", "checkpoints", *_MODEL_FILES)


@dataclass(frozen=True)
class RunRecord:
    """One run folder. Whatever it does not tell is None or empty.

    `state` is `finished`, `training` (a process holds the run's lock), `interrupted` (it can be resumed),
    `evaluation` (figures without a training, as of an ensemble), or `damaged`; `problems` says why.
    `val_*` are of the epoch whose weights are stored, the best by `monitor`; `test_accuracy` and `macro_f1`
    are over all test images, the intervals are those of its evaluation (95 %), and `subsets` has the
    figures of each of the protocol's subsets. `cache` names the cache, all of them where there are several,
    and `caches` each. A classical model, fitted in one go, has no parameters and no epochs planned. `init`
    names the run whose weights the training was initialised from, and `resumes` are the times (UTC, ISO) at
    which it resumed. `warnings` are the sentences of `metrics.collapse` that its training or, of an evaluated
    run, its evaluation stored. `changed` are the settings that differ from the defaults.
    """

    name: str
    path: str
    state: State
    problems: tuple[str, ...] = ()
    created: str | None = None
    model: str | None = None
    graph: str | None = None
    backbone: str | None = None
    parameters: int | None = None
    cache: str | None = None
    caches: tuple[str, ...] = ()
    cache_fingerprint: str | None = None
    classes: tuple[str, ...] = ()
    seed: int | None = None
    fold: int | None = None
    folds: int | None = None
    epochs: int = 0
    epochs_planned: int | None = None
    train_seconds: float | None = None
    monitor: str | None = None
    best_epoch: int | None = None
    val_accuracy: float | None = None
    val_macro_f1: float | None = None
    val_loss: float | None = None
    test_images: int | None = None
    test_accuracy: float | None = None
    test_accuracy_interval: Interval | None = None
    macro_f1: float | None = None
    macro_f1_interval: Interval | None = None
    subsets: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    init: str | None = None
    resumes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str | None:
        """The model with its graph or backbone; None if unknown."""
        return " ".join(filter(None, (self.model, self.graph, self.backbone))) or None

    @property
    def lineage(self) -> str:
        """Where the weights come from and how often the training went on; empty for an unbroken one."""
        parts = [f"from {Path(self.init).name}"] if self.init else []
        return ", ".join([*parts, f"resumed {len(self.resumes)}x"] if self.resumes else parts)


def find_runs(wanted: Sequence[str] = (), root: Path = RUNS_ROOT) -> list[Path]:
    """The folders of runs.

    Args:
        wanted: Names, folders, or patterns of names such as `gnn-*`; all runs of `root` if empty. Plain files
            are passed over, which a shell's wildcard may have found beside the folders.
        root: The folder of all runs.

    Returns:
        Folders in the order asked for, each once; all of them sorted by name.

    Raises:
        RunError: One that is named is not there.
    """
    there = sorted(path for path in root.iterdir() if _may_be_run(path)) if root.is_dir() else []
    if not wanted:
        return there
    found: list[Path] = []
    for name in wanted:
        folders = [path for path in (Path(name), root / name) if path.is_dir()][:1]
        folders = folders or [path for path in there if fnmatchcase(path.name, name)]
        if not folders and not Path(name).is_file():
            names = [path.name for path in there]
            close = get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
            more = len(names) - len(close)
            advice = f"there are {', '.join(close)}" + (f" and {more} more" if more else "")
            raise RunError(f"'{name}' is no run; {advice if names else f'there is none under {root}'}.")
        found += folders
    if not found:
        raise RunError(f"{', '.join(wanted)}: no run folder among these.")
    return list({path.resolve(): path for path in found}.values())


def _may_be_run(path: Path) -> bool:
    """Whether a folder has a file of a run, or nothing at all yet."""
    if not path.is_dir() or path.name.startswith("."):
        return False
    try:
        inside = {entry.name for entry in path.iterdir()}
    except OSError:
        return True
    return not inside or not inside.isdisjoint(_FILES)


def read_runs(folders: Iterable[Path]) -> list[RunRecord]:
    """A record of each folder, in the same order."""
    return [read_run(folder) for folder in folders]


def read_run(folder: Path) -> RunRecord:
    """All that a run folder tells; what is wrong with it becomes part of the record."""
    problems: list[str] = []
    fields: dict[str, Any] = {}
    evaluated = (folder / "metrics.json").is_file()
    trained = (folder / "config.json").is_file() or not evaluated
    for read in (_read_config, _read_epochs, _read_resumes, _read_warnings) if trained else ():
        _collect(read, folder, fields, problems)
    if evaluated:
        _collect(_read_evaluation, folder, fields, problems)
    state: State = "damaged"
    if not problems:
        state = _state(folder) if trained else "evaluation"
    name = folder.name or folder.resolve().name
    return RunRecord(name, folder.as_posix(), state, tuple(problems), **fields)


def _collect(read: Any, folder: Path, fields: dict[str, Any], problems: list[str]) -> None:
    try:
        fields |= read(folder, fields)
    except (RunError, OSError, ValueError, RecursionError) as error:
        if isinstance(error.__cause__, FileNotFoundError):
            problems.append(f"there is no {Path(error.__cause__.filename).name}")
        else:
            problems.append(" ".join(str(error).replace(f"{folder}/", "").split())[:200])


def _state(folder: Path) -> State:
    # Training writes the file of the model last.
    if any((folder / name).is_file() for name in _MODEL_FILES):
        return "finished"
    lock = folder / ".lock"
    if lock.exists():
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            return "training"
        except OSError:
            pass  # somebody else's folder, which cannot be locked from here
    return "interrupted"


def _read_config(folder: Path, _: Mapping[str, Any]) -> dict[str, Any]:
    config = read_config(folder / "config.json")
    settings = config.settings
    plain = settings.model_dump(mode="json")
    return {
        "created": config.created,
        "model": settings.model.name,
        "graph": config.graph.name if config.graph else None,
        "backbone": settings.model.keywords.get("backbone"),
        "parameters": config.parameters,
        "cache": Path(config.cache.path).name,
        "caches": config.cache.names,
        "cache_fingerprint": config.cache.fingerprint,
        "classes": config.classes,
        "seed": settings.seed,
        "fold": settings.split.fold if settings.split.folds else None,
        "folds": settings.split.folds or None,
        "epochs_planned": None if config.parameters is None else settings.epochs,
        "monitor": settings.fit.monitor,
        "init": settings.init,
        "changed": config.changed if "changed" in config.model_fields_set else changed_keys(plain),
        "settings": plain,
    }


def _read_epochs(folder: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    epochs = finite_figures(read_epochs(folder / "metrics.csv"))
    if epochs.empty:
        return {}
    found: dict[str, Any] = {
        "epochs": int(epochs["epoch"].iloc[-1]),
        "train_seconds": float(epochs.get("seconds", pd.Series(dtype=float)).sum()) or None,
    }
    best = best_epoch(epochs, fields.get("monitor") or TrainSettings().fit.monitor)
    if best is not None:
        found["best_epoch"] = int(best["epoch"])
        names = ("val_accuracy", "val_macro_f1", "val_loss")
        found |= {name: _number(best.get(name)) for name in names}
    return found


def _read_resumes(folder: Path, _: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / "resumed.txt"
    return {"resumes": tuple(path.read_text(encoding="utf-8").split())} if path.exists() else {}


def _read_warnings(folder: Path, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"warnings": tuple(read_warnings(folder / WARNINGS_NAME))}


def _read_evaluation(folder: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    content = _read_json(folder / "metrics.json")
    subsets = _get(content, dict, "subsets") or {}
    test = _get(subsets, dict, "test")
    if test is None or _get(test, float, "accuracy") is None:
        raise ValueError("metrics.json has no figures of the test images")
    names = ("n", "accuracy", "balanced_accuracy", "macro_f1", "ece")
    trained = fields.get("warnings", ())
    own = [str(one) for one in _get(content, list, "warnings") or () if not _of_training(str(one), trained)]
    return {
        "warnings": (*trained, *own),
        "classes": fields.get("classes") or tuple(map(str, _get(content, list, "classes") or ())),
        "test_images": _get(test, int, "n"),
        "test_accuracy": _get(test, float, "accuracy"),
        "test_accuracy_interval": _interval(_get(test, list, "intervals", "accuracy")),
        "macro_f1": _get(test, float, "macro_f1"),
        "macro_f1_interval": _interval(_get(test, list, "intervals", "macro_f1")),
        "subsets": {
            subset: {name: _get(figures, float, name) for name in names}
            for subset, figures in subsets.items()
        },
    }


def _of_training(sentence: str, trained: Sequence[str]) -> bool:
    """Whether an evaluation repeats a sentence of the training."""
    return any(sentence.endswith(one) for one in trained)


def _interval(ends: list[Any] | None) -> Interval | None:
    numbers = [_number(end) for end in ends or ()]
    low, high = numbers if len(numbers) == 2 else (None, None)
    return None if low is None or high is None else (low, high)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from None


def _get(content: Any, kind: type[T], *keys: str) -> T | None:
    """The value under nested keys if it is there and of its kind; whole numbers are also floats."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    if kind is float:
        return _number(content)  # type: ignore[return-value]
    return content if isinstance(content, kind) and not isinstance(content, bool) else None


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, bool | list | dict):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
