"""Landmarks in memory as one array, and batches cut from it as tensors by row number.

There is no per-sample Python between the array and the model: a batch is one `index_select`. Datasets are
immutable, and augmentation belongs to the training step, so training cannot change what validation sees.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landmarkfer.config import DataSettings, NormalisationSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.images import ImageInfo, Progress, load_images, stored_points
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.splits import Rows
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.geometry import normalise

logger = logging.getLogger(__name__)


class EpochOrder(Protocol):
    """Which rows an epoch trains on, and in which order."""

    def __len__(self) -> int:
        """Draws of an epoch, the same for all epochs."""

    def order(self, rng: np.random.Generator) -> Rows:
        """Positions among the training rows, int64 `[len(self)]`."""


@dataclass(frozen=True)
class FaceBatch:
    """What every model takes; a field that a model does not need may be None.

    Attributes:
        landmarks: float32 `[B, 478, 3]`, normalised; zeros where no face was found.
        present: bool `[B]`, whether a face was found.
        image: uint8 `[B, C, S, S]` as stored, or float `[B, C, H, W]` in 0..1 once it was augmented; zeros
            where there is none.
        pictured: bool `[B]`, whether there is an image.
        points: float32 `[B, 478, 2]`, where the landmarks lie in `image`, as fractions of its side.
        blendshapes: float32 `[B, 52]`, 0 to 1, if the detector gives any; zeros where no face was found.
        labels: int64 `[B]`, -1 where unknown.
        targets: float32 `[B, C]`, what is to be learnt in place of the labels; rows sum to 1.
    """

    landmarks: Tensor
    present: Tensor
    image: Tensor | None = None
    pictured: Tensor | None = None
    points: Tensor | None = None
    blendshapes: Tensor | None = None
    labels: Tensor | None = None
    targets: Tensor | None = None

    def __len__(self) -> int:
        """The number of faces."""
        return len(self.present)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors()})

    def joined(self, other: "FaceBatch") -> Self:
        """The faces of both batches, with what this one holds of faces.

        Raises:
            ValueError: The other lacks it.
        """
        whole = {}
        for name, own in self._tensors():
            further = getattr(other, name)
            if further is None:
                raise ValueError(f"there are no {name}")
            whole[name] = torch.cat([own, further])
        return replace(self, **whole)

    def rows(self, index: Tensor) -> Self:
        """The batch of some of the faces, `index` int64 `[b]`."""
        return replace(self, **{name: tensor.index_select(0, index) for name, tensor in self._tensors()})

    def _tensors(self) -> list[tuple[str, Tensor]]:
        pairs = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]


@dataclass(frozen=True)
class FaceDataset:
    """A cache in memory: one batch of all its faces and a table of what is known of each.

    Attributes:
        faces: All rows as one batch.
        frame: `id, label, split, subset, status, sha256`, a row per image.
        classes: Class names in the order of the labels' numbers.
    """

    faces: FaceBatch
    frame: pd.DataFrame
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images, those without a face included."""
        return len(self.faces)


def label_images(
    cache: LandmarkCache, settings: DataSettings, classes: tuple[str, ...] | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """What is known of each image of a cache, with the classes that take part.

    Args:
        cache: The cache; it must be complete.
        settings: Which classes take part, which are merged, and whether the data's own splits hold.
        classes: The classes of a model trained elsewhere; None where they follow from the settings,
            which must then fit the cache.

    Returns:
        `id, label, split, subset, status, sha256`, a row per image in the cache's order, the label missing
        where its class takes no part; and the class names in the order of their numbers.

    Raises:
        CacheError: The cache is not complete.
        SettingsError: The settings name a class that the cache does not have.
    """
    if not cache.complete:
        raise CacheError(
            f"{cache.path} is not complete ({len(cache)} of {cache.manifest.rows} rows); "
            "run the same `landmarkfer extract` again to finish it."
        )
    frame = cache.frame(["id", "label", "split", "subset", "status", "sha256"])
    merged = {part: name for name, parts in settings.merge.items() for part in parts}
    there = {merged.get(name, name) for name in cache.manifest.classes}
    if classes is None:
        for key, names, known in (
            ("merge", merged, set(cache.manifest.classes)),
            ("classes", settings.classes, there),
        ):
            unknown = [name for name in names if name not in known]
            if unknown:
                raise SettingsError(
                    f"'data.{key}' names '{unknown[0]}', and the classes of {cache.path} are "
                    f"{', '.join(sort_classes(known))}."
                )
        classes = tuple(sort_classes(set(settings.classes) or there))
    else:
        unknown_labels = set(frame["label"].dropna()) - set(merged) - set(classes)
        if unknown_labels and not settings.classes:
            logger.warning(
                "%d images of %s have a label the model does not know and are left out",
                int(frame["label"].isin(unknown_labels).sum()),
                cache.path,
            )
    label = frame["label"].replace(merged) if merged else frame["label"]
    frame["label"] = label.where(label.isin(classes), None)
    if not settings.official:
        frame["split"] = None
    return frame, classes


def load_dataset(
    cache: LandmarkCache,
    normalisation: NormalisationSettings,
    labels: tuple[pd.DataFrame, tuple[str, ...]] | None = None,
    images: ImageInfo | None = None,
    progress: Progress | None = None,
    shuffled: bool = False,
) -> FaceDataset:
    """Read and normalise a cache's landmarks, and decode its images where they are wanted.

    Args:
        cache: The cache; it must be complete.
        normalisation: How landmarks are normalised.
        labels: What `label_images` gave; all classes of the cache if None.
        images: Size and channels of the images; None leaves them out.
        progress: See `images.load_images`.
        shuffled: Give each image the landmarks of another; see `DataSettings.shuffled`.

    Returns:
        The dataset, in the cache's row order.

    Raises:
        CacheError: The cache is not complete, a stored image is damaged, or there are landmarks of an image
            whose size is not known.
    """
    frame, classes = label_images(cache, DataSettings()) if labels is None else labels
    raw = cache.landmarks()
    present = np.isfinite(raw).all(axis=(1, 2))
    landmarks = np.zeros_like(raw)
    sizes = cache.frame(["width", "height"]).to_numpy(dtype=np.float32, na_value=np.nan)
    if np.isnan(sizes[present]).any():
        row = np.flatnonzero(present & np.isnan(sizes).any(axis=1))[0]
        raise CacheError(
            f"{frame['id'].iloc[row]} of {cache.path} has landmarks, but not the width and height of its "
            "image, without which they have no shape."
        )
    landmarks[present] = normalise(raw[present], *sizes[present].T, **normalisation.model_dump())
    number = {name: index for index, name in enumerate(classes)}
    known = frame["label"].map(number).fillna(-1).to_numpy(dtype=np.int64, copy=True)
    faces = FaceBatch(torch.from_numpy(landmarks), torch.from_numpy(present), labels=torch.from_numpy(known))
    blendshapes = cache.blendshapes()
    if blendshapes is not None:
        faces = replace(faces, blendshapes=torch.from_numpy(np.nan_to_num(blendshapes, copy=False)))
    if images is not None:
        pixels = load_images(cache, images.size, images.channels, progress)
        readable = (frame["status"] != "unreadable").to_numpy(copy=True)
        faces = replace(faces, image=torch.from_numpy(pixels), pictured=torch.from_numpy(readable))
        if images.points:
            points = np.nan_to_num(stored_points(cache, raw), copy=False)
            faces = replace(faces, points=torch.from_numpy(points))
    return FaceDataset(_with_other_landmarks(faces) if shuffled else faces, frame, classes)


def _with_other_landmarks(faces: FaceBatch) -> FaceBatch:
    """The same images and labels, each with what was found in another image, always the same one."""
    other = torch.from_numpy(np.random.default_rng(0).permutation(len(faces)))
    names = ("landmarks", "present", "points", "blendshapes")
    found = {name: getattr(faces, name) for name in names}
    return replace(faces, **{name: field[other] for name, field in found.items() if field is not None})


class BatchLoader:
    """Batches of some rows, in a new order each epoch, that can go on from any batch.

    The order is a function of the seed and the epoch alone, and the epoch follows from the number of batches
    handed out so far. That is also the number of training steps, which every checkpoint holds.

    Args:
        faces: The batch of all faces.
        rows: int64 `[n]`, the rows to draw from.
        batch_size: Faces per batch.
        seed: Shuffles if given; the order of `rows` if None. A shuffled epoch drops its last, smaller batch
            (batch statistics of a few faces are noise), unless it is the only one.
        position: Shuffled batches that were handed out before, in this epoch and all earlier ones.
        order: How the rows are shuffled and how often each is drawn; a permutation if None.
    """

    def __init__(
        self,
        faces: FaceBatch,
        rows: Rows,
        batch_size: int,
        seed: int | None = None,
        position: int = 0,
        order: EpochOrder | None = None,
    ) -> None:
        self._faces = faces
        self._rows = torch.from_numpy(rows.copy())
        self._batch_size = batch_size
        self._seed = seed
        self._position = position
        self._order = order
        self._draws = len(rows) if order is None else len(order)

    def __len__(self) -> int:
        """Batches per epoch."""
        if self._seed is None:
            return -(-self._draws // self._batch_size)
        return max(1, self._draws // self._batch_size)

    def __iter__(self) -> Iterator[FaceBatch]:
        epoch, first = divmod(self._position, len(self))
        rows = self._rows
        if self._seed is None:
            first = 0
        else:
            rng = np.random.default_rng([self._seed, epoch])
            order = rng.permutation(len(rows)) if self._order is None else self._order.order(rng)
            rows = rows[torch.as_tensor(order)]
        for batch in range(first, len(self)):
            self._position += self._seed is not None
            yield self._faces.rows(rows[batch * self._batch_size : (batch + 1) * self._batch_size])


class FaceDataModule(pl.LightningDataModule):
    """Loaders over one dataset.

    Args:
        dataset: The cache in memory.
        train_rows: The rows that are trained on; those in which the model sees nothing are no use.
        val_rows: All validation images: undetected ones count in the validation figures too.
        batch_size: Faces per training batch.
        seed: Of the training order.
        steps: Training steps that were taken before.
        order: See `BatchLoader`.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        train_rows: Rows,
        val_rows: Rows,
        batch_size: int,
        seed: int,
        steps: int = 0,
        order: EpochOrder | None = None,
    ) -> None:
        super().__init__()
        self._faces = dataset.faces
        self._train_rows = train_rows
        self._val_rows = val_rows
        self._batch_size = batch_size
        self._seed = seed
        self._steps = steps
        self._order = order

    def train_dataloader(self) -> BatchLoader:
        """Shuffled training batches, from where training stands."""
        return BatchLoader(
            self._faces, self._train_rows, self._batch_size, self._seed, self._steps, self._order
        )

    def val_dataloader(self) -> BatchLoader:
        """All validation images in their order."""
        return BatchLoader(self._faces, self._val_rows, min(1024, 4 * self._batch_size))

    def transfer_batch_to_device(
        self, batch: FaceBatch, device: torch.device, dataloader_idx: int
    ) -> FaceBatch:
        """Lightning's hook."""
        return batch.to(device)
