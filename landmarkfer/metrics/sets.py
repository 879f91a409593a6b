"""How prediction sets did on images of known labels: coverage, size, and the share of sets of one label."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

STATED = 0.9
"""The coverage that evaluations state."""


class SetScores(NamedTuple):
    """How sets of labels did, as shares of the images but for `size`, the mean number of labels in a set.

    `coverage` is how often the label was in the set, with the ends of its 95 % interval (Clopper and Pearson,
    or, over groups, Korn and Graubard); `single` is how many sets held one label alone.
    """

    coverage: float
    low: float
    high: float
    size: float
    single: float


def set_scores(sets: ArrayLike, labels: ArrayLike, groups: NDArray[np.int64] | None = None) -> SetScores:
    """How sets did on images of known labels.

    Args:
        sets: Bool `[N, C]`.
        labels: Int `[N]`, of at least one image.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`: the interval is then
            over groups.
    """
    # Here, since prediction reads `STATED` where scikit-learn is not installed.
    from landmarkfer.metrics.intervals import hit_interval

    sets, labels = np.asarray(sets, bool), np.asarray(labels)
    held, size = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    low, high = hit_interval(held, groups)
    return SetScores(
        coverage=float(held.mean()),
        low=float(low),
        high=float(high),
        size=float(size.mean()),
        single=float((size == 1).mean()),
    )
