"""Which image trains, validates and tests; pixel-identical images always lie on the same side.

A split is three arrays of row numbers into a cache and is saved as ids, so that it can be read anywhere.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from landmarkfer.config.data import SplitSettings
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.progress import counted

Rows = NDArray[np.int64]


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
    they are carved first. Images that are equal by pixels stay together within what is carved, and none of
    them is on both sides of train and validation: a training image with a duplicate among the cache's own
    validation images is left out. Rows without a label belong to no split.

    Args:
        frame: Columns `label`, `split` and `sha256`, a row per image.
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
        train, test = _carve(frame, train, settings.test, rng)
    if settings.folds:
        train, val = _fold(frame, np.union1d(train, val), settings)
    elif not len(val):
        train, val = _carve(frame, train, settings.validation, rng)
    else:
        train = train[~has_duplicate_in(frame, train, val)]
        if not len(train):
            raise CacheError("every training image of the cache is pixel-identical to a validation image.")
    if per_class:
        train = _some_of_each(frame["label"].iloc[train], train, per_class, rng)
    return Splits(train, val, test)


def _some_of_each(labels: pd.Series, rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    there = labels.value_counts()
    if there.min() < count:
        raise SettingsError(
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


def _groups(frame: pd.DataFrame, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Group number of each row (equal pixels, equal number) and the label of each group's first image."""
    hashes = frame["sha256"].iloc[rows].fillna(pd.Series(rows, index=rows).map("row-{}".format))
    number, _ = pd.factorize(hashes.to_numpy())
    first = np.unique(number, return_index=True)[1]
    return number, frame["label"].to_numpy(dtype=object)[rows[first]]


def _carve(frame: pd.DataFrame, rows: Rows, share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    number, labels = _groups(frame, rows)
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=int(rng.integers(2**31)))
    try:
        _, taken = next(splitter.split(labels, labels))
    except ValueError as error:
        raise CacheError(_too_few(labels, share)) from error
    inside = np.isin(number, taken)
    return rows[~inside], rows[inside]


def _fold(frame: pd.DataFrame, rows: Rows, settings: SplitSettings) -> tuple[Rows, Rows]:
    number, labels = _groups(frame, rows)
    rarest = pd.Series(labels).value_counts().min()
    if rarest < settings.folds:
        raise CacheError(
            f"{settings.folds} folds need {settings.folds} distinct images of each class; one has {rarest}."
        )
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    _, taken = list(splitter.split(labels, labels))[settings.fold]
    inside = np.isin(number, taken)
    return rows[~inside], rows[inside]


def _too_few(labels: NDArray[np.object_], share: float) -> str:
    counts = pd.Series(labels).value_counts()
    return (
        f"a share of {share:g} cannot be carved from {len(labels)} distinct images of {len(counts)} classes "
        f"('{counts.index[-1]}' has {counts.iloc[-1]}); each class needs some on both sides."
    )
