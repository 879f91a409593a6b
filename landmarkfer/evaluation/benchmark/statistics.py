"""Paired tests on the same test images: each system against a baseline, over all seeds.

The figures are rows in `results.RESULT_COLUMNS` of the subset `PAIRED`: `difference`, its interval
(`difference_low`, `difference_high`), `p_permutation` and `p_holm` are over all seeds together and have the
seed `ALL_SEEDS`; `p_mcnemar` is of each seed. Where groups of images are known (people, sequences), the
interval and the permutation test are over groups, whose number is the figure `groups`; McNemar's test is of
images.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.metrics.combine import align_predictions
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.holm import holm
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.significance import mcnemar, paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, PAIRED, RESULT_COLUMNS

BySeed = Mapping[int, Predictions]
"""Predictions of one system by seed."""


def compare_with(baseline: BySeed, others: Mapping[tuple[str, str, str], BySeed]) -> pd.DataFrame:
    """Test systems against a baseline on the same images.

    Args:
        baseline: The baseline's predictions.
        others: The others' by experiment, model and graph.

    Returns:
        Rows with `RESULT_COLUMNS`, without `p_holm`.

    Raises:
        RunError: The systems were tested on different images.
    """
    figures: list[tuple[tuple[str, str, str], int, str, float]] = []
    for key, system in others.items():
        first, second, labels, groups = _aligned(system, baseline)
        found = paired_difference(
            [seed == labels for seed in first.values()],
            [seed == labels for seed in second.values()],
            groups=groups,
        )
        figures += [
            (key, ALL_SEEDS, "difference", found.difference),
            (key, ALL_SEEDS, "difference_low", found.low),
            (key, ALL_SEEDS, "difference_high", found.high),
            (key, ALL_SEEDS, "p_permutation", found.p),
        ]
        if groups is not None:
            figures.append((key, ALL_SEEDS, "groups", groups.max() + 1))
        figures += [
            (key, seed, "p_mcnemar", mcnemar(labels, first[seed], second[seed]).mid_p)
            for seed in sorted(first.keys() & second.keys())
        ]
    rows = [(*key, seed, PAIRED, metric, value) for key, seed, metric, value in figures]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def correct(paired: pd.DataFrame) -> pd.DataFrame:
    """The rows `p_holm`: all p-values of the permutation tests in `paired`, corrected together (Holm)."""
    tested = paired[paired["metric"] == "p_permutation"]
    return tested.assign(metric="p_holm", value=holm(tested["value"].to_numpy()))


def _aligned(
    first: BySeed, second: BySeed
) -> tuple[
    dict[int, NDArray[np.int64]], dict[int, NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64] | None
]:
    """What both systems predicted, by seed, the labels, and the groups, in one order of the images."""
    aligned = align_predictions([*first.values(), *second.values()])
    predicted = [one.predicted for one in aligned]
    return (
        dict(zip(first, predicted[: len(first)], strict=True)),
        dict(zip(second, predicted[len(first) :], strict=True)),
        aligned[0].labels,
        group_numbers(next((one.groups for one in aligned if one.groups is not None), None)),
    )
