"""The confounds of a cache: which features of its images state the class beside the expression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.confounds.association import associate, information
from landmarkfer.data.confounds.features import (
    ANOTHER,
    FEATURES,
    FEWEST,
    FOLDER,
    PREFIX,
    Feature,
    Values,
    feature_values,
    place_of,
)
from landmarkfer.data.confounds.names import file_formats, name_prefixes, source_folders
from landmarkfer.data.confounds.pictures import measure_pictures
from landmarkfer.data.confounds.report import Confound, Confounds, Fact
from landmarkfer.data.schemes import groups_by, recognised
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.holm import holm
from landmarkfer.progress import SILENT, Progress

_COLUMNS = ("id", "label", "group", "status", "sha256", "width", "height", "attempts", "detections")

_SAME = 2 / 3
"""Overlap from which on two features are nearly the same."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """The confounds of a cache, and the values of its images.

    Attributes:
        report: What was found.
        values: Text or None `[N]` by the name of the feature, of all rows of the cache.
    """

    report: Confounds
    values: dict[str, Values]


def measure_confounds(cache: LandmarkCache, progress: Progress = SILENT) -> Measured:
    """Measure how much each feature of the labelled images states of their label.

    Images of one group, where the cache or the scheme of the file names states groups, count as one unit of
    the tests, and so do identical images of no group; see `association`.

    Args:
        cache: The cache, complete or not.
        progress: Reports the task `measuring pictures`, the first time, and `testing confounds`.

    Raises:
        CacheError: A part of the cache is damaged.
    """
    frame = cache.frame(_COLUMNS)
    frame = frame.astype(object).where(frame.notna(), None)
    labelled = frame["label"].notna().to_numpy()
    labels = frame["label"].to_numpy()
    classes = [name for name in cache.manifest.classes if (labels == name).any()]
    classes += sorted(set(labels[labelled]) - set(classes))
    if len(classes) < 2:
        reason = f"all labelled images are '{classes[0]}'" if classes else "no image has a label"
        return Measured(_nothing(int(labelled.sum()), f"Confounds were not looked for: {reason}."), {})
    if labelled.sum() <= FEWEST:
        reason = (
            f"{labelled.sum()} labelled images are too few; a feature needs one value of {FEWEST} or more "
            "images beside others"
        )
        return Measured(_nothing(int(labelled.sum()), f"Confounds were not looked for: {reason}."), {})
    ids = frame["id"].tolist()
    values = feature_values(
        frame,
        measure_pictures(cache, progress),
        name_prefixes(ids, classes),
        source_folders(ids, classes),
        file_formats(ids),
        labelled,
    )
    groups = group_numbers(_groups(frame)[labelled])
    numbers = pd.Index(classes).get_indexer(pd.Index(labels[labelled]))
    report = _report({f: v[labelled] for f, v in values.items()}, numbers, classes, groups, progress)
    return Measured(report, {feature.name: found for feature, found in values.items()})


def _nothing(images: int, reason: str) -> Confounds:
    return Confounds(images=images, groups=None, found=[], constant=[], spelt=[], reason=reason)


def _groups(frame: pd.DataFrame) -> Values:
    """The group of each image, None where it has none: the stated one, else that of identical images."""
    group = frame["group"]
    if group.isna().all():
        scheme = recognised(frame["id"].tolist())
        if scheme is not None:
            group = pd.Series(groups_by(scheme.pattern, frame["id"].tolist()), frame.index, dtype=object)
    # Names of groups and hashes are distinguished by what they begin with.
    pixels = frame["sha256"].map(lambda text: None if text is None else f"pixels {text}")
    stated = group.map(lambda name: None if pd.isna(name) else f"group {name}")
    joined = stated.where(stated.notna(), pixels)
    return joined.astype(object).where(joined.notna(), None).to_numpy()


def _report(
    values: dict[Feature, Values],
    labels: Ints,
    classes: Sequence[str],
    groups: Ints | None,
    progress: Progress,
) -> Confounds:
    """What is found of the labelled images: their values `[N]`, classes `[N]` and groups `[N]`."""
    constant: list[str] = []
    rare: list[str] = []
    spelt: list[str] = []
    varying: list[tuple[Feature, NDArray[np.bool_], Ints, list[str]]] = []
    for feature, found in values.items():
        known = np.array([value is not None for value in found], bool)
        numbers, names = _numbered(found[known], feature.ordered)
        if len(names) < 2 or len(np.unique(labels[known])) < 2:
            constant.append(feature.name)
            if names == [ANOTHER]:
                rare.append(feature.name)
        elif feature in (PREFIX, FOLDER) and _spells(numbers, labels[known]):
            spelt.append(feature.name)
        else:
            varying.append((feature, known, numbers, names))
    associations = []
    grouped: list[Ints | None] = []
    for _, known, numbers, _ in progress.track(varying, "testing confounds", len(varying)):
        some = None if groups is None else np.unique(groups[known], return_inverse=True)[1].astype(np.int64)
        grouped.append(some)
        associations.append(associate(numbers, labels[known], some))
    corrected = holm([one.p for one in associations]) if associations else np.empty(0)
    confounds = [
        _confound(feature, numbers, names, labels[known], some, classes, one.share, float(p))
        for (feature, known, numbers, names), some, one, p in zip(
            varying, grouped, associations, corrected, strict=True
        )
    ]
    order = {feature.name: place for place, feature in enumerate(FEATURES)}
    confounds.sort(key=lambda one: (-one.share, order[one.feature]))
    confounds = _marked(confounds, {feature.name: found for feature, found in values.items()})
    return Confounds(
        images=len(labels),
        groups=None if groups is None else int(groups.max()) + 1,
        found=confounds,
        constant=constant,
        spelt=spelt,
        reason=None if confounds else _why_none(rare),
    )


def _why_none(rare: Sequence[str]) -> str:
    if not rare:
        return "No feature of the images varies, so that none can be a confound."
    return (
        f"Too few images to look for confounds: no value of {', '.join(rare)} has {FEWEST} or more labelled "
        "images, and no other feature varies."
    )


def _numbered(values: Values, ordered: bool) -> tuple[Ints, list[str]]:
    """Values as numbers, in order or the most frequent first, the pooled ones last; and their names."""
    counts = pd.Series(values, dtype=object).value_counts(sort=False)

    def rank(name: str) -> tuple[bool, float, str]:
        if name == ANOTHER:
            return True, 0.0, name
        return False, place_of(name) if ordered else -float(counts[name]), name

    names = sorted(counts.index, key=rank)
    return pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64), names


def _spells(values: Ints, labels: Ints) -> bool:
    """Whether there is one value for each class, and one class for each value."""
    pairs = len(np.unique(np.stack([values, labels]), axis=1).T)
    return pairs == len(np.unique(values)) == len(np.unique(labels))


def _confound(
    feature: Feature,
    values: Ints,
    names: Sequence[str],
    labels: Ints,
    groups: Ints | None,
    classes: Sequence[str],
    share: float,
    p: float,
) -> Confound:
    table = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(table, (values, labels), 1)
    fact = _fact(feature, table, names, classes)
    if groups is not None:
        place = names.index(fact.value), classes.index(fact.label)
        fact = _with_groups(fact, values == place[0], labels == place[1], groups)
    return Confound(
        feature=feature.name,
        images=len(values),
        share=round(share, 4),
        p=p,
        fact=fact,
        counts={
            name: {one: int(n) for one, n in zip(classes, counts, strict=True)}
            for name, counts in zip(names, table, strict=True)
        },
        ordered=feature.ordered,
    )


def _marked(confounds: Sequence[Confound], values: dict[str, Values]) -> list[Confound]:
    """Confounds, the strongest first, with those marked that nearly coincide with a stronger one."""
    marked: list[Confound] = []
    for one in confounds:
        others = [other.feature for other in marked if one.strong and other.strong and other.same_as is None]
        same = next((name for name in others if overlap(values[one.feature], values[name]) >= _SAME), None)
        marked.append(one.model_copy(update={"same_as": same}))
    return marked


def overlap(first: Values, second: Values) -> float:
    """Mutual information of two features over the larger of their entropies; 1 where they coincide."""
    (rows, names), (columns, others) = (pd.factorize(values) for values in (first, second))
    table = np.zeros((len(names), len(others)))
    known = (rows >= 0) & (columns >= 0)
    np.add.at(table, (rows[known], columns[known]), 1)
    entropies = [float(stats.entropy(table.sum(axis=axis))) for axis in (0, 1)] if known.any() else [0.0]
    if max(entropies) == 0:
        return 0.0
    return (sum(entropies) - float(stats.entropy(table.ravel()))) / max(entropies)


def _fact(feature: Feature, table: Ints, names: Sequence[str], classes: Sequence[str]) -> Fact:
    """The class and value of which "is of the class" and "has the value" have most information in common."""
    total, of_class, of_value = table.sum(), table.sum(axis=0), table.sum(axis=1)
    more = table * total >= of_value[:, None] * of_class  # whether the class has the value more often

    def rank(pair: tuple[int, int]) -> tuple[float, int, bool]:
        """By information; of classes or values that exclude each other, the rarer class and what it has."""
        gain = _gain(table[pair], of_value[pair[0]], of_class[pair[1]], total)
        return round(gain, 9), -int(of_class[pair[1]]), bool(more[pair])

    own = [place for place, name in enumerate(names) if name != ANOTHER]
    value, label = max(((v, c) for v in own for c in np.flatnonzero(of_class)), key=rank)
    share = table[value, label] / of_class[label]
    others = (of_value[value] - table[value, label]) / (total - of_class[label])
    negated = not more[value, label] and feature.lacking is not None
    words = feature.having.format(names[value])
    if negated and feature.lacking is not None:
        share, others = 1 - share, 1 - others
        words = feature.lacking.format(names[value])
    return Fact(
        label=classes[label],
        value=names[value],
        negated=negated,
        share=float(share),
        others=float(others),
        text=f"{classes[label]}: {_percent(share)} {words} (others: {_percent(others)})",
    )


def _with_groups(fact: Fact, has: NDArray[np.bool_], of: NDArray[np.bool_], groups: Ints) -> Fact:
    """The fact with the groups it rests on, given which images have its value and are of its class `[N]`.

    Where the class has the value more often, it rests on the images of the class that have it and on the
    others that do not, and else the other way round.
    """
    more = not fact.negated and fact.share >= fact.others
    same = has == of if more else has != of
    least = min(len(np.unique(groups[same & one])) for one in (of, ~of))
    text = f"{fact.text}, one group" if least == 1 else fact.text
    return fact.model_copy(update={"groups": least, "text": text})


def _percent(share: float) -> str:
    """A share in whole percent, with a digit more where it would else read as none or all."""
    digits = 1 if f"{100 * share:.0f}" in ("0", "100") and 0 < share < 1 else 0
    return f"{100 * share:.{digits}f} %"


def _gain(both: int, value: int, label: int, total: int) -> float:
    """Mutual information, in nats, of having a value and being of a class."""
    cells = [[both, value - both], [label - both, total - value - label + both]]
    return float(information(np.array(cells)))
