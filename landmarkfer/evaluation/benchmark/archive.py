"""The archive of a benchmark: the predictions of each run on test images and other data, and its costs.

All that a report says of accuracy follows from it. So tests and averages can be computed again without
training, and rows that were measured on different days or machines stand in one report. A file holds one run:
the table of its `Predictions`, with probabilities in half precision, and the rest in its metadata; the
predictions on other data are in files beside it, `<run>-on-<name>.parquet`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from landmarkfer.config.benchmark import RowSettings, plain_name
from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import Predictions

PREDICTIONS = "predictions"
"""Ending of an archive's folder."""
_NONE = "no predictions"
_PARQUET: dict[str, Any] = {"index": False, "compression": "zstd", "compression_level": 19}


@dataclass(frozen=True)
class ArchivedRun:
    """One run.

    Attributes:
        predictions: On the test images; None where the cache of the run is not there, so that its figures are
            those on other data alone.
        model: Name of the model.
        graph: Name of the graph; None where the model has none.
        created: When its training was started, ISO 8601.
        changed: The training settings that differ from the defaults, by dotted key.
        figures: What does not follow from the predictions: `(subset, metric, value)` as in `results`.
        versions: Of the packages that it was evaluated with; empty in archives of version 0.1.
        trained_on: Names of the caches that it was trained on; empty in archives of earlier versions.
        elsewhere: Predictions on other data by name; none in archives of earlier versions.
    """

    predictions: Predictions | None
    model: str
    graph: str | None
    created: str
    changed: Mapping[str, Any]
    figures: Sequence[tuple[str, str, float]]
    versions: Mapping[str, str] = field(default_factory=dict)
    trained_on: Sequence[str] = ()
    elsewhere: Mapping[str, Predictions] = field(default_factory=dict)


def archive_folder(recipe: Path, results_root: Path) -> Path:
    """The archive of a benchmark."""
    return results_root / f"{recipe.stem}-{PREDICTIONS}"


def archive_file(recipe: Path, row: RowSettings, seed: int, results_root: Path) -> Path:
    """The file of a row and a seed."""
    return archive_folder(recipe, results_root) / f"{plain_name(row.name)}-s{seed}.parquet"


def write_archived(path: Path, run: ArchivedRun) -> None:
    """Write `path`; equal runs give equal files."""
    for name, predictions in run.elsewhere.items():
        with replacing(_file_on(path, name)) as partial:
            _table(predictions).to_parquet(partial, **_PARQUET)
    table = pd.DataFrame({_NONE: [True]}) if run.predictions is None else _table(run.predictions)
    table.attrs = {
        "model": run.model,
        "graph": run.graph,
        "created": run.created,
        "changed": dict(run.changed),
        "figures": [list(figure) for figure in run.figures],
        "versions": dict(run.versions),
        "trained_on": list(run.trained_on),
        "elsewhere": list(run.elsewhere),
    }
    with replacing(path) as partial:
        table.to_parquet(partial, **_PARQUET)


def _file_on(path: Path, name: str) -> Path:
    """The file of a run's predictions on other data, beside its own."""
    return path.with_name(f"{path.stem}-on-{plain_name(name)}{path.suffix}")


def _table(predictions: Predictions) -> pd.DataFrame:
    """Predictions as they are stored: by id, with probabilities in half precision."""
    table = predictions.rows(np.argsort(predictions.ids)).to_frame()
    kinds = ("p",) if predictions.uncalibrated is None else ("p", "u")
    return table.astype({f"{kind}_{name}": "float16" for kind in kinds for name in predictions.classes})


def updated(old: ArchivedRun, new: ArchivedRun) -> ArchivedRun:
    """What was measured of a run anew, with what of it was measured before alone."""
    known = {figure[:2] for figure in new.figures}
    figures = [*new.figures, *(figure for figure in old.figures if figure[:2] not in known)]
    predictions = old.predictions if new.predictions is None else new.predictions
    elsewhere = {**old.elsewhere, **new.elsewhere}
    return replace(new, figures=figures, predictions=predictions, elsewhere=elsewhere)


def read_archived(path: Path) -> ArchivedRun:
    """Read what `write_archived` wrote.

    Raises:
        RunError: The file cannot be read, or holds something else.
    """
    try:
        table = pd.read_parquet(path)
        about = table.attrs
        figures = [(subset, metric, float(value)) for subset, metric, value in about["figures"]]
        return ArchivedRun(
            predictions=None if list(table) == [_NONE] else Predictions.from_frame(table),
            model=about["model"],
            graph=about["graph"],
            created=about["created"],
            changed=about["changed"],
            figures=figures,
            versions=about.get("versions", {}),
            trained_on=about.get("trained_on", ()),
            elsewhere={
                name: Predictions.from_frame(pd.read_parquet(_file_on(path, name)))
                for name in about.get("elsewhere", ())
            },
        )
    except (OSError, KeyError, TypeError, ValueError, ArrowException, RunError) as error:
        raise RunError(f"{path} holds no predictions of a run ({error}); delete it.") from error
