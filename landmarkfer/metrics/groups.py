"""Groups of images that are not independent of each other: those of a person, a sequence or a video.

Where they are known, intervals and tests draw and exchange whole groups (the cluster bootstrap): thirty
frames of each of forty people are nearer to forty independent images than to 1,200.
"""

from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Number = TypeVar("Number", np.int64, np.float64)


def group_numbers(groups: ArrayLike | None) -> NDArray[np.int64] | None:
    """Number of the group of each image, from 0 to G - 1.

    Args:
        groups: Names `[N]`; an image without one (None or NaN) is a group of its own. None where no group is
            known.

    Returns:
        `[N]`; None where no group has more than one image, so that images are the units.
    """
    if groups is None:
        return None
    number, names = pd.factorize(np.asarray(groups, dtype=object))
    alone = number < 0
    number[alone] = len(names) + np.arange(alone.sum())
    return None if len(names) + alone.sum() == len(number) else number.astype(np.int64)


def sum_by_group(values: NDArray[Number], number: NDArray[np.int64]) -> NDArray[Number]:
    """Sums `[G, ...]` over the images of each group of `values` `[N, ...]`."""
    sums = np.zeros((int(number.max()) + 1, *values.shape[1:]), values.dtype)
    np.add.at(sums, number, values)
    return sums
