"""How the skin follows the points that an action unit moves: displacements of all 478 landmarks.

Points follow the less the further they are along the mesh, so that the mouth and the eyes can open. Units and
axes are those of `action_units`: distances between the eye centres, x to the image right, y down.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from landmarkfer.data.synthetic.action_units import ACTION_UNITS
from landmarkfer.face.geometry import interocular
from landmarkfer.face.graph import build_graph
from landmarkfer.face.landmarks import CANONICAL, MIRROR, N_LANDMARKS, N_MESH

Floats = NDArray[np.float64]


@cache
def mesh_distances() -> Floats:
    """Distances along the mesh of the canonical face, `[468, 468]`; the distance between the eyes is 1."""
    edges = build_graph("tesselation").edges
    edges = edges[(edges < N_MESH).all(axis=1)]
    face = CANONICAL.astype(np.float64) / interocular(CANONICAL)
    lengths = np.linalg.norm(face[edges[:, 0]] - face[edges[:, 1]], axis=1)
    graph = csr_matrix((lengths, (edges[:, 0], edges[:, 1])), shape=(N_MESH, N_MESH))
    return dijkstra(graph, directed=False)


def spread(points: NDArray[np.int64], displacements: Floats, reach: float) -> Floats:
    """Let the skin follow some of its points.

    Each point takes the mean of the given displacements, weighted by a Gaussian of its distance to their
    points, times the largest of these weights: a given point nearly takes its own, a far one stays.

    Args:
        points: `[H]` indices of mesh points.
        displacements: `[H, 2]`.
        reach: SD of the Gaussian, in distances between the eyes.

    Returns:
        `[478, 2]`; 0 for the irises.
    """
    weights = np.exp(-0.5 * np.square(mesh_distances()[:, points] / reach))
    moved = np.zeros((N_LANDMARKS, 2))
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    moved[:N_MESH] = weights @ displacements / total * weights.max(axis=1, keepdims=True)
    return moved


@cache
def displacement(number: int) -> Floats:
    """Where full intensity of one action unit takes the points: `[478, 2]`, symmetric, eyes' distance = 1."""
    unit = ACTION_UNITS[number]
    points: list[int] = []
    moves: list[tuple[float, float]] = []
    for handles, (outward, upward) in unit.handles.items():
        for right in handles:
            left = int(MIRROR[right])
            points.append(right)
            moves.append((-outward if left != right else 0.0, -upward))
            if left != right:
                points.append(left)
                moves.append((outward, -upward))
    moved = spread(np.array(points), np.array(moves), unit.reach)
    # Shortest paths add up lengths in another order on either side; make the halves equal to the last bit.
    moved = (moved + moved[MIRROR] * (-1.0, 1.0)) / 2.0
    moved.flags.writeable = False
    return moved


def side_weights() -> tuple[Floats, Floats]:
    """How much of each point's movement the right and the left half of the face decide, `[478, 1]` each."""
    across = CANONICAL[:, :1].astype(np.float64) / interocular(CANONICAL)
    left = 1.0 / (1.0 + np.exp(-across / 0.08))
    return 1.0 - left, left
