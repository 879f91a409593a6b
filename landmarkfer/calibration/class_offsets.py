"""Class offsets: constants added to the logits that raise the recall of classes that are rarely predicted.

A network of highest accuracy predicts classes that are hard to distinguish, such as fear, too rarely. A small
offset of a class's logit, fitted on validation images, raises its recall at next to no cost in accuracy:
post-hoc logit adjustment (Menon et al. 2021, https://arxiv.org/abs/2007.07314) by recalls instead of class
frequencies.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from landmarkfer.calibration.weights import effective_size

STEP = 0.02
"""By how much an offset grows at a time."""
COST = 0.01
"""The largest drop in accuracy."""
LEAST_IMAGES = 20
"""Of a class; the recall of fewer is too uncertain."""
LARGEST = 3.0
"""The largest offset: a factor of 20 on a probability."""


def class_offsets(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    least_recall: float,
    weights: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """The offsets that raise the recall of every class to a floor, or as near to it as a small cost allows.

    The class of lowest recall is raised by a step, again and again, until none is below the floor, or until
    accuracy has fallen by more than `COST`.

    Args:
        logits: `[V, n, C]`, of each test-time augmentation of each image; probabilities are averaged over V.
        labels: int `[n]`, below C.
        least_recall: The floor, 0 to 1; 0 for no offsets.
        weights: `[n]`, see `calibration.weights`.

    Returns:
        `[C]`, at least 0; 0 for a class of fewer than `LEAST_IMAGES` images.
    """
    _, images, classes = logits.shape
    offsets = np.zeros(classes)
    w = np.ones(images) if weights is None else np.asarray(weights, float)
    counts = np.bincount(labels, w, minlength=classes)
    known = np.array([effective_size(w[labels == number]) >= LEAST_IMAGES for number in range(classes)])
    if not known.any():
        return offsets
    best, lowest, base = offsets.copy(), -1.0, -1.0
    while offsets.max() < LARGEST:
        predicted = softmax(logits + offsets, axis=2).mean(axis=0).argmax(axis=1)
        hits = np.bincount(labels, w * (predicted == labels), minlength=classes)
        accuracy = hits.sum() / w.sum()
        base = accuracy if base < 0 else base
        recalls = np.where(known, hits / np.where(known, counts, 1), np.inf)
        if accuracy < base - COST:
            break
        if recalls.min() > lowest:
            best, lowest = offsets.copy(), recalls.min()
        if lowest >= least_recall:
            break
        offsets[recalls.argmin()] += STEP
    return best
