"""Batches cut from a dataset in memory by row number, in an order that can be resumed.

There is no per-sample Python between the array and the model: a batch is one `index_select`.
"""

from collections.abc import Iterator
from typing import Protocol

import lightning.pytorch as pl
import numpy as np
import torch

from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows


class EpochOrder(Protocol):
    """Which rows an epoch trains on, and in which order."""

    def __len__(self) -> int:
        """Draws of an epoch, the same for all epochs."""

    def order(self, rng: np.random.Generator) -> Rows:
        """Positions among the training rows, int64 `[len(self)]`."""


class BatchLoader:
    """Batches of some rows, in a new order each epoch, that can resume from any batch.

    The order is a function of the seed and the epoch alone, and the epoch follows from the number of batches
    handed out so far. That is also the number of training steps, which every checkpoint holds.

    Args:
        faces: The batch of all faces.
        rows: int64 `[n]`, the rows to draw from; or `[n, V]`, V versions of each image, of which a batch has
            two: those of one draw lie half a batch apart, and are different ones where V > 1. Needs a seed.
        batch_size: Draws per batch.
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
            if rows.ndim == 2:
                rows = _two_versions(rows, rng)
        for batch in range(first, len(self)):
            self._position += self._seed is not None
            drawn = rows[batch * self._batch_size : (batch + 1) * self._batch_size]
            yield self._faces.rows(drawn if drawn.ndim == 1 else drawn.t().flatten())


def _two_versions(rows: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Two of the versions of each image, `[n, V] -> [n, 2]`, different ones where V > 1."""
    n, versions = rows.shape
    first = rng.integers(versions, size=n)
    second = (first + rng.integers(1, max(2, versions), size=n)) % versions
    return rows.gather(1, torch.from_numpy(np.stack([first, second], axis=1)))


class FaceDataModule(pl.LightningDataModule):
    """Loaders over one dataset.

    Args:
        dataset: The cache in memory.
        train_rows: The rows that are trained on, `[n]` or `[n, V]` (see `BatchLoader`); all of them have a
            usable input.
        val_rows: All validation images: undetected ones count in the validation figures too.
        batch_size: Draws per training batch.
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
