"""What is stored of a run beside a results page: its predictions on the test images, and its costs.

All that a page states of accuracy follows from it. So the tests and averages can be made again without
training, and rows that were measured on different days or machines stand on one page. A file holds one run:
the table of its `Predictions`, with probabilities in half precision, and the rest in its metadata.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import Predictions

_PARQUET: dict[str, Any] = {"index": False, "compression": "zstd", "compression_level": 19}


@dataclass(frozen=True)
class Kept:
    """One run.

    Attributes:
        predictions: On the test images.
        model: Name of the model.
        graph: Name of the graph; None where the model has none.
        created: When the run was begun, ISO 8601.
        changed: What it was trained with, where that is not the default, by dotted key.
        figures: What does not follow from the predictions: `(subset, metric, value)` as in `results`.
    """

    predictions: Predictions
    model: str
    graph: str | None
    created: str
    changed: Mapping[str, Any]
    figures: Sequence[tuple[str, str, float]]


def write_kept(path: Path, kept: Kept) -> None:
    """Write `path`; equal runs give equal files."""
    table = kept.predictions.rows(np.argsort(kept.predictions.ids)).to_frame()
    table = table.astype({f"p_{name}": "float16" for name in kept.predictions.classes})
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
        predictions = Predictions.from_frame(table)
        return Kept(predictions, about["model"], about["graph"], about["created"], about["changed"], figures)
    except (OSError, KeyError, TypeError, ValueError, ArrowException, RunError) as error:
        raise RunError(f"{path} holds no predictions of a run ({error}); delete it.") from error
