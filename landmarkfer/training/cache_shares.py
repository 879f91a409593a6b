"""How much each of several caches counts in a training, and the weights that make other images count so.

An epoch draws the training images of each cache in stated shares (`sampling.shares`), or each image once. All
that rests on how frequent classes are in training (the prior, class weights, what calibration undoes) is of
the images as they are drawn. The validation images of a cache may be another share of all than its draws are;
calibration weights them so that its fit is that of images drawn as in training.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows

Floats = NDArray[np.float64]


def drawn_shares(settings: ResolvedSettings, dataset: FaceDataset, train: Rows) -> Floats | None:
    """The share of each cache in the draws of an epoch, `[K]`; None where there is one cache.

    Args:
        settings: Of the run.
        dataset: The images.
        train: The training rows, without their offline augmentation.
    """
    if not dataset.caches:
        return None
    if settings.sampling.shares:
        stated = np.array([settings.sampling.shares[name] for name in dataset.caches])
        return stated / stated.sum()
    counts = np.bincount(_caches(dataset, train), minlength=len(dataset.caches))
    return counts / counts.sum()


def image_weights(shares: Floats | None, dataset: FaceDataset, rows: Rows) -> Floats | None:
    """The weight of each of some rows, `[n]`, by which each cache has its share of them; of mean 1.

    Args:
        shares: `[K]`, of each cache; None where there is one, and so no weights.
        dataset: The images.
        rows: Their rows. A cache without any has no share, and the others have theirs beside each other.
    """
    if shares is None:
        return None
    caches = _caches(dataset, rows)
    counts = np.bincount(caches, minlength=len(shares))
    present = np.where(counts > 0, shares, 0.0)
    weights: Floats = (present / present.sum() / np.maximum(counts, 1) * len(rows))[caches]
    return weights


def _caches(dataset: FaceDataset, rows: Rows) -> NDArray[np.int64]:
    caches = dataset.faces.caches
    assert caches is not None
    numbers: NDArray[np.int64] = caches[torch.as_tensor(rows)].numpy()
    return numbers
