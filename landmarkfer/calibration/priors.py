"""Probabilities under another prior: other shares of the classes than those of the training images.

Where two data sets differ in how frequent the classes are, and in nothing else, the probabilities for one are
those for the other times the ratio of the shares, brought to a sum of 1 (Saerens, Latinne and Decaestecker
2002, https://doi.org/10.1162/089976602753284446).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.errors import SettingsError

Floats = NDArray[np.float64]
UNIFORM, TRAIN = "uniform", "train"
"""Priors by name: all classes alike, and as among the training images."""
Prior = Mapping[str, float] | str


def prior_ratio(prior: Prior, classes: Sequence[str], trained: ArrayLike) -> Floats:
    """The share of each class under another prior, by its share among the training images, `[C]`.

    Args:
        prior: A share for each class by name, `uniform` or `train`; shares need not sum to 1.
        classes: The names, C of them.
        trained: `[C]`, above 0.

    Raises:
        SettingsError: The prior does not name these classes, or its shares are no shares.
    """
    if prior == UNIFORM:
        prior = dict.fromkeys(classes, 1.0)
    elif prior == TRAIN:
        prior = dict(zip(classes, np.asarray(trained, float).tolist(), strict=True))
    if not isinstance(prior, Mapping):
        raise SettingsError(
            f"prior must be '{UNIFORM}', '{TRAIN}' or a share for each class by name, not {prior!r}."
        )
    if unknown := [name for name in prior if name not in classes]:
        raise SettingsError(f"prior names {unknown[0]!r}, and the classes are {', '.join(classes)}.")
    if set(prior) != set(classes):
        raise SettingsError(
            f"prior must give a share for each of {', '.join(classes)}; it has {', '.join(prior)}."
        )
    shares = [prior[name] for name in classes]
    if not all(isinstance(share, int | float) and 0 <= share < math.inf for share in shares) or not sum(
        shares
    ):
        raise SettingsError(f"shares of a prior must be numbers from 0 on, some above 0, not {shares}.")
    return np.array(shares, float) / sum(shares) / np.asarray(trained, float)


def reweighted(probabilities: ArrayLike, ratio: ArrayLike) -> Floats:
    """Probabilities `[N, C]` times the ratio of two priors `[C]`, brought to a sum of 1."""
    weighted = np.asarray(probabilities, float) * np.asarray(ratio, float)
    total = weighted.sum(axis=1, keepdims=True)
    # Where the prior excludes all that is possible, nothing is known but the prior.
    fallback = np.tile(np.asarray(ratio, float), (len(weighted), 1))
    return np.divide(weighted, total, out=fallback, where=total > 0)
