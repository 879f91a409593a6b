"""How accuracy falls as images get worse: areas over the strengths of a corruption, and tests of them.

The *area* of a corruption is the mean accuracy over its strengths (1 to 5), the *loss* what that lacks of
the accuracy on the clean images, and `ALL` the mean over the corruptions. Both are means over images, of what
each image came to over the strengths, so that systems are compared image by image.

As rows in `results.RESULT_COLUMNS` the subset is `<corruption>-<strength>` or, over the strengths, the
corruption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.significance import holm, paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, RESULT_COLUMNS

ALL = "all"
CLEAN = "clean-0"
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Key = tuple[str, str, str]
"""Experiment, model and graph."""

MEASURES = ("area", "loss")


@dataclass(frozen=True)
class Outcomes:
    """What came of the same images, clean and corrupted.

    Attributes:
        seeds: S seeds of one system.
        right: By corruption, `[S, K, N]`, whether each image was told right; K strengths, clean first.
        found: By corruption, `[S, K, N]`, whether a face was found.
    """

    seeds: tuple[int, ...]
    right: Mapping[str, Bools]
    found: Mapping[str, Bools]


def image_areas(right: Bools) -> Floats:
    """The share of the strengths, clean apart, at which each image was right: `[S, K, N] -> [S, N]`."""
    return right[:, 1:].mean(axis=1)


def image_losses(right: Bools) -> Floats:
    """What each image lost against the clean one: `[S, K, N] -> [S, N]`, negative where corruption helped."""
    return right[:, 0] - image_areas(right)


def over_images(outcomes: Outcomes, measure: str) -> dict[str, Floats]:
    """A measure of each image, `[S, N]`, by corruption and over `ALL` of them."""
    values = {name: _MEASURES[measure](right) for name, right in outcomes.right.items()}
    return {**values, ALL: np.mean(list(values.values()), axis=0)}


def robustness_rows(key: Key, outcomes: Outcomes) -> pd.DataFrame:
    """The figures of one system, by seed.

    Args:
        key: Experiment, model and graph.
        outcomes: What came of the images.

    Returns:
        Rows with `RESULT_COLUMNS`: `n`, `accuracy` and `found` (the share of images with a face) of the clean
        images and of each strength; `area`, `loss` and `found` of each corruption and of all.
    """
    figures: list[tuple[int, str, str, float]] = []
    measures = {measure: over_images(outcomes, measure) for measure in MEASURES}
    for number, seed in enumerate(outcomes.seeds):
        found_shares = []
        for name, right in outcomes.right.items():
            found = outcomes.found[name]
            for strength in range(right.shape[1]):
                subset = CLEAN if strength == 0 else f"{name}-{strength}"
                figures += [
                    (seed, subset, "n", right.shape[2]),
                    (seed, subset, "accuracy", right[number, strength].mean()),
                    (seed, subset, "found", found[number, strength].mean()),
                ]
            found_shares.append(found[number, 1:].mean())
            figures.append((seed, name, "found", found_shares[-1]))
        figures.append((seed, ALL, "found", float(np.mean(found_shares))))
        figures += [
            (seed, name, measure, values[number].mean())
            for measure, by_name in measures.items()
            for name, values in by_name.items()
        ]
    rows = [(*key, *figure) for figure in figures]
    # The clean images are the same beside every corruption, and stand once.
    return pd.DataFrame(rows, columns=RESULT_COLUMNS).drop_duplicates(list(RESULT_COLUMNS[:-1]))


def compare_robustness(baseline: Outcomes, others: Mapping[Key, Outcomes]) -> pd.DataFrame:
    """Test area and loss of systems against a baseline, image by image and over all seeds.

    Args:
        baseline: The baseline's outcomes.
        others: The others', on the same images and corruptions. The p-values of each measure are corrected
            together (Holm), over systems and corruptions.

    Returns:
        Rows with `RESULT_COLUMNS` under the seed `ALL_SEEDS`: `area_difference` with its interval
        (`area_difference_low`, `area_difference_high`), `area_p` and `area_p_holm`, and so for `loss`.
    """
    rows: list[tuple[str | int | float, ...]] = []
    for measure in MEASURES:
        base = over_images(baseline, measure)
        tested: list[tuple[Key, str]] = []
        p_values = []
        for key, outcomes in others.items():
            for name, values in over_images(outcomes, measure).items():
                found = paired_difference(values, base[name])
                figures = {
                    "difference": found.difference,
                    "difference_low": found.low,
                    "difference_high": found.high,
                    "p": found.p,
                }
                rows += [(*key, ALL_SEEDS, name, f"{measure}_{m}", value) for m, value in figures.items()]
                tested.append((key, name))
                p_values.append(found.p)
        rows += [
            (*key, ALL_SEEDS, name, f"{measure}_p_holm", float(p))
            for (key, name), p in zip(tested, holm(p_values), strict=True)
        ]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def outcomes_of(predictions: Mapping[int, Mapping[str, Sequence[Predictions]]]) -> Outcomes:
    """Outcomes from predictions.

    Args:
        predictions: By seed and corruption, for each strength, on the clean images first; all on the same
            images in the same order.
    """
    names = list(next(iter(predictions.values())))
    right, found = (
        {
            name: np.array(
                [[getattr(one, what) for one in by_name[name]] for by_name in predictions.values()]
            )
            for name in names
        }
        for what in ("correct", "found")
    )
    return Outcomes(tuple(predictions), right, found)


_MEASURES = {"area": image_areas, "loss": image_losses}
