"""What is kept of a run beside a results page: what it said of each test image, and its costs.

All that a page says of accuracy follows from it. So the tests and averages can be made again without
training, and rows that were measured on different days or machines stand on one page. A file holds one run: a
prediction table (see `predictions`) with probabilities in half precision, and the rest in its metadata.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowException

from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import probability_columns_of

_PARQUET: dict[str, Any] = {"index": False, "compression": "zstd", "compression_level": 19}


@dataclass(frozen=True)
class Kept:
    """One run.

    Attributes:
        table: Its prediction table.
        model: Name of the model.
        graph: Name of the graph; None where the model has none.
        created: When the run was begun, ISO 8601.
        changed: What it was trained with, where that is not the default, by dotted key.
        figures: What does not follow from the predictions: `(subset, metric, value)` as in `results`.
    """

    table: pd.DataFrame
    model: str
    graph: str | None
    created: str
    changed: Mapping[str, Any]
    figures: Sequence[tuple[str, str, float]]


def write_kept(path: Path, kept: Kept) -> None:
    """Write `path`; equal runs give equal files."""
    table = kept.table.sort_values("id", ignore_index=True)
    table = table.astype({name: "float16" for name in probability_columns_of(table)})
    table.attrs = {
        "model": kept.model,
        "graph": kept.graph,
        "created": kept.created,
        "changed": dict(kept.changed),
        "figures": [list(figure) for figure in kept.figures],
    }
    with replacing(path) as partial:
        table.to_parquet(partial, **_PARQUET)


def read_kept(path: Path) -> Kept:
    """What `write_kept` has written.

    Raises:
        RunError: The file cannot be read, or holds something else.
    """
    try:
        table = pd.read_parquet(path)
        about = table.attrs
        figures = [(subset, metric, float(value)) for subset, metric, value in about["figures"]]
        table.attrs = {}
        table = table.astype({name: "float64" for name in probability_columns_of(table)})
        return Kept(table, about["model"], about["graph"], about["created"], about["changed"], figures)
    except (OSError, KeyError, TypeError, ValueError, ArrowException) as error:
        raise RunError(f"{path} holds no predictions of a run ({error}); delete it.") from error
