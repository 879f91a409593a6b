"""The folder of a run's evaluation on another cache: `on-<cache>` in the run's folder."""

import json
import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from landmarkfer.data.cache import find_cache
from landmarkfer.evaluation.files import write_evaluation
from landmarkfer.evaluation.label_mapping import LabelMapping
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.runs.folder import RunFolder

APPLIED_FILE = "applied.json"
"""What an evaluation on another cache was made of; in its folder."""

AnyPath = str | os.PathLike[str]


def elsewhere_folder(run: RunFolder, cache: AnyPath, also: Sequence[AnyPath], mapping: LabelMapping) -> Path:
    """The folder of an evaluation: the one that it has already, or the first that no other one has.

    Args:
        run: The run.
        cache: The cache that it is applied to.
        also: Further caches of the same images.
        mapping: How the labels become classes.

    Raises:
        CacheError: There is no such cache.
    """
    name, wanted = find_cache(cache).resolve().name, _applied(cache, also, mapping)
    for number in count(1):
        folder = run.path / (f"on-{name}" if number == 1 else f"on-{name}-{number}")
        if not folder.exists() or _read(folder) == wanted:
            return folder
    raise AssertionError("there is always a further number")


def write_elsewhere(
    run: RunFolder,
    cache: AnyPath,
    also: Sequence[AnyPath],
    mapping: LabelMapping,
    evaluation: Evaluation,
    predictions: Predictions,
) -> Path:
    """Write an evaluation into its folder, where it replaces what it left there before.

    Returns:
        The folder.
    """
    folder = elsewhere_folder(run, cache, also, mapping)
    with replacing(folder / APPLIED_FILE) as path:
        text = json.dumps(_applied(cache, also, mapping), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    write_evaluation(folder, evaluation, predictions)
    return folder


def _applied(cache: AnyPath, also: Sequence[AnyPath], mapping: LabelMapping) -> dict[str, object]:
    """What distinguishes an evaluation from others of the run."""
    return {
        "cache": find_cache(cache).resolve().as_posix(),
        "also": [find_cache(other).resolve().as_posix() for other in also],
        "label_names": dict(mapping.names),
        "merge": {name: list(parts) for name, parts in mapping.merge.items()},
    }


def _read(folder: Path) -> object:
    try:
        return json.loads((folder / APPLIED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
