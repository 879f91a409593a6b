"""How accuracy falls as images get worse: means over the severities of a corruption, and tests of them.

The *corruption accuracy* is the mean accuracy over the severities (1 to 5) of a corruption, the *accuracy
drop* the accuracy on the clean images minus that, and `ALL` the mean over the corruptions. Both are means
over images of a value per image, so that systems are compared image by image.

As rows in `results.RESULT_COLUMNS` the subset is `<corruption>-<severity>` or, over the severities, the
corruption.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.metrics.holm import holm
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.significance import paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, RESULT_COLUMNS

ALL = "all"
CLEAN = "clean-0"
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Key = tuple[str, str, str]
"""Experiment, model and graph."""

MEASURES = ("corruption_accuracy", "accuracy_drop")


@dataclass(frozen=True)
class ImageResults:
    """Whether each of the same images, clean and corrupted, is predicted correctly.

    Attributes:
        seeds: S seeds of one system.
        right: By corruption, `[S, K, N]`, whether the prediction is correct; K severities, clean first.
        found: By corruption, `[S, K, N]`, whether a face was found.
    """

    seeds: tuple[int, ...]
    right: Mapping[str, Bools]
    found: Mapping[str, Bools]


def corruption_accuracies(right: Bools) -> Floats:
    """The share of the severities, clean apart, at which each image is correct: `[S, K, N] -> [S, N]`."""
    return right[:, 1:].mean(axis=1)


def accuracy_drops(right: Bools) -> Floats:
    """How much less often each image is correct than the clean one: `[S, K, N] -> [S, N]`."""
    return right[:, 0] - corruption_accuracies(right)


def over_images(results_by_image: ImageResults, measure: str) -> dict[str, Floats]:
    """A measure of each image, `[S, N]`, by corruption and over `ALL` of them."""
    values = {name: _MEASURES[measure](right) for name, right in results_by_image.right.items()}
    return {**values, ALL: np.mean(list(values.values()), axis=0)}


def robustness_figures(results_by_image: Mapping[Key, ImageResults], baseline: Key) -> pd.DataFrame:
    """All figures of a page: those of each system, and the tests against the baseline.

    Args:
        results_by_image: Of every system, on the same images and corruptions.
        baseline: The system that the others are tested against.

    Returns:
        Rows with `RESULT_COLUMNS`, from `robustness_rows` and `compare_robustness`.
    """
    parts = [robustness_rows(key, results) for key, results in results_by_image.items()]
    others = {key: results for key, results in results_by_image.items() if key != baseline}
    if others:
        parts.append(compare_robustness(results_by_image[baseline], others))
    return pd.concat(parts, ignore_index=True)


def robustness_rows(key: Key, results_by_image: ImageResults) -> pd.DataFrame:
    """The figures of one system, by seed.

    Args:
        key: Experiment, model and graph.
        results_by_image: Of the system.

    Returns:
        Rows with `RESULT_COLUMNS`: `n`, `accuracy` and `found` (the share of images with a face) of the clean
        images and of each severity; `corruption_accuracy`, `accuracy_drop` and `found` of each corruption
        and of all.
    """
    figures: list[tuple[int, str, str, float]] = []
    measures = {measure: over_images(results_by_image, measure) for measure in MEASURES}
    for number, seed in enumerate(results_by_image.seeds):
        found_shares = []
        for name, right in results_by_image.right.items():
            found = results_by_image.found[name]
            for severity in range(right.shape[1]):
                subset = CLEAN if severity == 0 else f"{name}-{severity}"
                figures += [
                    (seed, subset, "n", right.shape[2]),
                    (seed, subset, "accuracy", right[number, severity].mean()),
                    (seed, subset, "found", found[number, severity].mean()),
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


def compare_robustness(baseline: ImageResults, others: Mapping[Key, ImageResults]) -> pd.DataFrame:
    """Test both measures of systems against a baseline, image by image and over all seeds.

    Args:
        baseline: The baseline's results.
        others: The others', on the same images and corruptions. The p-values of each measure are corrected
            together (Holm), over systems and corruptions.

    Returns:
        Rows with `RESULT_COLUMNS` under the seed `ALL_SEEDS`, of each measure M: `M_difference` with its
        interval (`M_difference_low`, `M_difference_high`), `M_p` and `M_p_holm`.
    """
    rows: list[tuple[str | int | float, ...]] = []
    for measure in MEASURES:
        base = over_images(baseline, measure)
        tested: list[tuple[Key, str]] = []
        p_values = []
        for key, results_by_image in others.items():
            for name, values in over_images(results_by_image, measure).items():
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


def image_results(predictions: Mapping[int, Mapping[str, Sequence[Predictions]]]) -> ImageResults:
    """ImageResults from predictions.

    Args:
        predictions: By seed and corruption, for each severity, on the clean images first; all on the same
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
    return ImageResults(tuple(predictions), right, found)


_MEASURES = {"corruption_accuracy": corruption_accuracies, "accuracy_drop": accuracy_drops}
