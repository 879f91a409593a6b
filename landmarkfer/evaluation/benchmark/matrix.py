"""Rows of a benchmark on other data: trained on one data set or several, tested on each.

A row is tested on the test images of a data set that it was trained on, and on the test images, or all, of
another one. So that a column of the table is of the same images, figures and tests are over those that all
rows have in common: where one row was trained on the data set, its test images.

The paired tests of `[[pairs]]` are rows in `results.RESULT_COLUMNS` of the first row of the pair, of the
subset `pair_subset`, over all seeds together (`ALL_SEEDS`).
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from landmarkfer.config.benchmark import PairSettings
from landmarkfer.errors import RunError
from landmarkfer.evaluation.benchmark.statistics import BySeed
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.holm import holm
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import SubsetReport, evaluate_predictions
from landmarkfer.metrics.significance import paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, ELSEWHERE, PAIRED_ON, RESULT_COLUMNS, pair_subset

logger = logging.getLogger(__name__)

ELSEWHERE_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
Key = tuple[str, str, str]
"""Experiment, model and graph of a row."""
ByRow = Mapping[str, BySeed]
"""Predictions on one data set by row and seed."""


def elsewhere_figures(report: SubsetReport, name: str) -> list[tuple[str, str, float]]:
    """Subset, metric and value of what is stored of a run on other data."""
    figures = {"n": report.n, **{name: getattr(report, name) for name in ELSEWHERE_SCORES}}
    return [(ELSEWHERE + name, metric, float(value)) for metric, value in figures.items()]


def on_common_images(rows: ByRow, name: str) -> dict[str, dict[int, Predictions]]:
    """Predictions of all rows on the images that all have, in one order; classes that fall away are logged.

    Args:
        rows: On one data set.
        name: Of the data set, for messages.

    Raises:
        RunError: No image is common to all, or one has another label in another row.
    """
    every = [one for seeds in rows.values() for one in seeds.values()]
    if not every:
        return {}
    common = set.intersection(*(set(one.ids) for one in every))
    if not common:
        raise RunError(
            f"the rows have no test image of the other data '{name}' in common: each was tested on others; "
            "train those that were trained on it with the same split, or leave it out of [other_data]."
        )
    ids = sorted(common)
    _tell_lost_classes(rows, common, name)
    found = {
        row: {seed: one.rows(pd.Index(one.ids).get_indexer(pd.Index(ids))) for seed, one in seeds.items()}
        for row, seeds in rows.items()
    }
    labels = [_labels(one) for seeds in found.values() for one in seeds.values()]
    for other in labels[1:]:
        if differing := np.flatnonzero(other != labels[0]).tolist():
            raise RunError(
                f"{ids[differing[0]]} of the other data '{name}' is '{labels[0][differing[0]]}' for one row "
                f"and '{other[differing[0]]}' for another; rows that merge classes otherwise cannot be "
                "compared on it."
            )
    return found


def _tell_lost_classes(rows: ByRow, common: set[str], name: str) -> None:
    """Say which classes have no image among those that all rows have, and which rows lack them."""
    firsts = _firsts(rows)
    labels = {row: dict(zip(one.ids, _labels(one), strict=True)) for row, one in firsts.items()}
    kept = {label for of_row in labels.values() for image, label in of_row.items() if image in common}
    for label in sorted({label for of_row in labels.values() for label in of_row.values()} - kept):
        lacking = [f"'{row}'" for row, one in firsts.items() if label not in one.classes]
        verb = "does" if len(lacking) == 1 else "do"
        why = f"which {' and '.join(lacking)} {verb} not know" if lacking else "on which not all were tested"
        logger.warning("other data '%s': the table leaves out its images of '%s', %s", name, label, why)


def _firsts(rows: ByRow) -> dict[str, Predictions]:
    """Predictions of one seed of each row."""
    return {row: next(iter(seeds.values())) for row, seeds in rows.items() if seeds}


def _labels(predictions: Predictions) -> np.ndarray:
    return np.array(predictions.classes, dtype=object)[predictions.labels]


def common_figures(rows: ByRow, name: str, keys: Mapping[str, Key]) -> pd.DataFrame:
    """The figures of each row and seed on one data set, over the common images."""
    figures = [
        (*keys[row], seed, *figure)
        for row, seeds in rows.items()
        for seed, one in seeds.items()
        for figure in elsewhere_figures(evaluate_predictions(one, bootstrap=1).subsets["test"], name)
    ]
    return pd.DataFrame(figures, columns=RESULT_COLUMNS)


def pair_tests(
    pairs: Sequence[PairSettings], data: Mapping[str, ByRow], keys: Mapping[str, Key]
) -> pd.DataFrame:
    """Paired tests of the rows of each pair on each data set, over the common images.

    Args:
        pairs: Those without predictions of both rows are left out.
        data: By the name of the data set, from `on_common_images`.
        keys: Of the rows.

    Returns:
        Rows with `RESULT_COLUMNS`: `difference`, its interval, `p_permutation`, `groups` where images belong
        to such, and `n`.
    """
    figures: list[tuple[Key, str, str, float]] = []
    for name, rows in data.items():
        for pair in pairs:
            if pair.first not in rows or pair.second not in rows:
                continue
            first, second = (list(rows[row].values()) for row in (pair.first, pair.second))
            groups = group_numbers(next((one.groups for one in first if one.groups is not None), None))
            found = paired_difference(
                [one.correct for one in first], [one.correct for one in second], groups=groups
            )
            values = {
                "difference": found.difference,
                "difference_low": found.low,
                "difference_high": found.high,
                "p_permutation": found.p,
                "n": len(first[0]),
            }
            if groups is not None:
                values["groups"] = int(groups.max()) + 1
            subset = pair_subset(name, pair.second)
            figures += [(keys[pair.first], subset, metric, value) for metric, value in values.items()]
    rows_of = [(*key, ALL_SEEDS, subset, metric, value) for key, subset, metric, value in figures]
    return pd.DataFrame(rows_of, columns=RESULT_COLUMNS)


def standing_pairs(
    old: pd.DataFrame,
    measured: Sequence[pd.DataFrame],
    pairs: Sequence[PairSettings],
    data: Mapping[str, ByRow],
) -> set[tuple[str, str]]:
    """Tests of pairs in a CSV that stay: a row has no predictions here, and no figure of both has changed.

    Args:
        old: Rows of the CSV, but for those of rows that have lost a run.
        measured: Rows that were measured now.
        pairs: Of the recipe.
        data: Predictions on other data, by its name, by row and seed.

    Returns:
        Experiment and subset of each.
    """
    before, now = _accuracies([old]), _accuracies(measured)
    found = set()
    for subset in old["subset"][old["subset"].str.startswith(PAIRED_ON)].unique():
        for pair in pairs:
            name = subset.removeprefix(PAIRED_ON).removesuffix(f": {pair.second}")
            rows = {pair.first, pair.second}
            if subset != pair_subset(name, pair.second) or rows <= set(data.get(name, ())):
                continue
            own = [key for key in {*before, *now} if key[0] in rows and key[2] == ELSEWHERE + name]
            same = all(key in before and abs(before[key] - now.get(key, before[key])) < 1e-9 for key in own)
            if same and rows == {key[0] for key in own}:
                found.add((pair.first, subset))
    return found


def _accuracies(parts: Sequence[pd.DataFrame]) -> dict[tuple[str, int, str], float]:
    """Accuracies by experiment, seed and subset; of several of one key, the last."""
    return {
        (experiment, seed, subset): value
        for part in parts
        for experiment, _, _, seed, subset, metric, value in part[list(RESULT_COLUMNS)].itertuples(
            index=False
        )
        if metric == "accuracy"
    }


def corrected(tests: pd.DataFrame) -> pd.DataFrame:
    """Rows of paired tests with `p_holm`, all of them corrected together."""
    tests = tests[tests["metric"] != "p_holm"]
    p = tests[tests["metric"] == "p_permutation"]
    return pd.concat([tests, p.assign(metric="p_holm", value=holm(p["value"].to_numpy()))])
