"""Which image trains, validates and tests; images of a group always lie on the same side.

A group is the images that are equal by pixels and those of a person or a sequence, where these are known.

A split is three arrays of row numbers into a cache and is saved as ids, so that it can be read anywhere.
"""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import (
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from landmarkfer.config.data import SplitSettings
from landmarkfer.data.labels import sort_classes
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.progress import counted

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]

_DRAWS = 1_000
"""Of so many random draws of groups the one is taken that comes nearest to the shares that were asked for."""

_NEAR = 0.25
"""A draw is near enough where its shares of all images and of each class are off by no more than this."""

_FAR = 0.5
"""A part whose share is off by more than this is warned of."""


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
    what is carved: groups are drawn at random until the share of all images and of each class is within a
    quarter of what was asked for, or the nearest of 1,000 draws is taken. A training image with a duplicate
    among the cache's own validation images is left out. Rows without a label belong to no split.

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
    carved = not len(test)
    if carved:
        train, test = _carve(frame, train, "test", settings.test, rng)
    if settings.folds:
        train, val = _fold(frame, np.union1d(train, val), settings, settings.test if carved else 0)
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


def _distinct(frame: pd.DataFrame, rows: Rows) -> NDArray[np.int64]:
    """Number of each row's picture: equal for images that are equal by pixels."""
    hashes = frame["sha256"].iloc[rows].fillna(pd.Series(rows, index=rows).map("row-{}".format))
    return pd.factorize(hashes.to_numpy())[0]


def _groups(frame: pd.DataFrame, rows: Rows, number: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """Group number of each row, and whether groups are more than images that are equal by pixels.

    Args:
        frame: See `make_splits`.
        rows: Of it.
        number: Of each row's picture, of `_distinct`.
    """
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
    picture = _distinct(frame, rows)
    number, several = _groups(frame, rows, picture)
    seed = int(rng.integers(2**31))
    pictures = _label_of_each(frame, rows, picture)
    _refuse_lone_pictures(pictures, name)
    if several:
        inside = _draw_groups(frame, rows, number, share, seed)
    else:
        inside = np.isin(number, _draw_pictures(pictures, name, share, seed))
    _check_classes(frame, rows, inside, name, share)
    return rows[~inside], rows[inside]


def _draw_pictures(labels: NDArray[np.object_], name: str, share: float, seed: int) -> NDArray[np.int64]:
    """A share of the distinct images, stratified by class."""
    splitter = StratifiedShuffleSplit(1, test_size=share, random_state=seed)
    try:
        _, taken = next(splitter.split(labels, labels))
    except ValueError as error:
        raise CacheError(
            f"{name} cannot be carved: {share:.0%} of {counted(len(labels), 'distinct image')} for "
            f"{counted(len(set(labels)), 'class')}, which need one each on both sides; give "
            "more images, or other shares, as --split 60/20/20 does."
        ) from error
    return taken


def _refuse_lone_pictures(labels: NDArray[np.object_], name: str) -> None:
    """Raise where a class has one distinct image, which cannot lie on both sides."""
    counts = pd.Series(labels).value_counts()
    if counts.iloc[-1] == 1:
        raise CacheError(
            f"class '{counts.index[-1]}' has one distinct image left, and training and {name} need one each; "
            "give it more images, leave it out by naming the others (--class), or --merge it with another."
        )


def _draw_groups(
    frame: pd.DataFrame, rows: Rows, number: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.bool_]:
    """Whether each row is of the groups that were drawn; see `make_splits`.

    scikit-learn's StratifiedGroupKFold, of which one fold would do for some shares, deals the largest groups
    to the first folds: where few people have many images, its folds are uneven, and alike for every seed.
    """
    labels, classes = pd.factorize(frame["label"].iloc[rows].to_numpy())
    ones = np.ones(len(rows))
    images = coo_array((ones, (number, labels)), shape=(number.max() + 1, len(classes))).toarray()
    groups = len(images)
    if groups < 2:
        raise CacheError(
            f"all {counted(len(rows), 'labelled image')} are of one group (a person, a sequence), which is "
            "never divided; without groups, images alone are divided."
        )
    size = min(max(1, round(share * groups)), groups - 1)
    nearest, error_of_nearest = np.arange(size), (np.inf, np.inf, np.inf)
    for _, drawn in ShuffleSplit(_DRAWS, test_size=size, random_state=seed).split(images):
        off, untrained, lacking = _deviation(images, drawn, share)
        error = (untrained, lacking, float(np.square(off).mean()))
        if error < error_of_nearest:
            nearest, error_of_nearest = drawn, error
        if not untrained and not lacking and off.max() <= _NEAR:
            break
    return np.isin(number, nearest)


def _deviation(
    images: NDArray[np.float64], drawn: NDArray[np.int64], share: float
) -> tuple[NDArray[np.float64], int, int]:
    """How far the drawn groups' shares of each class and of all images are from the share, as parts of it.

    Also how many classes would have no training image, and how many none among the drawn ones.
    """
    inside, whole = images[drawn].sum(0), images.sum(0)
    shares = np.append(inside / whole, inside.sum() / whole.sum())
    return np.abs(shares / share - 1), int((inside == whole).sum()), int((inside == 0).sum())


def _fold(frame: pd.DataFrame, rows: Rows, settings: SplitSettings, carved: float) -> tuple[Rows, Rows]:
    """Training and validation rows of a fold; `carved` is the share that was taken for the test before."""
    picture = _distinct(frame, rows)
    number, several = _groups(frame, rows, picture)
    pictures = _label_of_each(frame, rows, picture)
    counts = pd.Series(pictures).value_counts()
    if counts.iloc[-1] < settings.folds:
        before = f" once {carved:.0%} of the images test" if carved else ""
        raise CacheError(
            f"{settings.folds} folds need {settings.folds} distinct images of each class, and "
            f"'{counts.index[-1]}' has {counts.iloc[-1]}{before}; use fewer folds, leave the class out by "
            "naming the others (--class), or --merge it."
        )
    if several:
        inside = _group_fold(frame, rows, number, settings)
    else:
        splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
        _, taken = list(splitter.split(pictures, pictures))[settings.fold]
        inside = np.isin(number, taken)
    _check_classes(frame, rows, inside, "validation", 1 / settings.folds)
    return rows[~inside], rows[inside]


def _label_of_each(frame: pd.DataFrame, rows: Rows, number: NDArray[np.int64]) -> NDArray[np.object_]:
    """The label of the first image of each group."""
    first = np.unique(number, return_index=True)[1]
    return frame["label"].to_numpy(dtype=object)[rows[first]]


def _group_fold(
    frame: pd.DataFrame, rows: Rows, number: NDArray[np.int64], settings: SplitSettings
) -> NDArray[np.bool_]:
    """Whether each row lies in the fold that validates; folds hold whole groups and similar class shares."""
    labels = frame["label"].to_numpy(dtype=object)[rows]
    groups = len(np.unique(number))
    if groups < settings.folds:
        raise CacheError(
            f"{settings.folds} folds cannot be made of {counted(groups, 'group')} of images; "
            "a group (a person, a sequence) is never divided."
        )
    splitter = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the rarest class, which has been checked
        parts = [taken for _, taken in splitter.split(rows, labels, number)]
    inside = np.zeros(len(rows), bool)
    inside[parts[settings.fold]] = True
    return inside


def _check_classes(
    frame: pd.DataFrame, rows: Rows, inside: NDArray[np.bool_], name: str, share: float
) -> None:
    """Raise where a class is not trained; warn of classes that a part lacks or has far too much of.

    Raises:
        CacheError: All images of a class are of groups inside.
    """
    labels = frame["label"].iloc[rows]
    taken, whole = labels[inside].value_counts(), labels.value_counts()
    shares = (taken / whole).fillna(0)
    absent = sort_classes(str(label) for label in shares.index[shares == 1])
    if absent:
        raise CacheError(
            f"no training image of '{absent[0]}' is left: all are of groups (people, sequences) "
            "that validate or test; give another split.seed, or smaller shares."
        )
    lacking = sort_classes(str(label) for label in shares.index[shares == 0])
    if lacking:
        logger.warning(
            "no image of %s is among the %s%s; larger shares (--split 60/20/20) may take some",
            ", ".join(lacking),
            counted(int(inside.sum()), f"{name} image"),
            _whose(frame),
        )
    off = (taken.reindex(whole.index, fill_value=0) - share * whole).abs()
    far = shares[(shares > 0) & (off > np.maximum(1, _FAR * share * whole))]
    shown = [f"{far[label]:.0%} of {label}" for label in sort_classes(str(label) for label in far.index)]
    if abs(inside.mean() / share - 1) > _FAR:
        shown.insert(0, f"{inside.mean():.0%} of all images")
    if shown:
        logger.warning(
            "%s%s holds %s instead of %s, since images of a group (a person, a sequence) stay together",
            name,
            _whose(frame),
            ", ".join(shown),
            f"{share:.0%}",
        )
