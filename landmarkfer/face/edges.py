"""Edges from where points lie: nearest neighbours, Delaunay triangles, all pairs.

The builders take any number of points of any dimension and give undirected edges: int64 `[E, 2]`, the smaller
index first, sorted, none twice. `dynamic_knn` is their counterpart inside a model: torch, on a whole batch,
with the graph of every face apart.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

Edges = NDArray[np.int64]


def as_edges(pairs: ArrayLike) -> Edges:
    """Pairs of indices `[..., 2]` in any order as undirected edges `[E, 2]`; self loops are left out."""
    ordered = np.sort(np.asarray(pairs, dtype=np.int64).reshape(-1, 2), axis=1)
    return np.unique(ordered[ordered[:, 0] != ordered[:, 1]], axis=0)


def complete_edges(n: int) -> Edges:
    """Every pair of `n` points: `[n * (n - 1) / 2, 2]`."""
    return np.stack(np.triu_indices(n, k=1), axis=1).astype(np.int64)


def knn_edges(points: ArrayLike, k: int) -> Edges:
    """Each point with its `k` nearest others, by Euclidean distance.

    A pair is an edge if either of its points is among the nearest of the other. Points as far away as the
    k-th nearest are all taken, so that a symmetric face gives a symmetric graph. With `k` or fewer other
    points, all pairs are edges.

    Args:
        points: `[N, D]`, finite.
        k: at least 1.

    Returns:
        `[E, 2]`.

    Raises:
        ValueError: The points are not a finite `[N, D]` array, or `k` is below 1.
    """
    points = _finite(points)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    n = len(points)
    if n <= k + 1:
        return complete_edges(n)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    furthest = np.partition(distance, k - 1, axis=1)[:, k - 1]
    # Distances that are equal on paper may differ in their last bits.
    return as_edges(np.argwhere(distance <= furthest[:, None] * (1 + 1e-9)))


def delaunay_edges(points: ArrayLike) -> Edges:
    """The Delaunay triangulation of points in the plane (Qhull).

    Points on one line, which have no triangle, become a chain along it; a point in the same place as another
    is joined to that one. Where four points lie on one circle, either diagonal may be drawn.

    Args:
        points: `[N, 2]`, finite.

    Returns:
        `[E, 2]`.

    Raises:
        ValueError: The points are not a finite `[N, 2]` array.
    """
    from scipy.spatial import Delaunay

    points = _finite(points)
    if points.shape[1] != 2:
        raise ValueError(f"Delaunay triangles need points in the plane, [N, 2], got {list(points.shape)}")
    if len(points) == 0:
        return complete_edges(0)
    offset = points - points.mean(axis=0)
    # Numerically of rank 1 (or 0): on one line, on which the first right singular vector points.
    _, spread, directions = np.linalg.svd(offset, full_matrices=False)
    if len(points) < 3 or spread[1] <= 1e-12 * spread[0]:
        order = np.argsort(offset @ directions[0], kind="stable")
        return as_edges(np.stack([order[:-1], order[1:]], axis=1))
    triangulation = Delaunay(points)
    sides = triangulation.simplices[:, [[0, 1], [1, 2], [2, 0]]]  # [triangles, 3, 2]
    dropped = triangulation.coplanar[:, [0, 2]]  # points left out as duplicates, with the nearest kept one
    return as_edges(np.concatenate([sides.reshape(-1, 2), dropped]))


def dynamic_knn(landmarks: "torch.Tensor", k: int) -> "torch.Tensor":
    """The k nearest neighbours in each face of a batch, as one graph of `B * N` nodes for message passing.

    Directed, as PyTorch Geometric reads it: an edge runs from a neighbour (row 0) to the point it is a
    neighbour of (row 1), so every point receives from exactly `k` others, and no edge joins two faces. The
    choice of neighbours carries no gradient. A face with missing points gets arbitrary, valid edges there.

    Args:
        landmarks: `[B, N, D]`, on any device.
        k: at least 1; with fewer other points, all of them are taken.

    Returns:
        `edge_index [2, B * N * min(k, N - 1)]`, int64, node `n` of face `b` being `b * N + n`.

    Raises:
        ValueError: The landmarks are not `[B, N, D]`, or `k` is below 1.
    """
    import torch

    if landmarks.ndim != 3:
        raise ValueError(f"landmarks must be [B, N, D], got {list(landmarks.shape)}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    batch, n, _ = landmarks.shape
    k = min(k, n - 1)
    with torch.no_grad():
        points = torch.nan_to_num(landmarks.float())
        # Exact differences: the matrix-multiplication shortcut of cdist loses close neighbours to rounding.
        distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        source = distance.topk(k, dim=-1, largest=False).indices  # [B, N, k]
        first = torch.arange(batch, device=points.device)[:, None, None] * n
        target = torch.arange(n, device=points.device)[None, :, None].expand(batch, n, k)
        return torch.stack([(source + first).reshape(-1), (target + first).reshape(-1)])


def _finite(points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError(f"points must be finite and [N, D], got {list(array.shape)}")
    return array
