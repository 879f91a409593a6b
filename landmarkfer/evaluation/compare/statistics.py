"""Where two systems differ: by class, by confusion, and by slice of the images.

A system is its `Predictions` by seed. Of all seeds together, each image has the share of them that predicted
each class; so every seed counts, and an image counts once. Recalls, accuracies
and rates of confusion are then the means over the seeds, and precision and F1 those of the mean confusion
matrix. Differences are the first system's figure minus the second's, as fractions.

Intervals are of a bootstrap over images, p-values of a permutation test that exchanges the two systems image
by image (`significance.paired_differences`), corrected after Holm within each part and metric. Where groups
of images are known (people, sequences), whole groups are drawn and exchanged. Tables have
`DIFFERENCE_COLUMNS`, a `Difference` in each row, whose part says what `name` and `other` are:

| part | name | other | metric |
| --- | --- | --- | --- |
| `all` | | | `accuracy`, `balanced_accuracy`, `macro_f1` |
| `class` | class | | `recall`, `precision`, `f1` |
| `predicted` | true class | class it was predicted to be | `rate`: share of the true class's images |
| `either` | class | class | `rate`: confusions either way, share of both classes' images |
| `slice` | measure | slice | `accuracy` |
| `trend` | measure | last slice against first | `accuracy`: how much higher in the last than in the first |
| `image` | class; empty for all | | `alone`: share of images that one system alone predicts correctly |
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.metrics.classification import Floats, normalised_confusion, scores_from_confusion
from landmarkfer.metrics.combine import align_predictions
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.holm import holm
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.significance import paired_differences

SLICES = 3
"""Into how many slices of equal size a number is cut."""
_FEW = 5  # a number of at most so many values is cut by value


class Difference(NamedTuple):
    """A figure of both systems on `images` images, and its difference between them."""

    part: str
    name: str
    other: str
    metric: str
    images: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


DIFFERENCE_COLUMNS = Difference._fields


def differences_in(rows: pd.DataFrame) -> list[Difference]:
    """The rows of a table with `DIFFERENCE_COLUMNS`."""
    return [Difference(*row) for row in rows[list(DIFFERENCE_COLUMNS)].itertuples(index=False, name=None)]


def points_text(fraction: float) -> str:
    """A difference in points, with its sign unless it rounds to nothing."""
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


@dataclass(frozen=True)
class Pair:
    """Two systems on the same `N` images of `C` classes.

    Attributes:
        ids: `[N]`.
        classes: `C` names.
        labels: `[N]`, numbers of the true classes.
        predicted: `[2, N, C]`, of each system the share of its seeds that predicted each class.
        probabilities: `[2, N, C]`, of each system the mean over its seeds.
        groups: `[N]`, from `metrics.groups.group_numbers`; None where images are drawn.
    """

    ids: NDArray[np.object_]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: Floats
    probabilities: Floats
    groups: NDArray[np.int64] | None = None

    @property
    def right(self) -> Floats:
        """`[2, N]`, of each system the share of its seeds that is right."""
        return self.predicted[:, np.arange(len(self.labels)), self.labels]


def pair_systems(first: Sequence[Predictions], second: Sequence[Predictions]) -> Pair:
    """Two systems, image by image.

    Args:
        first: Predictions of one system, for each of its seeds.
        second: Those of the other; it need not have as many seeds.

    Raises:
        RunError: A system has no predictions, or they differ in images, labels or classes.
    """
    aligned = align_predictions([*first, *second])
    ids, classes, labels = aligned[0].ids, aligned[0].classes, aligned[0].labels
    systems = aligned[: len(first)], aligned[len(first) :]
    one_hot = np.eye(len(classes))
    return Pair(
        ids,
        classes,
        labels,
        np.stack([np.mean([one_hot[one.predicted] for one in seeds], axis=0) for seeds in systems]),
        np.stack([np.mean([one.probabilities for one in seeds], axis=0) for seeds in systems]),
        group_numbers(next((one.groups for one in aligned if one.groups is not None), None)),
    )


def confusion_differences(pair: Pair, **draws: Any) -> pd.DataFrame:
    """Differences over all images, by class, and by confusion.

    Args:
        pair: The systems.
        **draws: `resamples`, `permutations`, `seed`, `task` and `progress` of `paired_differences`.

    Returns:
        Rows with `DIFFERENCE_COLUMNS` of the parts `all`, `class`, `predicted` and `either`, by class in
        their order, and by confusion with the largest difference first.
    """
    size = len(pair.classes)
    ordered, either = list(permutations(range(size), 2)), list(combinations(range(size), 2))
    truth = np.eye(size)[pair.labels]  # [N, C]
    support = truth.sum(axis=0).astype(int)
    # [N, C], [N, C] -> [N, C * C]: the cell of the confusion matrix that an image adds to.
    cells = [(truth[:, :, None] * predicted[:, None]).reshape(len(truth), -1) for predicted in pair.predicted]
    keys: list[tuple[str, str, str, str, int]] = [
        ("all", "", "", metric, len(truth)) for metric in ("accuracy", "balanced_accuracy", "macro_f1")
    ]
    for metric in ("recall", "precision", "f1"):
        keys += [("class", name, "", metric, support[i]) for i, name in enumerate(pair.classes)]
    for part, pairs in (("predicted", ordered), ("either", either)):
        keys += [
            (part, pair.classes[a], pair.classes[b], "rate", support[a] + (part == "either") * support[b])
            for a, b in pairs
        ]

    def figures(sums: Floats) -> Floats:
        counts = np.maximum(sums, 0).reshape(*sums.shape[:-1], size, size)
        scores = scores_from_confusion(counts)
        whole = [scores[name][..., None] for name in ("accuracy", "balanced_accuracy", "macro_f1")]
        share = normalised_confusion(counts)
        images = counts.sum(axis=-1)
        both = [
            _share(counts[..., a, b] + counts[..., b, a], images[..., a] + images[..., b]) for a, b in either
        ]
        by_class = [scores[name] for name in ("recall", "precision", "f1")]
        rates = np.stack([share[..., a, b] for a, b in ordered], axis=-1)
        return np.concatenate([*whole, *by_class, rates, np.stack(both, axis=-1)], axis=-1)

    rows = _rows(keys, cells, figures, {"groups": pair.groups, **draws})
    confused = rows["part"].isin(["predicted", "either"])
    sizes = rows["difference"].abs().where(confused).fillna(np.inf)
    order = rows["part"].map({"all": 0, "class": 1, "predicted": 2, "either": 3})
    sort = pd.DataFrame({"part": order, "size": -sizes})
    return rows.loc[sort.sort_values(["part", "size"], kind="stable").index].reset_index(drop=True)


def slice_differences(
    pair: Pair, measures: pd.DataFrame, bins: Mapping[str, Sequence[float]] | None = None, **draws: Any
) -> pd.DataFrame:
    """Accuracy of both systems, and its difference, in slices of the images.

    Args:
        pair: The systems.
        measures: By image id, a column for each measure. Numbers are cut into `SLICES` of equal size, or, if
            they have few values, by value; anything else is a slice as it is. Images without a value
            belong to no slice. A measure with a single slice is left out, as is one that slices the images as
            one before it does.
        bins: Edges between the slices of a measure, inside its range, in place of equal sizes.
        **draws: `resamples`, `permutations`, `seed`, `task` and `progress` of `paired_differences`.

    Returns:
        Rows with `DIFFERENCE_COLUMNS` of the parts `slice` and `trend`. The test of a trend exchanges systems
        as all tests here do; where they differ by as much in every slice, it errs on the side of no trend.
    """
    found = measures.reindex(pair.ids)
    sliced = {str(name): cut(found[name], (bins or {}).get(str(name))) for name in found}
    codes = pd.DataFrame({name: column.cat.codes for name, column in sliced.items()}).T
    kept = codes[(codes.max(axis=1) > 0) & ~codes.duplicated()].index
    sliced = {name: sliced[name] for name in kept}
    if not sliced:
        return pd.DataFrame(columns=list(DIFFERENCE_COLUMNS))
    inside = [(column == s).to_numpy(float) for column in sliced.values() for s in column.cat.categories]
    member = np.stack(inside, axis=1)  # [N, S]
    keys: list[tuple[str, str, str, str, int]] = [
        ("slice", name, str(s), "accuracy", int((column == s).sum()))
        for name, column in sliced.items()
        for s in column.cat.categories
    ]
    ends, start = [], 0
    for name, column in sliced.items():
        slices = list(column.cat.categories)
        ends.append((start, start + len(slices) - 1))
        first, last = slices[0], slices[-1]
        compared = f"{last} against {first}"
        keys.append(("trend", name, compared, "accuracy", int(column.isin([first, last]).sum())))
        start += len(slices)

    def figures(sums: Floats) -> Floats:
        hits, images = sums[..., :start], sums[..., start:]
        accuracy = _share(hits, images)
        trend = [accuracy[..., last] - accuracy[..., first] for first, last in ends]
        return np.concatenate([accuracy, np.stack(trend, axis=-1)], axis=-1)

    sums = [np.concatenate([right[:, None] * member, member], axis=1) for right in pair.right]
    return _rows(keys, sums, figures, {"groups": pair.groups, **draws})


def cut(values: pd.Series, edges: Sequence[float] | None = None) -> pd.Series:
    """The slice of each image: an ordered category, null where `values` is.

    Args:
        values: Numbers, or names of slices.
        edges: Between the slices of numbers, each belonging to the slice below it; by default those that
            make `SLICES` of equal size, or one for each value if there are few.
    """
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.astype("category").cat.remove_unused_categories()
    if edges is None:
        known = np.sort(values.dropna().unique())
        if len(known) <= _FEW:
            named = pd.CategoricalDtype(list(dict.fromkeys(map(_text, known))), ordered=True)
            return values.map(_text, na_action="ignore").astype(named)
        equal = values.quantile(np.arange(1, SLICES) / SLICES).to_numpy()
        # Where the highest value is that of many images, they are a slice.
        edges = np.unique(np.minimum(equal, known[-2])).tolist()
    names = [f"up to {_text(edges[0])}"]
    names += [f"{_text(low)} to {_text(high)}" for low, high in pairwise(edges)]
    names.append(f"over {_text(edges[-1])}")
    return pd.cut(values, [-np.inf, *edges, np.inf], labels=names).cat.remove_unused_categories()


def _text(value: float) -> str:
    return f"{value:.3g}"


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _rows(
    keys: Sequence[tuple[str, str, str, str, int]],
    sums: Sequence[Floats],
    figures: Callable[[Floats], Floats],
    draws: Mapping[str, Any],
) -> pd.DataFrame:
    """Rows with `DIFFERENCE_COLUMNS`, without those that are undefined."""
    found = paired_differences(sums[0], sums[1], figures, **draws)
    rows = pd.DataFrame(keys, columns=list(DIFFERENCE_COLUMNS[:5])).assign(**found._asdict())
    rows = rows[rows["difference"].notna()].copy()
    return rows.assign(p_holm=corrected(rows)).reset_index(drop=True)


def corrected(rows: pd.DataFrame) -> pd.Series:
    """The column `p`, corrected after Holm within each `part` and `metric`; NaN where there is no test."""
    tested = rows[rows["p"].notna()]
    return tested.groupby(["part", "metric"])["p"].transform(holm).reindex(rows.index)
