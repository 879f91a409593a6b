"""Soft targets from the votes of annotators, as FER+ has them (Barsoum et al. 2016).

The votes of a cache are those that the published rule trains on; see `extraction/sources/tables/votes.py`.
https://arxiv.org/abs/1608.01041
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from landmarkfer.config.data import DataSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.errors import SettingsError


def vote_targets(cache: LandmarkCache, settings: DataSettings, dataset: FaceDataset) -> Tensor:
    """The target of each image of a dataset, float32 `[N, C]`: the share of the votes that each class has.

    Args:
        cache: The cache of the dataset.
        settings: Which classes are merged.
        dataset: The images. One without votes for these classes has its label as target, and zeros without
            one.

    Raises:
        SettingsError: The cache holds no votes.
    """
    votes = cache.frame(["votes"])["votes"]
    known = votes.notna().to_numpy()
    if not known.any():
        raise SettingsError(
            f"'data.labels' = 'votes', and {cache.path} holds no votes; extract it with --labels "
            f"fer2013new.csv, "
            "FER+'s table, or train on the labels."
        )
    labels = dataset.faces.labels
    assert labels is not None
    targets = one_hot(labels.clamp_min(0), len(dataset.classes)).float() * (labels >= 0)[:, None]
    counts = np.stack(votes[known].to_list()) @ _places(cache, settings, dataset.classes)  # [K, C]
    total = counts.sum(axis=1, keepdims=True)
    shares = torch.from_numpy(counts / np.maximum(total, 1e-12)).float()
    usable = torch.from_numpy(total[:, 0] > 0)
    rows = torch.from_numpy(np.flatnonzero(known))[usable]
    targets[rows] = shares[usable]
    return targets


def _places(cache: LandmarkCache, settings: DataSettings, classes: tuple[str, ...]) -> np.ndarray:
    """Which class each of the cache's classes is: `[V, C]` of zeros and ones."""
    merged = {part: name for name, parts in settings.merge.items() for part in parts}
    names = [merged.get(name, name) for name in cache.manifest.classes]
    return np.array([[float(name == one) for one in classes] for name in names])
