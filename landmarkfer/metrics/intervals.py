"""Intervals of rates that hold their coverage with few images, and for rates of 0 and 1.

The model is taken as given and the images as drawn at random, or, where they belong to people or sequences,
whole groups of them.

- A proportion has the interval of Clopper and Pearson (1934). Over images it is exact: it holds the rate at
  least as often as it states, whatever the rate and the number of images.
- Over groups that interval has an effective number of images (Korn and Graubard, "Confidence intervals for
  proportions with small expected number of positive counts estimated from survey data", 1998).
- F1 is `2J / (1 + J)` of `J = TP / (TP + FP + FN)`, which is a proportion of the images that have the class
  as label or as prediction; its ends are those of J, transformed. (Takahashi et al., "Confidence interval for
  micro-averaged F1 and macro-averaged F1 scores", 2022, treat F1 in large samples.)
- A mean over classes has an interval from those of the classes (MOVER: Zou and Donner, "Construction of
  confidence limits about effect measures: a general approach", 2008), or, at either end, from the bootstrap,
  whichever is further out.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from landmarkfer.metrics.bootstrap import LEVEL, RESAMPLES, bootstrap_intervals, grouped_intervals
from landmarkfer.metrics.classification import Floats, scores_from_confusion
from landmarkfer.metrics.groups import sum_by_group


def proportion_intervals(hits: ArrayLike, images: ArrayLike, level: float = LEVEL) -> Floats:
    """Clopper and Pearson's intervals of proportions.

    Args:
        hits: `[...]`, how many of the images are hits; need not be whole.
        images: `[...]`, of how many; need not be whole.
        level: Coverage.

    Returns:
        Lower and upper ends `[..., 2]`; NaN where there is no image.

    Raises:
        ValueError: `level` is not between 0 and 1, or there are more hits than images, or fewer than none.
    """
    if not 0 < level < 1:
        raise ValueError(f"need a level between 0 and 1, got {level}")
    x, n = np.broadcast_arrays(np.asarray(hits, float), np.asarray(images, float))
    if not np.all((x >= 0) & (x <= n)):
        raise ValueError("need as many images as hits or more, and no fewer than 0 hits")
    tail = (1 - level) / 2
    ends = np.stack([np.zeros(x.shape), np.ones(x.shape)], axis=-1)
    some, not_all = x > 0, x < n
    ends[some, 0] = stats.beta.ppf(tail, x[some], n[some] - x[some] + 1)
    ends[not_all, 1] = stats.beta.ppf(1 - tail, x[not_all] + 1, n[not_all] - x[not_all])
    ends[n == 0] = np.nan
    return ends


def grouped_proportion_intervals(hits: ArrayLike, images: ArrayLike, level: float = LEVEL) -> Floats:
    """Korn and Graubard's intervals of proportions, over groups of images.

    They are Clopper and Pearson's with the number of independent images that would give the proportion the
    variance that it has between groups, corrected for the degrees of freedom of that variance. It is never
    more than the number of images. Korn and Graubard take one degree of freedom for each group but one;
    where few groups have a hit, or few a miss, or a few hold most images, the variance is known less well
    than that, and the degrees of freedom are as many as the least of these counts (Kish's effective number,
    `(sum w)^2 / sum w^2`). Nor is it less than the effective number of groups, which is what groups of images
    all alike are worth. A rate of 0 or 1 has no variance between groups: it has the number of groups, which
    is exact where the images of a group are all alike, and cautious elsewhere. Where a few of many groups
    hold most images, an interval may still be too narrow.

    Args:
        hits: `[G, ...]`, how many of the images of each group are hits.
        images: `[G, ...]`, of how many; groups without an image do not count.
        level: Coverage.

    Returns:
        Lower and upper ends `[..., 2]`; NaN where there is no image.

    Raises:
        ValueError: As `proportion_intervals`.
    """
    x, n = np.broadcast_arrays(np.asarray(hits, float), np.asarray(images, float))
    total = n.sum(axis=0)
    effective = _effective_images(x, n, level)
    rate = np.divide(x.sum(axis=0), total, out=np.zeros(total.shape), where=total > 0)
    return proportion_intervals(rate * effective, effective, level)


def _effective_images(hits: Floats, images: Floats, level: float) -> Floats:
    """How many independent images `[...]` tell as much of the rate as groups `[G, ...]` do."""
    total, groups = images.sum(axis=0), (images > 0).sum(axis=0)
    all_hits = hits.sum(axis=0)
    worth = _kish(images)
    freedom = np.minimum(worth - 1, np.minimum(_kish(hits), _kish(images - hits)))
    tail = (1 - level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = all_hits / total
        # Of a ratio, by its linearisation: groups differ in size too.
        between = groups / (groups - 1) * ((hits - rate * images) ** 2).sum(axis=0) / total**2
        certain = stats.t.ppf(tail, total - 1) / stats.t.ppf(tail, np.maximum(freedom, 1))
        effective = rate * (1 - rate) / between * certain**2
    # Groups of one and the same rate have no variance between them, and tell as much as images.
    effective = np.where(between > 0, effective, total)
    alike = (all_hits == 0) | (all_hits == total) | (groups < 2)
    return np.where(alike, groups, np.clip(effective, worth, total)).astype(float)


def _kish(weights: Floats) -> Floats:
    """Kish's effective number `[...]` of weights `[G, ...]`; 0 where all are 0."""
    squares = (weights**2).sum(axis=0)
    return np.divide(weights.sum(axis=0) ** 2, squares, out=np.zeros(squares.shape), where=squares > 0)


def hit_interval(hits: ArrayLike, groups: NDArray[np.int64] | None = None, level: float = LEVEL) -> Floats:
    """Interval `[2]` of the share of images that are hits.

    Args:
        hits: `[N]`, whether each image is a hit, or how much of one.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`; None where images
            are drawn.
        level: Coverage.
    """
    x = np.asarray(hits, float)
    if groups is None:
        return proportion_intervals(x.sum(), len(x), level)
    return grouped_proportion_intervals(sum_by_group(x, groups), np.bincount(groups).astype(float), level)


def mean_interval(rates: Floats, ends: Floats, correlations: Floats) -> Floats:
    """Interval of the mean of rates from the intervals of each (MOVER).

    The distances of the ends to the rates are treated as standard deviations are: the squares of the mean's
    are sums of their products, weighted by `correlations`.

    Args:
        rates: `[C]`, NaN where undefined and left out of the mean.
        ends: `[C, 2]`.
        correlations: `[C, C]` between the errors of the rates, 0 where these are independent.

    Returns:
        `[2]`, not below 0 or above 1; NaN where no rate is defined.
    """
    defined = ~np.isnan(rates)
    if not defined.any():
        return np.full(2, np.nan)
    rates, ends, among = rates[defined], ends[defined], correlations[np.ix_(defined, defined)]
    below, above = (np.sqrt(gap @ among @ gap) / len(rates) for gap in np.abs(ends - rates[:, None]).T)
    return np.clip(rates.mean() + np.array([-below, above]), 0, 1)


def confusion_intervals(
    counts: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> dict[str, Floats]:
    """Intervals of every score that a confusion matrix determines.

    Those of the averages, `balanced_accuracy` and `macro_f1`, are the wider at each end of MOVER and of the
    percentile bootstrap. With two or three images of each class, most of them predicted as another one, that
    of `macro_f1` may still be too narrow.

    Args:
        counts: Confusion matrix `[C, C]`, true classes by predicted ones; or one of each group of images,
            `[G, C, C]`, over which the intervals then are.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        level: Coverage.

    Returns:
        As `bootstrap.bootstrap_intervals`: lower and upper ends of `accuracy`, `balanced_accuracy` and
        `macro_f1` as `[2]`, of `precision`, `recall` and `f1` as `[C, 2]`; NaN where a score is undefined.

    Raises:
        ValueError: There is no image, or `level` is not between 0 and 1.
    """
    counts = np.asarray(counts)
    grouped = counts.ndim == 3
    intervals, drawn = (
        (grouped_proportion_intervals, grouped_intervals(counts, resamples=resamples, seed=seed, level=level))
        if grouped
        else (proportion_intervals, bootstrap_intervals(counts, resamples=resamples, seed=seed, level=level))
    )
    hits = np.diagonal(counts, axis1=-2, axis2=-1)  # [(G,) C], and so are the next three
    actual, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    either = actual + predicted - hits
    ends = {
        "accuracy": intervals(hits.sum(axis=-1), actual.sum(axis=-1), level),
        "precision": intervals(hits, predicted, level),
        "recall": intervals(hits, actual, level),
    }
    shared = intervals(hits, either, level)
    ends["f1"] = 2 * shared / (1 + shared)
    scores = scores_from_confusion(counts.sum(axis=0) if grouped else counts)
    between = {
        "recall": _group_correlations(hits, actual) if grouped else np.eye(len(hits)),
        "f1": _group_correlations(hits, either) if grouped else _f1_correlations(counts),
    }
    for name, part in (("balanced_accuracy", "recall"), ("macro_f1", "f1")):
        mean = mean_interval(scores[part], ends[part], between[part])
        ends[name] = np.array([np.fmin(mean[0], drawn[name][0]), np.fmax(mean[1], drawn[name][1])])
    return ends


def _f1_correlations(counts: NDArray[np.int64]) -> Floats:
    """Correlations `[C, C]` of the errors of J (see above) over images: an error is one of two classes.

    A class without an error or without a hit has them from half an error in all, spread over the others.
    """
    classes = len(counts)
    diagonal = np.eye(classes, dtype=bool)
    cells = counts + np.where(diagonal, 0.5, 0.25 / max(classes - 1, 1))
    hits, either = np.diagonal(cells), cells.sum(axis=0) + cells.sum(axis=1) - np.diagonal(cells)
    share = hits / either
    # Of an image with label i and prediction j, the error of J of i and of j is -J, and 1 - J where i = j.
    covariances = np.outer(share, share) * (cells + cells.T)
    variances = hits * (1 - share) ** 2 + share**2 * (either - hits)
    return np.where(diagonal, 1.0, covariances / np.sqrt(np.outer(variances, variances)))


def _group_correlations(hits: NDArray[np.int64], images: NDArray[np.int64]) -> Floats:
    """Correlations `[C, C]` of the errors of rates `[G, C]` between groups, 0 to 1.

    Of a rate of 0 or 1 they are unknown and taken as 1, but with classes of which no group has images, too.
    """
    total = images.sum(axis=0)
    rates = np.divide(hits.sum(axis=0), total, out=np.zeros(total.shape), where=total > 0)
    errors = hits - rates * images
    spread = np.sqrt((errors**2).sum(axis=0))
    known = np.outer(spread, spread)
    met = (images > 0).astype(float)
    unknown = ((met.T @ met) > 0).astype(float)
    correlations = np.divide(errors.T @ errors, known, out=unknown, where=known > 0)
    np.fill_diagonal(correlations, 1)
    return np.clip(correlations, 0, 1)
