"""How a training on several caches splits them: each as it is split alone, and no image on two sides.

So a model that was trained on one of the caches and a model that was trained on all of them, with the same
settings of the split, validate and test on the same images of it.
"""

import logging

import numpy as np
import pandas as pd

from landmarkfer.config.data import SplitSettings
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.splits import Rows, Splits, has_duplicate_in, make_splits, some_of_each
from landmarkfer.errors import CacheError
from landmarkfer.progress import counted

logger = logging.getLogger(__name__)


def split_images(frame: pd.DataFrame, settings: SplitSettings, per_class: int = 0) -> Splits:
    """Split a cache, or several that are joined; arguments and errors are those of `splits.make_splits`.

    A training image that is pixel-identical to a validation or test image of another cache is left out.
    `per_class` counts the training images of all caches together.

    Args:
        frame: What `dataset.label_images` gave.
        settings: Shares, folds and the seed, of each cache.
        per_class: Training images of each class, drawn at random from those of all caches; 0 for all.
    """
    names = frame["cache"].dropna().unique().tolist()
    if not names:
        return make_splits(frame, settings, per_class)
    parts = {name: _split_of(frame, name, settings) for name in names}
    train = np.concatenate([_train_alone(frame, name, parts) for name in names])
    if per_class:
        rng = np.random.default_rng(settings.seed)
        train = some_of_each(frame["label"].iloc[train], train, per_class, rng)
        for name in set(names) - set(frame["cache"].iloc[train]):
            raise CacheError(
                f"'data.per_class' = {per_class} has drawn no training image of '{name}'; draw more, or "
                "leave that cache out."
            )
    whole = Splits(
        np.sort(train),
        np.concatenate([part.val for part in parts.values()]),
        np.concatenate([part.test for part in parts.values()]),
    )
    _warn_of_lone_classes(frame, whole.train, names)
    _warn_of_two_labels(frame, whole.train)
    return whole


def _split_of(frame: pd.DataFrame, name: str, settings: SplitSettings) -> Splits:
    """The split of one cache, in row numbers of all."""
    rows = np.flatnonzero((frame["cache"] == name).to_numpy())
    try:
        own = make_splits(frame.iloc[rows].reset_index(drop=True), settings)
    except CacheError as error:
        raise CacheError(f"{name}: {error}") from error
    return Splits(rows[own.train], rows[own.val], rows[own.test])


def _train_alone(frame: pd.DataFrame, name: str, parts: dict[str, Splits]) -> Rows:
    """The training rows of a cache that are no validation or test images of another one."""
    train = parts[name].train
    others = [np.concatenate([part.val, part.test]) for other, part in parts.items() if other != name]
    elsewhere = has_duplicate_in(frame, train, np.concatenate(others))
    if not elsewhere.any():
        return train
    if elsewhere.all():
        raise CacheError(
            f"every training image of '{name}' is pixel-identical to a validation or test image of another "
            "cache; leave that cache out."
        )
    logger.warning(
        "%s of '%s' left out: pixel-identical to a validation or test image of another cache",
        counted(int(elsewhere.sum()), "training image"),
        name,
    )
    return train[~elsewhere]


def _warn_of_lone_classes(frame: pd.DataFrame, train: Rows, names: list[str]) -> None:
    """Say which classes one cache alone trains: its pictures may then be all that a model learns of them."""
    known = frame.iloc[train]
    caches = known.groupby("label")["cache"].unique()
    lone = {label: of[0] for label, of in caches.items() if len(of) == 1}
    for name in names:
        if only := sort_classes(str(label) for label, of in lone.items() if of == name):
            logger.warning(
                "only '%s' has training images of %s; what sets its images apart from the others may be "
                "taken for the expression",
                name,
                ", ".join(only),
            )


def _warn_of_two_labels(frame: pd.DataFrame, train: Rows) -> None:
    """Say how many pictures two caches train under different labels."""
    of_picture = frame.iloc[train].groupby("sha256")[["cache", "label"]].nunique()
    two = (of_picture["cache"] > 1) & (of_picture["label"] > 1)
    if two.any():
        logger.warning(
            "%s in two caches, with a label of each; correct the labels of one, or leave it out",
            counted(int(two.sum()), "training image"),
        )
