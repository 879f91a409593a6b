"""Measured results in long form: one CSV row per figure, from which reports, notebooks and plots are made.

`RESULT_COLUMNS` is the form of trained models, `BENCH_COLUMNS` that of timings; in both, all columns but
`value` are the key, and a figure that is measured again replaces the old one in its place. The `subset` of a
row is one of `report.SUBSETS`, `run` for what belongs to the whole run (`train_seconds`, `parameters`),
`paired` for the paired tests against the baseline, `on <name>` for other data, or what `pair_subset` gives
for the paired test of two rows there.
Scores are fractions in [0, 1].
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from landmarkfer.errors import LandmarkferError
from landmarkfer.files import replacing
from landmarkfer.metrics.report import SCORES, Evaluation

RESULT_COLUMNS = ("experiment", "model", "graph", "seed", "subset", "metric", "value")
BENCH_COLUMNS = ("bench", "variant", "device", "batch", "metric", "value")
RUN_SUBSET = "run"
PAIRED = "paired"
"""Subset of the paired tests of `evaluation.benchmark.statistics`."""
ELSEWHERE = "on "
"""Prefix of the subsets of other data."""
PAIRED_ON = "paired on "
"""Prefix of the subsets of paired tests on other data."""
ALL_SEEDS = -1
"""Seed of figures that are over all seeds together."""
NO_GRAPH = "none"
_NUMBERS = {"seed": "int64", "batch": "int64", "value": "float64"}


def pair_subset(data: str, second: str) -> str:
    """The subset of the paired test of a row against a second one on other data."""
    return f"{PAIRED_ON}{data}: {second}"


def evaluation_rows(
    evaluation: Evaluation,
    *,
    experiment: str,
    model: str,
    graph: str | None,
    seed: int,
    run: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The figures of one evaluated run as rows for `append_results`.

    Args:
        evaluation: What `report.evaluate_predictions` returned.
        experiment: Name of the row this run belongs to; its seeds are averaged.
        model: Name of the model.
        graph: Name of the graph, or None for a model without one.
        seed: Seed of the training run.
        run: Figures of the run as a whole, such as `train_seconds` and `parameters`.

    Returns:
        Rows with `RESULT_COLUMNS`: for each subset `n`, the `SCORES`, `recall_<class>` where it is defined,
        `classwise_ece`, and `set_coverage`, `set_size`, `set_single` and `set_coverage_<class>` where the
        model gives prediction sets.
    """
    figures: list[tuple[str, str, float]] = []
    for subset, report in evaluation.subsets.items():
        figures += [(subset, metric, getattr(report, metric)) for metric in ("n", *SCORES)]
        figures += [
            (subset, f"recall_{name}", scores.recall)
            for name, scores in report.per_class.items()
            if scores.recall is not None
        ]
        if report.sets is not None:
            sets = report.sets
            figures += [(subset, f"set_{m}", getattr(sets, m)) for m in ("coverage", "size", "single")]
        if report.classwise_ece is not None:
            figures.append((subset, "classwise_ece", report.classwise_ece))
        figures += [
            (subset, f"set_coverage_{name}", one.coverage)
            for name, one in report.calibration.items()
            if one.coverage is not None
        ]
    figures += [(RUN_SUBSET, metric, value) for metric, value in (run or {}).items()]
    key = (experiment, model, graph or NO_GRAPH, seed)
    return pd.DataFrame([(*key, *figure) for figure in figures], columns=RESULT_COLUMNS)


def append_results(csv: Path, rows: pd.DataFrame) -> None:
    """Add rows with `RESULT_COLUMNS` to `csv`, made if need be; rows of the same key are replaced."""
    _append(csv, rows, RESULT_COLUMNS)


def write_results(csv: Path, rows: pd.DataFrame) -> None:
    """Replace the rows of `csv` by others with `RESULT_COLUMNS`; a key that it has keeps its place."""
    with _locked(csv):
        kept = {} if not csv.exists() else dict.fromkeys(_keyed(_read(csv, RESULT_COLUMNS)))
        new = _keyed(_typed(rows, RESULT_COLUMNS))
        _write(csv, {key: new[key] for key in [*kept, *new] if key in new}, RESULT_COLUMNS)


def append_bench(csv: Path, rows: pd.DataFrame) -> None:
    """Add rows with `BENCH_COLUMNS` to `csv`, made if need be; rows of the same key are replaced."""
    _append(csv, rows, BENCH_COLUMNS)


def read_results(csv: Path) -> pd.DataFrame:
    """All rows of a results CSV; LandmarkferError if it is missing or has other columns."""
    return _read(csv, RESULT_COLUMNS)


def read_bench(csv: Path) -> pd.DataFrame:
    """All rows of a benchmark CSV; LandmarkferError if it is missing or has other columns."""
    return _read(csv, BENCH_COLUMNS)


def _append(csv: Path, rows: pd.DataFrame, columns: Sequence[str]) -> None:
    if set(rows.columns) != set(columns):
        raise LandmarkferError(
            f"Rows for {csv} have columns {', '.join(map(str, rows.columns))}; expected {', '.join(columns)}."
        )
    with _locked(csv):
        old = _read(csv, columns) if csv.exists() else rows.iloc[:0]
        _write(csv, _keyed(old[list(columns)]) | _keyed(_typed(rows, columns)), columns)


def _locked(csv: Path) -> FileLock:
    """Runs that end at the same time must not lose each other's rows.

    The lock lies outside the folder of the CSV, which is under version control.
    """
    name = hashlib.sha256(str(csv.resolve()).encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"landmarkfer-{name}.lock")


def _keyed(rows: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Values by key: all columns but the last."""
    return {tuple(row[:-1]): row[-1] for row in rows.itertuples(index=False)}


def _write(csv: Path, values: Mapping[tuple[Any, ...], float], columns: Sequence[str]) -> None:
    table = pd.DataFrame([(*key, value) for key, value in values.items()], columns=list(columns))
    with replacing(csv) as path:
        table.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")


def _read(csv: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        # Names such as "none" or "nan" are names here, not missing values.
        table = pd.read_csv(csv, keep_default_na=False)
    except FileNotFoundError:
        raise LandmarkferError(
            f"There is no results file {csv}; run the experiment that writes it."
        ) from None
    if tuple(table.columns) != tuple(columns):
        raise LandmarkferError(
            f"{csv} has columns {', '.join(map(str, table.columns))}; expected {', '.join(columns)}."
        )
    return _typed(table, columns)


def _typed(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return rows[list(columns)].astype({name: _NUMBERS.get(name, "str") for name in columns})
