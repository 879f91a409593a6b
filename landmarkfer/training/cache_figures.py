"""Validation figures of each of several caches, and their means over the caches.

The figures of a training are over all validation images, in which a small cache hardly counts. Beside them,
`val_accuracy_<cache>` is that over the images of one cache, and `val_accuracy_cache_mean` the mean over the
caches, each with the same weight. Averages over classes are over those that occur among the images of the
cache.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.config.train import CACHE_MEAN
from landmarkfer.metrics.classification import scores_from_confusion

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
FIGURES = ("val_loss", *(f"val_{name}" for name in SCORES))


def cache_columns(caches: Sequence[str]) -> list[str]:
    """Names of the figures, in the order of `metrics.csv`; none of a single cache."""
    endings = [*(f"_{name}" for name in caches), CACHE_MEAN] if caches else []
    return [figure + ending for ending in endings for figure in FIGURES]


class CacheFigures:
    """Counts the predictions of an epoch's validation by cache.

    Args:
        caches: Their names, K of them.
        classes: C.
    """

    def __init__(self, caches: Sequence[str], classes: int) -> None:
        self._caches = caches
        self._counts = np.zeros((len(caches), classes, classes), np.int64)
        self._losses = np.zeros(len(caches))

    def reset(self) -> None:
        """Forget what was counted."""
        self._counts[:] = 0
        self._losses[:] = 0

    def update(
        self, caches: Tensor, labels: Tensor, logits: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Count a batch.

        Args:
            caches: int64 `[B]`.
            labels: int64 `[B]`.
            logits: `[B, C]`.
            loss: From logits and labels to their mean.
        """
        for number in torch.unique(caches).tolist():
            own = caches == number
            mean = float(loss(logits[own], labels[own]))
            self.add(number, labels[own].cpu().numpy(), logits[own].argmax(dim=1).cpu().numpy(), mean)

    def add(self, cache: int, labels: NDArray[np.int64], predicted: NDArray[np.int64], loss: float) -> None:
        """Count images of one cache: labels `[n]`, predicted classes `[n]`, and their mean loss."""
        np.add.at(self._counts[cache], (labels, predicted), 1)
        self._losses[cache] += loss * len(labels)

    def compute(self) -> dict[str, float]:
        """The figures of `cache_columns`; NaN of a cache without validation images, which no mean counts."""
        images = self._counts.sum(axis=(1, 2))
        scores = scores_from_confusion(self._counts)
        loss = np.divide(self._losses, images, out=np.full(len(images), np.nan), where=images > 0)
        by_figure = {"val_loss": loss} | {f"val_{name}": scores[name] for name in SCORES}
        found: dict[str, float] = {}
        for number, name in enumerate(self._caches):
            found |= {f"{figure}_{name}": float(values[number]) for figure, values in by_figure.items()}
        return found | {
            f"{figure}{CACHE_MEAN}": float(values[images > 0].mean()) for figure, values in by_figure.items()
        }
