"""The folder of a run's evaluation on another cache: `on-<cache>` in the run's folder."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from landmarkfer.calibration.priors import Prior
from landmarkfer.data.cache import find_cache
from landmarkfer.evaluation.files import write_evaluation
from landmarkfer.evaluation.label_mapping import AS_IT_IS, LabelMapping
from landmarkfer.evaluation.shift import stated_prior
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.runs.folder import RunFolder

APPLIED_FILE = "applied.json"
"""What an evaluation on another cache was made of; in its folder."""

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Applied:
    """What distinguishes an evaluation on other data than a run's own from others of the run.

    Attributes:
        cache: The cache that the run is applied to, or the several caches that it was trained on.
        also: Further caches of the same images.
        mapping: How the labels become classes.
        prior: Share of each class; as in training if None.
    """

    cache: AnyPath | Sequence[AnyPath]
    also: Sequence[AnyPath] = ()
    mapping: LabelMapping = AS_IT_IS
    prior: Prior | None = None

    @property
    def folders(self) -> list[Path]:
        """The folder of the cache, or those of several.

        Raises:
            CacheError: There is no such cache.
        """
        several = [self.cache] if isinstance(self.cache, str | os.PathLike) else self.cache
        return [find_cache(one).resolve() for one in several]

    def stated(self) -> dict[str, object]:
        """As JSON states it.

        Raises:
            CacheError: There is no such cache.
        """
        places = [folder.as_posix() for folder in self.folders]
        stated: dict[str, object] = {
            "cache": places[0] if len(places) == 1 else places,
            "also": [find_cache(other).resolve().as_posix() for other in self.also],
            "label_names": dict(self.mapping.names),
            "merge": {name: list(parts) for name, parts in self.mapping.merge.items()},
        }
        prior = stated_prior(self.prior)
        return stated if prior is None else stated | {"prior": prior}


def elsewhere_folder(run: RunFolder, applied: Applied) -> Path:
    """The folder of an evaluation: the one that it has already, or the first that no other one has.

    Args:
        run: The run.
        applied: What it is applied to.

    Raises:
        CacheError: There is no such cache.
    """
    name, wanted = "+".join(folder.name for folder in applied.folders), applied.stated()
    for number in count(1):
        folder = run.path / (f"on-{name}" if number == 1 else f"on-{name}-{number}")
        if not folder.exists() or _read(folder) == wanted:
            return folder
    raise AssertionError("there is always a further number")


def write_elsewhere(
    run: RunFolder, applied: Applied, evaluation: Evaluation, predictions: Predictions
) -> Path:
    """Write an evaluation into its folder, where it replaces what it left there before.

    Returns:
        The folder.
    """
    folder = elsewhere_folder(run, applied)
    with replacing(folder / APPLIED_FILE) as path:
        text = json.dumps(applied.stated(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    write_evaluation(folder, evaluation, predictions)
    return folder


def _read(folder: Path) -> object:
    try:
        return json.loads((folder / APPLIED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
