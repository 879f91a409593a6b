"""Bootstrap intervals of the scores that a confusion matrix determines, over images or over groups of them.

They treat the model as given and the images, or the groups, as drawn at random.
"""

import numpy as np
from numpy.typing import NDArray

from landmarkfer.metrics.classification import Floats, scores_from_confusion

RESAMPLES = 2000
LEVEL = 0.95
BATCH = 250
"""Resamples at a time, for the sake of memory."""
_DRAWS = 4_000_000  # of groups at a time, for the same reason


def bootstrap_intervals(
    counts: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Floats]:
    """Percentile bootstrap intervals of every score that a confusion matrix determines.

    Images are resampled with replacement and without stratification: class counts vary between resamples,
    as they would in another test set of this size from the same population. The spread of accuracy is then
    the binomial one. Such a resample of `N` images has a confusion matrix that is one multinomial draw of `N`
    from the cells, so the matrices are drawn directly, which is the same distribution at a fraction of the
    cost. A score that is undefined in a resample (a class that was not drawn) is left out of its percentiles.

    Args:
        counts: Confusion matrix `[C, C]`.
        resamples: Number of resamples.
        seed: Seed of the generator; the same seed gives the same intervals.
        level: Coverage.

    Returns:
        Lower and upper ends: `accuracy`, `balanced_accuracy`, `macro_f1` as `[2]`, `precision`, `recall` and
        `f1` as `[C, 2]`; NaN where a score is undefined in every resample.

    Raises:
        ValueError: If `counts` is empty or `level` is not between 0 and 1.
    """
    counts = np.asarray(counts)
    total = int(counts.sum())
    if not total or not 0 < level < 1:
        raise ValueError(f"need at least one image and a level between 0 and 1, got {total} and {level}")
    cells = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=resamples)
    scores = scores_from_confusion(cells.reshape(resamples, *counts.shape))
    return {name: percentiles(values, level) for name, values in scores.items()}


def grouped_intervals(
    counts: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Floats]:
    """`bootstrap_intervals` by a cluster bootstrap, which draws whole groups of images.

    A resample has as many groups as there are, drawn with replacement, each with all its images, so that the
    number of images varies. Field and Welsh, "Bootstrapping clustered data", 2007.

    Args:
        counts: Confusion matrix of the images of each group, `[G, C, C]`.
        resamples: Number of resamples.
        seed: Seed of the generator.
        level: Coverage.

    Raises:
        ValueError: If there is no image or `level` is not between 0 and 1.
    """
    groups = len(counts)
    if not counts.sum() or not 0 < level < 1:
        raise ValueError(f"need at least one image and a level between 0 and 1, got {groups} and {level}")
    cells = counts.reshape(groups, -1).astype(float)  # [G, C * C]; sums of counts are exact
    rng = np.random.default_rng(seed)
    drawn = []
    batch = max(1, min(BATCH, _DRAWS // groups))
    for start in range(0, resamples, batch):
        size = min(batch, resamples - start)
        chosen = rng.integers(0, groups, (size, groups)) + groups * np.arange(size)[:, None]
        times = np.bincount(chosen.ravel(), minlength=size * groups).reshape(size, groups)
        drawn.append(times.astype(float) @ cells)
    resampled = np.concatenate(drawn).reshape(resamples, *counts.shape[1:]).astype(np.int64)
    return {name: percentiles(values, level) for name, values in scores_from_confusion(resampled).items()}


def percentiles(values: Floats, level: float) -> Floats:
    """Interval `[..., 2]` of `values` `[R, ...]`, over the defined values of each column."""
    columns = values.reshape(len(values), -1)
    ends = np.full((columns.shape[1], 2), np.nan)
    for end, column in zip(ends, columns.T, strict=True):
        if (defined := column[~np.isnan(column)]).size:
            end[:] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return ends.reshape(*values.shape[1:], 2)
