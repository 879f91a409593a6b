"""Landmarks in memory as one array, and batches cut from it as tensors by row number.

There is no per-sample Python between the array and the model: a batch is one `index_select`. Datasets are
immutable, and augmentation belongs to the training step, so training cannot change what validation sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from landmarkfer.config import NormalisationSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.splits import Rows, Splits
from landmarkfer.errors import CacheError
from landmarkfer.geometry import normalise


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
        blendshapes: float32 `[B, 52]`.
        labels: int64 `[B]`, -1 where unknown.
    """

    landmarks: Tensor
    present: Tensor
    image: Tensor | None = None
    pictured: Tensor | None = None
    points: Tensor | None = None
    blendshapes: Tensor | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        """The number of faces."""
        return len(self.present)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors()})

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


def load_dataset(
    cache: LandmarkCache, normalisation: NormalisationSettings, classes: tuple[str, ...] | None = None
) -> FaceDataset:
    """Read and normalise a cache's landmarks.

    Args:
        cache: The cache; it must be complete.
        normalisation: How landmarks are normalised.
        classes: The classes to number by, for a model trained elsewhere; the cache's own if None. A label
            that is not among them is numbered -1.

    Returns:
        The dataset, in the cache's row order.

    Raises:
        CacheError: The cache is not complete, or has landmarks of an image whose size it does not tell.
    """
    if not cache.complete:
        raise CacheError(
            f"{cache.path} is not complete ({len(cache)} of {cache.manifest.rows} rows); "
            "run the same `landmarkfer extract` again to finish it."
        )
    frame = cache.frame(["id", "label", "split", "subset", "status", "sha256", "width", "height"])
    classes = tuple(cache.manifest.classes) if classes is None else classes
    raw = cache.landmarks()
    present = np.isfinite(raw).all(axis=(1, 2))
    landmarks = np.zeros_like(raw)
    sizes = frame[["width", "height"]].to_numpy(dtype=np.float32, na_value=np.nan)
    if np.isnan(sizes[present]).any():
        row = np.flatnonzero(present & np.isnan(sizes).any(axis=1))[0]
        raise CacheError(
            f"{frame['id'].iloc[row]} of {cache.path} has landmarks, but not the width and height of its "
            "image, without which they have no shape."
        )
    landmarks[present] = normalise(raw[present], *sizes[present].T, **normalisation.model_dump())
    number = {name: index for index, name in enumerate(classes)}
    labels = frame["label"].map(number).fillna(-1).to_numpy(dtype=np.int64, copy=True)
    faces = FaceBatch(torch.from_numpy(landmarks), torch.from_numpy(present), labels=torch.from_numpy(labels))
    return FaceDataset(faces, frame.drop(columns=["width", "height"]), classes)


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
    """

    def __init__(
        self, faces: FaceBatch, rows: Rows, batch_size: int, seed: int | None = None, position: int = 0
    ) -> None:
        self._faces = faces
        self._rows = torch.from_numpy(rows.copy())
        self._batch_size = batch_size
        self._seed = seed
        self._position = position

    def __len__(self) -> int:
        """Batches per epoch."""
        if self._seed is None:
            return -(-len(self._rows) // self._batch_size)
        return max(1, len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[FaceBatch]:
        epoch, first = divmod(self._position, len(self))
        rows = self._rows
        if self._seed is None:
            first = 0
        else:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(rows))
            rows = rows[torch.as_tensor(order)]
        for batch in range(first, len(self)):
            self._position += self._seed is not None
            yield self._faces.rows(rows[batch * self._batch_size : (batch + 1) * self._batch_size])


class FaceDataModule(pl.LightningDataModule):
    """Loaders over one dataset and its splits. Faces that were not found are never trained on.

    Args:
        dataset: The cache in memory.
        splits: Which rows train, validate and test.
        batch_size: Faces per training batch.
        seed: Of the training order.
        steps: Training steps that were taken before.
    """

    def __init__(
        self, dataset: FaceDataset, splits: Splits, batch_size: int, seed: int, steps: int = 0
    ) -> None:
        super().__init__()
        self._dataset = dataset
        self._splits = splits
        self._batch_size = batch_size
        self._seed = seed
        self._steps = steps

    @property
    def train_rows(self) -> Rows:
        """The rows that are trained on: of the training split, those with a face."""
        present = self._dataset.faces.present.numpy()
        return self._splits.train[present[self._splits.train]]

    def train_dataloader(self) -> BatchLoader:
        """Shuffled training batches, from where training stands."""
        return BatchLoader(
            self._dataset.faces, self.train_rows, self._batch_size, self._seed, position=self._steps
        )

    def val_dataloader(self) -> BatchLoader:
        """All validation images, undetected ones too: they count in the validation figures."""
        return BatchLoader(self._dataset.faces, self._splits.val, 1024)

    def transfer_batch_to_device(
        self, batch: FaceBatch, device: torch.device, dataloader_idx: int
    ) -> FaceBatch:
        """Lightning's hook."""
        return batch.to(device)
