"""How prediction sets did on images of known labels: coverage, size, and the share of sets of one label."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

STATED = 0.9
"""The coverage that evaluations state."""


class SetScores(NamedTuple):
    """How sets of labels did, as shares of the images but for `size`, the mean number of labels in a set.

    `coverage` is how often the label was in the set, with the ends of its exact 95 % interval (Clopper and
    Pearson) over test images; `single` is how many sets held one label alone.
    """

    coverage: float
    low: float
    high: float
    size: float
    single: float


def set_scores(sets: ArrayLike, labels: ArrayLike) -> SetScores:
    """How sets `[N, C]` did on images of known labels, int `[N]`, of which there is at least one."""
    # Here, since prediction reads `STATED` where scikit-learn is not installed.
    from scipy.stats import binomtest

    from landmarkfer.metrics.bootstrap import LEVEL

    sets, labels = np.asarray(sets, bool), np.asarray(labels)
    held, size = sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    interval = binomtest(int(held.sum()), len(held)).proportion_ci(LEVEL)
    return SetScores(
        coverage=float(held.mean()),
        low=float(interval.low),
        high=float(interval.high),
        size=float(size.mean()),
        single=float((size == 1).mean()),
    )
