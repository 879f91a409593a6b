"""Offsets of the classes' logits that keep the rarest answers from being swallowed by the others.

A network that is right as often as possible gives up classes that are hard to tell, such as fear, to their
neighbours. A small offset of a class's logit, found on validation images, gives them back at next to no cost
in accuracy: post-hoc logit adjustment (Menon et al. 2021, https://arxiv.org/abs/2007.07314) that goes by
recalls in place of class frequencies.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

STEP = 0.02
"""How much an offset grows at a time."""
COST = 0.01
"""Share of the images that may be answered wrongly for it."""
LEAST_IMAGES = 20
"""Of a class; what share of fewer is told says too little of the class."""
LARGEST = 3.0
"""Where an offset ends: a factor of 20 on a probability."""


def class_offsets(
    logits: NDArray[np.floating], labels: NDArray[np.integer], least_recall: float
) -> NDArray[np.float64]:
    """The offsets that bring the recall of every class to a floor, or as near as they come at a small cost.

    The class of lowest recall is raised by a step, again and again, until none is below the floor, or until
    accuracy has fallen by more than `COST`.

    Args:
        logits: `[V, n, C]`, of each view of each image; probabilities are averaged over the views.
        labels: int `[n]`, below C.
        least_recall: The floor, 0 to 1; 0 asks for nothing.

    Returns:
        `[C]`, at least 0; 0 for a class of fewer than `LEAST_IMAGES` images.
    """
    _, images, classes = logits.shape
    offsets = np.zeros(classes)
    counts = np.bincount(labels, minlength=classes)
    known = counts >= LEAST_IMAGES
    if not known.any():
        return offsets
    best, lowest, base = offsets.copy(), -1.0, -1.0
    while offsets.max() < LARGEST:
        told = softmax(logits + offsets, axis=2).mean(axis=0).argmax(axis=1)
        hits = np.bincount(labels[told == labels], minlength=classes)
        accuracy = hits.sum() / images
        base = accuracy if base < 0 else base
        recalls = np.where(known, hits / np.maximum(counts, 1), np.inf)
        if accuracy < base - COST:
            break
        if recalls.min() > lowest:
            best, lowest = offsets.copy(), recalls.min()
        if lowest >= least_recall:
            break
        offsets[recalls.argmin()] += STEP
    return best
