"""Whether two models differ: McNemar's and permutation tests, and intervals of differences.

All intervals and tests treat the models as given and the images as drawn at random, or, where images belong
to people or sequences, whole groups of images (`groups`); McNemar's test knows images alone. They say nothing
of the spread between training seeds, which is the standard deviation over seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from landmarkfer.metrics.bootstrap import BATCH, LEVEL, RESAMPLES, percentiles
from landmarkfer.metrics.classification import Floats
from landmarkfer.metrics.groups import sum_by_group
from landmarkfer.progress import SILENT, Progress

PERMUTATIONS = 9999
_ROUNDING = 1e-9


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
    groups: NDArray[np.int64] | None = None,
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
        groups: Int `[N]`, the number of each image's group, from `group_numbers`: groups are then drawn and
            exchanged whole, and not images.

    Raises:
        ValueError: The arrays are not about the same images, or about none.
    """
    shares = [np.atleast_2d(np.asarray(one, dtype=float)).mean(axis=0) for one in (first, second)]
    if shares[0].shape != shares[1].shape or not len(shares[0]):
        raise ValueError(f"need the same images of both, got {shares[0].shape} and {shares[1].shape}")
    gaps = shares[0] - shares[1]
    if not gaps.any():
        return PairedDifference(0.0, 0.0, 0.0, 1.0)
    if groups is not None:
        return _grouped_difference(shares[0], shares[1], groups, resamples, permutations, seed)
    interval = stats.bootstrap(
        (gaps,),
        np.mean,
        n_resamples=resamples,
        batch=BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    unequal = np.append(gaps[gaps != 0], 0.0)  # exchanging equal shares changes nothing; SciPy wants two
    test = stats.permutation_test(
        (unequal,),
        np.mean,
        permutation_type="samples",
        n_resamples=permutations,
        batch=BATCH,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return PairedDifference(float(gaps.mean()), float(interval.low), float(interval.high), float(test.pvalue))


def _grouped_difference(
    first: Floats, second: Floats, groups: NDArray[np.int64], resamples: int, permutations: int, seed: int
) -> PairedDifference:
    """`paired_difference` of shares `[N]`, over groups."""
    ones = np.ones(len(first))
    found = paired_differences(
        np.stack([first, ones], axis=1),
        np.stack([second, ones], axis=1),
        lambda sums: sums[..., :1] / sums[..., 1:],
        resamples=resamples,
        permutations=permutations,
        seed=seed,
        groups=groups,
    )
    difference, low, high, p = (float(value[0]) for value in found[2:])
    return PairedDifference(difference, low, high, p)


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
    groups: NDArray[np.int64] | None = None,
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
        groups: See `paired_difference`.

    Raises:
        ValueError: The arrays are not about the same images, or about none.
    """
    if first.shape != second.shape or first.ndim != 2 or not len(first):
        raise ValueError(f"need [N, K] of the same images of both, got {first.shape} and {second.shape}")
    if groups is not None:
        first, second = sum_by_group(first, groups), sum_by_group(second, groups)
    images, total = len(first), resamples + permutations
    values = figures(first.sum(axis=0)), figures(second.sum(axis=0))
    difference = values[0] - values[1]
    # Drawn here and not by scipy, whose functions take one figure at a time and draw anew for each.
    drawn, exchanged = [], []
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, BATCH):
        size = min(BATCH, resamples - start)
        times = rng.multinomial(images, np.full(images, 1 / images), size).astype(float)
        drawn.append(figures(times @ first) - figures(times @ second))
        progress(task, start + size, total)
    gaps, sums = second - first, (first.sum(axis=0), second.sum(axis=0))
    for start in range(0, permutations, BATCH):
        size = min(BATCH, permutations - start)
        moved = rng.integers(0, 2, (size, images), dtype=np.int8).astype(float) @ gaps
        exchanged.append(figures(sums[0] + moved) - figures(sums[1] - moved))
        progress(task, resamples + start + size, total)
    null = np.abs(np.concatenate(exchanged))
    # Sums that are equal but for the order of their terms must count as equal.
    extreme = np.sum(null >= np.abs(difference) - _ROUNDING, axis=0)
    p = (extreme + 1) / (np.sum(~np.isnan(null), axis=0) + 1)
    low, high = np.moveaxis(percentiles(np.concatenate(drawn), LEVEL), -1, 0)
    return PairedDifferences(*values, difference, low, high, np.where(np.isnan(difference), np.nan, p))
