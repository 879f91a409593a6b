"""Groups of images: equal by pixels, or linked by pairs of near-duplicates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.data.duplicates.search import NearPairs

Rows = NDArray[np.int64]


def pixel_groups(sha256: pd.Series) -> tuple[Rows, Rows]:
    """Group number `[N]` of each image (-1 without pixels), and the first row `[K]` of each group."""
    group, _ = pd.factorize(sha256)
    numbers, first = np.unique(group, return_index=True)
    return group.astype(np.int64), first[numbers >= 0]


def has_near_duplicate_in(
    frame: pd.DataFrame, near: NearPairs, rows: Rows, others: Rows
) -> NDArray[np.bool_]:
    """For each of `rows`, whether an identical image or a near-duplicate is among `others`.

    Args:
        frame: Column `sha256`; a row per image of the cache.
        near: Pairs of row numbers, of the first image of each pixel group.
        rows: Row numbers.
        others: Row numbers.
    """
    group, first = pixel_groups(frame["sha256"])
    among = np.zeros(len(first) + 1, bool)  # the last is of images without pixels, whose group is -1
    among[group[others]] = True
    among[-1] = False
    left, right = group[near.pairs].T
    beside = among.copy()
    np.logical_or.at(beside, left, among[right])
    np.logical_or.at(beside, right, among[left])
    found: NDArray[np.bool_] = beside[group[rows]]
    return found


def count_groups(pairs: NDArray[np.int64]) -> int:
    """Number of groups that `pairs` `[P, 2]` link together, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    return int(connected_components(links, directed=False, return_labels=False)) if len(nodes) else 0
