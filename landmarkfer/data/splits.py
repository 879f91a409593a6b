"""Which image trains, validates and tests; images of a group always lie on the same side.

A group is the images that are equal by pixels and those of a person or a sequence, where these are known.

A split is three arrays of row numbers into a cache and is saved as ids, so that it can be read anywhere.
"""

import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit

from landmarkfer.config.data import SplitSettings
from landmarkfer.data.labels import sort_classes
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.progress import counted

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]

_FINEST = 20
"""Folds of which those are joined that make up a share, where groups have to stay whole."""


@dataclass(frozen=True)
class Splits:
    """Row numbers (int64, ascending) of the labelled images that train, validate and test."""

    train: Rows
    val: Rows
    test: Rows

    def as_ids(self, ids: pd.Series) -> dict[str, list[str]]:
        """The same as lists of ids, for `splits.json`."""
        return {name: ids.iloc[getattr(self, name)].tolist() for name in ("train", "val", "test")}


def make_splits(frame: pd.DataFrame, settings: SplitSettings, per_class: int = 0) -> Splits:
    """Split a cache: its own test (and val) images are used, what is missing is carved out.

    Validation is carved from the training images, stratified by class; where the cache has no test images,
    they are carved first. Images that are equal by pixels, and those of one `group`, stay together within
    what is carved. A training image with a duplicate among the cache's own validation images is left out.
    Rows without a label belong to no split.

    Args:
        frame: Columns `label`, `split`, `sha256` and, where it is known, `group`; a row per image.
        settings: Shares, folds and the seed.
        per_class: Training images of each class, drawn at random from those there are; 0 for all.

    Returns:
        The three parts; with `folds`, validation is that fold of train and val together.

    Raises:
        CacheError: There are too few labelled images, or a class is too rare to be split.
        SettingsError: A class has fewer than `per_class` training images.
    """
    labelled = frame["label"].notna().to_numpy()
    split = frame["split"].fillna("train").to_numpy()
    test = np.flatnonzero(labelled & (split == "test"))
    val = np.flatnonzero(labelled & (split == "val"))
    train = np.flatnonzero(labelled & (split != "test") & (split != "val"))
    if not len(train):
        raise CacheError(
            "the cache has no labelled training image; extract a folder of class folders or use --labels."
        )
    rng = np.random.default_rng(settings.seed)
    if not len(test):
        train, test = _carve(frame, train, "test", settings.test, rng)
    if settings.folds:
        train, val = _fold(frame, np.union1d(train, val), settings)
    elif not len(val):
        train, val = _carve(frame, train, "validation", settings.validation, rng)
    else:
        train = train[~has_duplicate_in(frame, train, val)]
        if not len(train):
            raise CacheError("every training image of the cache is pixel-identical to a validation image.")
    if per_class:
        train = some_of_each(frame["label"].iloc[train], train, per_class, rng)
    _warn_of_shared_groups(frame, train, {"test": test, "validation": val})
    return Splits(train, val, test)


def _warn_of_shared_groups(frame: pd.DataFrame, train: Rows, others: Mapping[str, Rows]) -> None:
    """Warn of people or sequences that the data set's own splits have on two sides."""
    if "group" not in frame:
        return
    known = set(frame["group"].iloc[train].dropna())
    for name, rows in others.items():
        shared = known & set(frame["group"].iloc[rows].dropna())
        if shared:
            logger.warning(
                "%s (people, sequences; '%s' for one) are trained on and among the %s images%s, by the "
                "data's own splits; `--set data.official=false` carves splits that keep groups together",
                counted(len(shared), "group"),
                min(shared),
                name,
                _whose(frame),
            )


def _whose(frame: pd.DataFrame) -> str:
    """Of which cache the images are, where it is one of several."""
    names = frame["cache"].dropna().unique().tolist() if "cache" in frame else []
    return f" of '{names[0]}'" if len(names) == 1 else ""


def some_of_each(labels: pd.Series, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """So many rows of each class, drawn at random, ascending; `labels` are those of the rows.

    Raises:
        SettingsError: A class has fewer.
    """
    there = labels.value_counts()
    if there.min() < count:
        raise SettingsError(
            "draw fewer, or leave the class out with data.classes: "
            f"'data.per_class' = {count}, and class '{there.idxmin()}' has "
            f"{counted(int(there.min()), 'training image')}."
        )
    shuffled = pd.Series(rng.permutation(rows))
    classes = pd.Series(labels.to_numpy(), index=rows).loc[shuffled].to_numpy()
    return np.sort(shuffled.groupby(classes).head(count).to_numpy())


def has_duplicate_in(frame: pd.DataFrame, rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """For each of `rows`, whether a pixel-identical image is among `others`; unreadable images have none."""
    hashes = frame["sha256"]
    return (hashes.iloc[rows].isin(hashes.iloc[others].dropna()) & hashes.iloc[rows].notna()).to_numpy()


def _groups(frame: pd.DataFrame, rows: Rows) -> tuple[NDArray[np.int64], bool]:
    """Group number of each row, and whether groups are more than images that are equal by pixels."""
    hashes = frame["sha256"].iloc[rows].fillna(pd.Series(rows, index=rows).map("row-{}".format))
    number, _ = pd.factorize(hashes.to_numpy())
    stated = frame["group"].iloc[rows].to_numpy() if "group" in frame else np.full(len(rows), None)
    if pd.isna(stated).all():
        return number, False
    group, names = pd.factorize(stated)
    known = group >= 0
    size = len(rows) + len(names)
    links = (np.ones(known.sum()), (number[known], len(rows) + group[known]))
    _, joined = connected_components(coo_array(links, shape=(size, size)), directed=False)
    return joined[number].astype(np.int64), True


def _carve(
    frame: pd.DataFrame, rows: Rows, name: str, share: float, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    number, several = _groups(frame, rows)
    seed = int(rng.integers(2**31))
    if several:
        folds = min(_FINEST, len(np.unique(number)))
        wanted = range(max(1, round(share * folds)))
        inside = _in_folds(frame, rows, number, name, folds, wanted, seed)
        return rows[~inside], rows[inside]
    labels = _label_of_each(frame, rows, number)
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
    try:
        _, taken = next(splitter.split(labels, labels))
    except ValueError as error:
        raise CacheError(_too_few(labels, share)) from error
    inside = np.isin(number, taken)
    return rows[~inside], rows[inside]


def _fold(frame: pd.DataFrame, rows: Rows, settings: SplitSettings) -> tuple[Rows, Rows]:
    number, several = _groups(frame, rows)
    if several:
        inside = _in_folds(frame, rows, number, "validation", settings.folds, [settings.fold], settings.seed)
        return rows[~inside], rows[inside]
    labels = _label_of_each(frame, rows, number)
    rarest = pd.Series(labels).value_counts().min()
    if rarest < settings.folds:
        raise CacheError(
            f"{settings.folds} folds need {settings.folds} distinct images of each class; one has {rarest}."
        )
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    _, taken = list(splitter.split(labels, labels))[settings.fold]
    inside = np.isin(number, taken)
    return rows[~inside], rows[inside]


def _label_of_each(frame: pd.DataFrame, rows: Rows, number: NDArray[np.int64]) -> NDArray[np.object_]:
    """The label of the first image of each group."""
    first = np.unique(number, return_index=True)[1]
    return frame["label"].to_numpy(dtype=object)[rows[first]]


def _in_folds(
    frame: pd.DataFrame,
    rows: Rows,
    number: NDArray[np.int64],
    name: str,
    folds: int,
    wanted: Iterable[int],
    seed: int,
) -> NDArray[np.bool_]:
    """Whether each row lies in the wanted folds, which hold whole groups and similar shares of classes."""
    labels = frame["label"].to_numpy(dtype=object)[rows]
    people = len(np.unique(number))
    if people < max(2, folds):
        raise CacheError(
            f"{counted(max(2, folds), 'part')} cannot be carved from {counted(people, 'group')} of images; "
            "a group (a person, a sequence) is never divided."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds, which is checked below
        try:
            parts = [taken for _, taken in splitter.split(rows, labels, number)]
        except ValueError as error:
            raise CacheError(_too_few(labels, 1 / folds)) from error
    inside = np.zeros(len(rows), bool)
    inside[np.concatenate([parts[fold] for fold in wanted])] = True
    absent = sort_classes(set(labels) - set(labels[~inside]))
    if absent:
        raise CacheError(
            f"no training image of '{absent[0]}' is left: all are of groups (people, sequences) "
            "that validate or test; give another split.seed, or smaller shares."
        )
    lacking = sort_classes(set(labels) - set(labels[inside]))
    if lacking:
        logger.warning(
            "no image of %s is among the %s%s, which were carved by groups",
            ", ".join(lacking),
            counted(int(inside.sum()), f"{name} image"),
            _whose(frame),
        )
    return inside


def _too_few(labels: NDArray[np.object_], share: float) -> str:
    counts = pd.Series(labels).value_counts()
    return (
        f"a share of {share:g} cannot be carved from {len(labels)} distinct images of {len(counts)} classes "
        f"('{counts.index[-1]}' has {counts.iloc[-1]}); each class needs some on both sides."
    )
