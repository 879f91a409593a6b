"""How sure a figure is, and whether two models differ: bootstrap intervals, McNemar's and permutation tests.

All intervals and tests treat the models as given and the images as drawn at random. They say nothing of the
spread between training seeds, which is the standard deviation over seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from landmarkfer.metrics.classification import Floats, scores_from_confusion
from landmarkfer.progress import SILENT, Progress

RESAMPLES = 2000
PERMUTATIONS = 9999
LEVEL = 0.95
_BATCH = 250  # resamples at a time, for the sake of memory
_ROUNDING = 1e-9


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
    return {name: _percentiles(values, level) for name, values in scores.items()}


def _percentiles(values: Floats, level: float) -> Floats:
    """Interval `[..., 2]` of `values` `[R, ...]`, over the defined values of each column."""
    columns = values.reshape(len(values), -1)
    ends = np.full((columns.shape[1], 2), np.nan)
    for end, column in zip(ends, columns.T, strict=True):
        if (defined := column[~np.isnan(column)]).size:
            end[:] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return ends.reshape(*values.shape[1:], 2)


@dataclass(frozen=True)
class McNemar:
    """Outcome of McNemar's test: the images that only one of two models got right, and two-sided p-values."""

    only_first: int
    only_second: int
    exact_p: float
    mid_p: float


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Whether two models differ in accuracy on the same images.

    Under the hypothesis of no difference, each image that only one model got right is a fair coin. The exact
    test is conservative; the mid-p value, which counts half of the observed outcome's probability, has nearer
    the nominal error rate (Fagerland, Lydersen and Laake 2013).

    Args:
        labels: True classes `[N]`, names or indices.
        first: Predictions `[N]` of one model.
        second: Predictions `[N]` of the other, for the same images in the same order.

    Raises:
        ValueError: If the arrays are not of one length.
    """
    labels, first, second = np.asarray(labels), np.asarray(first), np.asarray(second)
    if not labels.shape == first.shape == second.shape or labels.ndim != 1:
        raise ValueError(
            f"labels and both predictions must be [N] arrays of one length, "
            f"got {labels.shape}, {first.shape} and {second.shape}"
        )
    right_first, right_second = labels == first, labels == second
    only_first = int(np.sum(right_first & ~right_second))
    only_second = int(np.sum(right_second & ~right_first))
    fewer, discordant = min(only_first, only_second), only_first + only_second
    tail = stats.binom.cdf(fewer, discordant, 0.5)
    observed = stats.binom.pmf(fewer, discordant, 0.5)
    # With equal counts both tails hold the observed outcome: twice the tail exceeds 1, and mid-p is 1.
    return McNemar(only_first, only_second, float(min(1.0, 2 * tail)), float(min(1.0, 2 * tail - observed)))


@dataclass(frozen=True)
class PairedDifference:
    """How much more often one system is right than another, on the same images and over all their seeds.

    `difference` is a share of the images, with its bootstrap interval `low` to `high`; `p` is the two-sided
    p-value of a permutation test.
    """

    difference: float
    low: float
    high: float
    p: float


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PairedDifference:
    """Compare two systems, each trained with several seeds, image by image.

    Each system has a share of its seeds that is right on an image. Under the hypothesis of no difference the
    two shares of an image could as well be exchanged; the test exchanges them at random. The interval comes
    from resampling images. So all seeds count, and an image counts once, however many seeds there are.

    Args:
        first: Bool `[S, N]`, whether each of S seeds of one system is right on each image.
        second: Bool `[T, N]`, the same of the other, images in the same order.
        resamples: Of the bootstrap.
        permutations: Of the test; no p-value is below 1 / (permutations + 1).
        seed: Of both.

    Raises:
        ValueError: The arrays are not about the same images, or about none.
    """
    shares = [np.atleast_2d(np.asarray(one, dtype=float)).mean(axis=0) for one in (first, second)]
    if shares[0].shape != shares[1].shape or not len(shares[0]):
        raise ValueError(f"need the same images of both, got {shares[0].shape} and {shares[1].shape}")
    gaps = shares[0] - shares[1]
    if not gaps.any():
        return PairedDifference(0.0, 0.0, 0.0, 1.0)
    interval = stats.bootstrap(
        (gaps,),
        np.mean,
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    test = stats.permutation_test(
        (gaps,),
        np.mean,
        permutation_type="samples",
        n_resamples=permutations,
        batch=_BATCH,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return PairedDifference(float(gaps.mean()), float(interval.low), float(interval.high), float(test.pvalue))


class PairedDifferences(NamedTuple):
    """M figures of two systems on the same images, their differences, intervals and p-values; each `[M]`.

    What is undefined on the given images is NaN.
    """

    first: Floats
    second: Floats
    difference: Floats
    low: Floats
    high: Floats
    p: Floats


def paired_differences(
    first: Floats,
    second: Floats,
    figures: Callable[[Floats], Floats],
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    task: str = "drawing",
    progress: Progress = SILENT,
) -> PairedDifferences:
    """Compare two systems in many figures at once, as `paired_difference` does in accuracy.

    A figure is whatever sums over images determine: a recall, say, from hits and images of the class. All
    figures share the resamples and the exchanges, which are of whole images: an image that is drawn twice, or
    whose two systems are exchanged, is so in every figure.

    Args:
        first: `[N, K]`, what each image adds to the sums of one system (its mean over seeds).
        second: `[N, K]`, the same of the other, images in the same order.
        figures: From sums `[..., K]` to figures `[..., M]`, NaN where undefined.
        resamples: Of the bootstrap.
        permutations: Of the test; no p-value is below 1 / (permutations + 1).
        seed: Of both.
        task: What the progress calls the draws.
        progress: Counts the draws.

    Raises:
        ValueError: The arrays are not about the same images, or about none.
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(f"need [N, K] of the same images of both, got {first.shape} and {second.shape}")
    images, total = len(first), resamples + permutations
    values = figures(first.sum(axis=0)), figures(second.sum(axis=0))
    difference = values[0] - values[1]
    # Drawn here and not by scipy, whose functions take one figure at a time and draw anew for each.
    drawn, exchanged = [], []
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BATCH):
        size = min(_BATCH, resamples - start)
        times = rng.multinomial(images, np.full(images, 1 / images), size).astype(float)
        drawn.append(figures(times @ first) - figures(times @ second))
        progress(task, start + size, total)
    gaps, sums = second - first, (first.sum(axis=0), second.sum(axis=0))
    for start in range(0, permutations, _BATCH):
        size = min(_BATCH, permutations - start)
        moved = rng.integers(0, 2, (size, images), dtype=np.int8).astype(float) @ gaps
        exchanged.append(figures(sums[0] + moved) - figures(sums[1] - moved))
        progress(task, resamples + start + size, total)
    null = np.abs(np.concatenate(exchanged))
    # Sums that are equal but for the order of their terms must count as equal.
    extreme = np.sum(null >= np.abs(difference) - _ROUNDING, axis=0)
    p = (extreme + 1) / (np.sum(~np.isnan(null), axis=0) + 1)
    low, high = np.moveaxis(_percentiles(np.concatenate(drawn), LEVEL), -1, 0)
    return PairedDifferences(*values, difference, low, high, np.where(np.isnan(difference), np.nan, p))


def holm(p: ArrayLike) -> Floats:
    """p-values `[M]` of M tests, corrected so that a false finding among all is as rare as one p-value says.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return corrected
