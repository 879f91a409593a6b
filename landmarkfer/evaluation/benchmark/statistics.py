"""Systems side by side on the same test images: each one tested against a baseline, over all seeds.

The figures are rows in `results.RESULT_COLUMNS` of the subset `PAIRED`: `difference`, its interval
(`difference_low`, `difference_high`), `p_permutation` and `p_holm` are over all seeds together and stand
under the seed `ALL_SEEDS`; `p_mcnemar` is of each seed.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.metrics.predictions import check_same_images
from landmarkfer.metrics.significance import holm, mcnemar, paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, PAIRED, RESULT_COLUMNS

Tables = Mapping[int, pd.DataFrame]
"""Prediction tables of one system by seed."""


def compare_with(baseline: Tables, others: Mapping[tuple[str, str, str], Tables]) -> pd.DataFrame:
    """Test systems against a baseline on the same images.

    Args:
        baseline: The baseline's predictions.
        others: The others' by experiment, model and graph. Their p-values are corrected together (Holm).

    Returns:
        Rows with `RESULT_COLUMNS`.

    Raises:
        RunError: The systems were tested on different images.
    """
    figures: list[tuple[tuple[str, str, str], int, str, float]] = []
    p_values = []
    for key, tables in others.items():
        first, second, labels = _aligned(tables, baseline)
        found = paired_difference(
            [table == labels for table in first.values()], [table == labels for table in second.values()]
        )
        p_values.append(found.p)
        figures += [
            (key, ALL_SEEDS, "difference", found.difference),
            (key, ALL_SEEDS, "difference_low", found.low),
            (key, ALL_SEEDS, "difference_high", found.high),
            (key, ALL_SEEDS, "p_permutation", found.p),
        ]
        figures += [
            (key, seed, "p_mcnemar", mcnemar(labels, first[seed], second[seed]).mid_p)
            for seed in sorted(first.keys() & second.keys())
        ]
    figures += [(key, ALL_SEEDS, "p_holm", p) for key, p in zip(others, holm(p_values), strict=True)]
    rows = [(*key, seed, PAIRED, metric, value) for key, seed, metric, value in figures]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _aligned(
    first: Tables, second: Tables
) -> tuple[dict[int, NDArray[np.object_]], dict[int, NDArray[np.object_]], NDArray[np.object_]]:
    """What both systems predicted, by seed, and the labels, in one order of the images."""
    aligned = check_same_images([*first.values(), *second.values()])
    predicted = [table["predicted"].to_numpy() for table in aligned]
    return (
        dict(zip(first, predicted[: len(first)], strict=True)),
        dict(zip(second, predicted[len(first) :], strict=True)),
        aligned[0]["label"].to_numpy(),
    )
