"""Whether a graph file numbers the landmarks from 1, as MATLAB and R do, where MediaPipe numbers them from 0.

Such a file has no node 0, and every edge of it joins the neighbours of what was meant: its edges are several
times as long on the canonical face as those of the same file with every number lowered by one.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmarkfer.errors import GraphError
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS, REGION, REGIONS

CLEARLY_SHORTER = 0.5
"""Share of the mean edge length below which the lowered numbers are taken for the right ones."""

FEWEST_EDGES = 5
"""Lengths of fewer edges prove nothing: as few as that are shorter by chance."""

_ADVICE = (
    "landmarks are numbered from 0, so lower every number by one, or put the line '# numbering: 1' above the "
    "header (GraphML: the graph attribute 'numbering'); '# numbering: 0' keeps the numbers as they are"
)


def check_numbering(path: Path, pairs: Iterable[tuple[int, int]]) -> None:
    """Refuse edges whose nodes are counted from 1.

    Args:
        path: The file, for the message.
        pairs: Its edges as they are numbered in it, landmarks and hubs.

    Raises:
        GraphError: Node 0 has no edge, and the edges are clearly shorter with every number lowered by one, or
            node 478, which would be the hub of a region, is joined to landmarks of other regions.
    """
    edges = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    if not len(edges) or edges.min() == 0:
        return
    place = _positions()
    given, lowered = _mean_length(place, edges), _mean_length(place, edges - 1)
    if len(edges) >= FEWEST_EDGES and lowered < CLEARLY_SHORTER * given:
        raise GraphError(
            f"{path} seems to number the landmarks from 1: no edge has node 0, and on the canonical face the "
            f"mean edge is {given:.2f} long as given and {lowered:.2f} with every number lowered by one (in "
            f"RMS radii of the face); {_ADVICE}"
        )
    if edges.max() == N_LANDMARKS and (strangers := _outside_first_region(edges)):
        raise GraphError(
            f"{path} seems to number the landmarks from 1: no edge has node 0, and node {N_LANDMARKS}, the "
            f"hub of the region {REGIONS[0]}, is joined to landmarks of other regions ({strangers} of them); "
            f"{_ADVICE}"
        )


def _positions() -> NDArray[np.float64]:
    """Landmarks of the canonical face and the centres of its regions, `[507, 3]` in RMS radii."""
    hubs = [CANONICAL[region == REGION].mean(axis=0) for region in range(len(REGIONS))]
    return np.concatenate([CANONICAL, hubs]).astype(np.float64)


def _mean_length(place: NDArray[np.float64], edges: NDArray[np.int64]) -> float:
    return float(np.linalg.norm(place[edges[:, 0]] - place[edges[:, 1]], axis=1).mean())


def _outside_first_region(edges: NDArray[np.int64]) -> int:
    """How many landmarks outside the first region are joined to its hub."""
    ends = edges[(edges == N_LANDMARKS).any(axis=1)]
    return int(np.sum(REGION[ends.min(axis=1)] != 0))
