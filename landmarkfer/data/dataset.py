"""A cache in memory: one batch of all its faces, and a table of what is known of each.

Datasets are immutable, and augmentation belongs to the training step, so training cannot change what
validation sees.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landmarkfer.config.data import DataSettings, NormalisationSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.images import ImageInfo, load_images
from landmarkfer.data.joined import owners
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.preprocess import Preprocess
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.progress import SILENT, Progress, counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceDataset:
    """A cache in memory: one batch of all its faces and a table of what is known of each.

    Attributes:
        faces: All rows as one batch.
        frame: `id, label, split, subset, group, status, sha256, cache`, a row per image.
        classes: Class names in the order of the labels' numbers.
        caches: Names of the caches in the order of their numbers, where several are joined; else empty.
    """

    faces: FaceBatch
    frame: pd.DataFrame
    classes: tuple[str, ...]
    caches: tuple[str, ...] = ()

    def __len__(self) -> int:
        """The number of images, those without a face included."""
        return len(self.faces)


def label_images(
    cache: LandmarkCache,
    settings: DataSettings,
    classes: tuple[str, ...] | None = None,
    names: Mapping[str, str | None] | None = None,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What is known of each image of a cache, with the classes that take part.

    Args:
        cache: The cache; it must be complete.
        settings: Which classes take part, which are merged, and whether the data's own splits hold.
        classes: The classes of a model trained elsewhere; None where they follow from the settings,
            which must then fit the cache.
        names: What each label of the cache is called as a class, None where it is none; by default what the
            settings merge.

    Returns:
        `id, label, split, subset, group, status, sha256, cache`, a row per image in the cache's order, the
        label missing where its class takes no part, and the cache's name where it is one of several; and the
        class names in the order of their numbers.

    Raises:
        CacheError: The cache is not complete.
        SettingsError: The settings name a class that the cache does not have.
    """
    if unfinished := [one for one in cache.members if not one.complete]:
        raise CacheError(
            f"{unfinished[0].path} is not complete ({len(unfinished[0])} of "
            f"{counted(unfinished[0].manifest.rows, 'row')}); run the same `landmarkfer extract` again to "
            "finish it."
        )
    frame = cache.frame(["id", "label", "split", "subset", "group", "status", "sha256"])
    merged: Mapping[str, str | None] = (
        {part: name for name, parts in settings.merge.items() for part in parts} if names is None else names
    )
    if classes is None:
        there = {merged.get(name) or name for name in cache.manifest.classes}
        for key, given, known in (
            ("merge", merged, set(cache.manifest.classes)),
            ("classes", settings.classes, there),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise SettingsError(
                    f"'data.{key}' names '{unknown[0]}', and the classes of {cache.path} are "
                    f"{', '.join(sort_classes(known))}."
                )
        classes = tuple(sort_classes(set(settings.classes) or there))
    else:
        called = {name: merged.get(name, name) for name in frame["label"].dropna().unique()}
        unknown_labels = [name for name, of in called.items() if of is not None and of not in classes]
        if unknown_labels and not settings.classes:
            logger.warning(
                "%s of %s left out, with a label that is no class of the model",
                counted(int(frame["label"].isin(unknown_labels).sum()), "image"),
                cache.path,
            )
    label = frame["label"]
    if settings.labels == "votes":
        label = label.where(label.notna(), _most_voted(cache, frame["split"]))
    if merged:
        label = label.map(lambda name: merged.get(name, name), na_action="ignore")
    frame["label"] = label.where(label.isin(classes), None)
    if not settings.official:
        frame["split"] = None
    frame["cache"] = None
    if len(cache.members) > 1:
        frame["cache"] = np.array([one.name for one in cache.members], object)[owners(cache)]
    return frame, classes


def _most_voted(cache: LandmarkCache, split: pd.Series) -> pd.Series:
    """The class with most votes of training images that have votes, whether or not it has the majority."""
    votes = cache.frame(["votes"])["votes"].where(split == "train")
    return votes.map(lambda counts: cache.manifest.classes[int(np.argmax(counts))], na_action="ignore")


def load_dataset(
    cache: LandmarkCache,
    normalisation: NormalisationSettings,
    labels: tuple[pd.DataFrame, tuple[str, ...]] | None = None,
    images: ImageInfo | None = None,
    progress: Progress = SILENT,
    shuffled: bool = False,
    deviations: bool = False,
) -> FaceDataset:
    """Read and normalise a cache's landmarks, and decode its images where they are wanted.

    Args:
        cache: The cache; it must be complete.
        normalisation: How landmarks are normalised.
        labels: What `label_images` gave; all classes of the cache if None.
        images: Size and channels of the images; None leaves them out.
        progress: See `images.load_images`.
        shuffled: Give each image the landmarks of another; see `DataSettings.shuffled`.
        deviations: Read what single detections add to the landmarks, too.

    Returns:
        The dataset, in the cache's row order.

    Raises:
        CacheError: The cache is not complete, a stored image is damaged, or there are landmarks of an image
            whose size is not known.
    """
    frame, classes = label_images(cache, DataSettings()) if labels is None else labels
    landmarks = cache.landmarks()
    sizes = cache.frame(["width", "height"]).to_numpy(dtype=np.float32, na_value=np.nan, copy=True)
    unknown = np.isfinite(landmarks).all(axis=(1, 2)) & np.isnan(sizes).any(axis=1)
    if unknown.any():
        raise CacheError(
            f"{frame['id'].iloc[unknown.argmax()]} of {cache.path} has landmarks, but not the width and "
            "height of its image, without which they have no shape."
        )
    pixels = readable = None
    if images is not None:
        pixels = torch.from_numpy(load_images(cache, images.size, images.channels, progress))
        readable = torch.from_numpy((frame["status"] != "unreadable").to_numpy(copy=True))
    blendshapes = cache.blendshapes()
    preprocess = Preprocess(
        normalisation,
        keypoints=images is not None and images.keypoints,
        crop=cache.manifest.settings.get("crop"),
    )
    faces = preprocess(
        torch.from_numpy(landmarks),
        torch.from_numpy(sizes),
        pixels,
        readable,
        None if blendshapes is None else torch.from_numpy(blendshapes),
    )
    if deviations:
        deviation = _deviations(cache.deviations(), landmarks, sizes, normalisation, faces)
        faces = replace(faces, deviation=deviation)
    number = {name: index for index, name in enumerate(classes)}
    known = frame["label"].map(number).fillna(-1).to_numpy(dtype=np.int64, copy=True)
    faces = replace(faces, labels=torch.from_numpy(known))
    if len(cache.members) > 1:
        faces = replace(faces, caches=torch.from_numpy(owners(cache)))
    faces = _with_other_landmarks(faces) if shuffled else faces
    names = tuple(one.name for one in cache.members)
    return FaceDataset(faces, frame, classes, names if len(names) > 1 else ())


def _deviations(
    found: np.ndarray,
    landmarks: np.ndarray,
    sizes: np.ndarray,
    normalisation: NormalisationSettings,
    faces: FaceBatch,
) -> Tensor | None:
    """What the first of several detections adds to normalised landmarks; None if the cache knows of none."""
    known = np.flatnonzero(np.isfinite(found).all(axis=(1, 2)))
    if not len(known):
        return None
    rows = torch.from_numpy(known)
    first = torch.from_numpy(landmarks[known] + found[known])
    deviations = torch.zeros_like(faces.landmarks)
    deviations[rows] = (
        Preprocess(normalisation)(first, torch.from_numpy(sizes[known])).landmarks - faces.landmarks[rows]
    )
    return deviations


def _with_other_landmarks(faces: FaceBatch) -> FaceBatch:
    """The same images and labels, each with what was found in another image, always the same one."""
    other = torch.from_numpy(np.random.default_rng(0).permutation(len(faces)))
    names = ("landmarks", "has_face", "keypoints", "blendshapes", "deviation")
    found = {name: getattr(faces, name) for name in names}
    return replace(faces, **{name: field[other] for name, field in found.items() if field is not None})
