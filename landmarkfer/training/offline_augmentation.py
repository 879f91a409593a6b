"""Offline augmentation: the training images as other caches have them, corrupted or detected otherwise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import FaceDataset, label_images, load_dataset
from landmarkfer.data.images import ImageInfo
from landmarkfer.data.splits import Rows
from landmarkfer.errors import CacheError
from landmarkfer.progress import Progress


def add_augmented(
    dataset: FaceDataset,
    train: Rows,
    caches: Sequence[LandmarkCache],
    settings: ResolvedSettings,
    images: ImageInfo | None,
    progress: Progress,
) -> tuple[FaceDataset, Rows]:
    """Append to a dataset what further caches hold of its training images.

    Images are matched by id. An augmented image has the label and the soft targets of its original. Of
    several caches that are trained on, a further cache belongs to the one that has all its ids.

    Args:
        dataset: The images that were split.
        train: Rows of the training images.
        caches: The further caches; images that do not train are left out.
        settings: How landmarks are normalised, and whether they are shuffled.
        images: See `load_dataset`.
        progress: See `load_dataset`.

    Returns:
        The longer dataset, and its rows that are trained on.

    Raises:
        CacheError: A cache is not complete, holds none of the images, or lacks a field that the dataset has;
            or its images are not those of one of several caches.
    """
    rows = [train]
    place = pd.Series(train, index=dataset.frame["id"].iloc[train])
    for cache in caches:
        labels = label_images(cache, settings.data, dataset.classes)
        deviations = dataset.faces.deviation is not None
        further = load_dataset(
            cache, settings.normalisation, labels, images, progress, settings.data.shuffled, deviations
        )
        further = replace(further, frame=_as_of(dataset, further.frame, cache))
        of_training = np.flatnonzero(further.frame["id"].isin(place.index))
        if not len(of_training):
            raise CacheError(
                f"{cache.path} holds none of the {len(train)} training images; 'data.also' names caches "
                "of the same images, by the same ids."
            )
        originals = torch.as_tensor(place.loc[further.frame["id"].iloc[of_training]].to_numpy(copy=True))
        augmented = further.faces.rows(torch.as_tensor(of_training))
        known = {
            name: field[originals]
            for name in ("labels", "targets", "caches")
            if (field := getattr(dataset.faces, name)) is not None
        }
        if deviations and augmented.deviation is None:
            known["deviation"] = torch.zeros_like(augmented.landmarks)
        rows.append(np.arange(len(dataset), len(dataset) + len(of_training)))
        try:
            faces = dataset.faces.joined(replace(augmented, **known))
        except ValueError as error:
            raise CacheError(f"{cache.path} is no augmentation of these training images: {error}.") from error
        frame = pd.concat([dataset.frame, further.frame.iloc[of_training]], ignore_index=True)
        dataset = replace(dataset, faces=faces, frame=frame)
    return dataset, np.concatenate(rows)


def _as_of(dataset: FaceDataset, frame: pd.DataFrame, cache: LandmarkCache) -> pd.DataFrame:
    """The table of a further cache with the ids that its images have in a dataset of several caches."""
    if not dataset.caches:
        return frame
    known = set(dataset.frame["id"])
    owners = [name for name in dataset.caches if known.issuperset(f"{name}/" + frame["id"])]
    if not owners:
        raise CacheError(
            f"{cache.path} has images that none of {', '.join(dataset.caches)} has; 'data.also' names caches "
            "of the same images as one of these, by the same ids."
        )
    if len(owners) > 1:
        raise CacheError(
            f"the ids of {cache.path} are in {' and in '.join(owners)} alike, and nothing tells whose images "
            "it holds; train on one of these, or extract one under other file names."
        )
    return frame.assign(id=f"{owners[0]}/" + frame["id"], cache=owners[0])


def image_versions(ids: pd.Series, rows: Rows) -> NDArray[np.int64]:
    """The versions of each image: an original and its offline augmentations.

    Args:
        ids: Of all rows of a dataset.
        rows: The rows to take.

    Returns:
        Rows `[n, V]` of n images, in the order in which they first occur; an image of fewer versions than
        others has its first one again.
    """
    image, _ = pd.factorize(ids.iloc[rows])
    version = pd.Series(image).groupby(image).cumcount().to_numpy()
    found = np.full((image.max() + 1, version.max() + 1), -1)
    found[image, version] = rows
    return np.where(found < 0, found[:, :1], found)
