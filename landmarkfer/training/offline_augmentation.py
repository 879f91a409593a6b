"""Further copies of training images, from other caches: corrupted ones, or other detections of the same."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from landmarkfer.config.train import TrainSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import FaceDataset, label_images, load_dataset
from landmarkfer.data.images import ImageInfo
from landmarkfer.data.splits import Rows
from landmarkfer.errors import CacheError
from landmarkfer.progress import SILENT, Progress


def with_copies(
    dataset: FaceDataset,
    train: Rows,
    caches: Sequence[LandmarkCache],
    settings: TrainSettings,
    images: ImageInfo | None = None,
    progress: Progress = SILENT,
) -> tuple[FaceDataset, Rows]:
    """A dataset with what further caches hold of its training images at its end.

    Which image is which, its ids say; what is known of an image is known of its copies: its label, and what
    is to be learnt in place of it.

    Args:
        dataset: The images that were split.
        train: Rows of those that are trained on.
        caches: The further caches; images that are not trained on are passed over.
        settings: How landmarks are normalised, and whether they are another face's.
        images: See `load_dataset`.
        progress: See `load_dataset`.

    Returns:
        The longer dataset, and the rows of it that are trained on.

    Raises:
        CacheError: A cache is not complete, holds none of the images, or not all that is known of each.
    """
    rows = [train]
    place = pd.Series(train, index=dataset.frame["id"].iloc[train])
    for cache in caches:
        known = label_images(cache, settings.data, dataset.classes)
        further = load_dataset(cache, settings.normalisation, known, images, progress, settings.data.shuffled)
        of_training = np.flatnonzero(further.frame["id"].isin(place.index))
        if not len(of_training):
            raise CacheError(
                f"{cache.path} holds none of the {len(train)} training images; 'data.also' names caches "
                "of the same images, by the same ids."
            )
        originals = torch.as_tensor(place.loc[further.frame["id"].iloc[of_training]].to_numpy(copy=True))
        copied = further.faces.rows(torch.as_tensor(of_training))
        told = {
            name: field[originals]
            for name in ("labels", "targets")
            if (field := getattr(dataset.faces, name)) is not None
        }
        rows.append(np.arange(len(dataset), len(dataset) + len(of_training)))
        try:
            faces = dataset.faces.joined(replace(copied, **told))
        except ValueError as error:
            raise CacheError(f"{cache.path} is no copy of these training images: {error}.") from error
        frame = pd.concat([dataset.frame, further.frame.iloc[of_training]], ignore_index=True)
        dataset = replace(dataset, faces=faces, frame=frame)
    return dataset, np.concatenate(rows)
