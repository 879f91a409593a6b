"""Rewrites the edge lists in `graphs/` from MediaPipe's tables and the canonical face.

`anatomical`, `contours` and `tesselation` come from MediaPipe's connection tables (`mp.solutions`, hence
MediaPipe < 0.10.30); `knn`, `delaunay`, `hybrid` and `regions` from the package's builders on the canonical
face, so run it again after `canonical_face.py`.

    python experiments/data/edge_lists.py --out graphs
"""

import argparse
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.graph_export import write_graph
from landmarkfer.face.landmarks import CANONICAL, LEFT_IRIS, MIRROR, RIGHT_EYE_RING, RIGHT_IRIS, graphs_dir

log = logging.getLogger(__name__)

# MediaPipe's name of a contour, and ours.
CONTOURS = {
    "FACE_OVAL": "oval",
    "RIGHT_EYEBROW": "right_brow",
    "LEFT_EYEBROW": "left_brow",
    "RIGHT_EYE": "right_eye",
    "LEFT_EYE": "left_eye",
    "LIPS": "lips",
}
ANATOMICAL = {**CONTOURS, "RIGHT_IRIS": "right_iris", "LEFT_IRIS": "left_iris", "NOSE": "nose"}

EdgeKinds = dict[tuple[int, int], str]


def of_kind(edges: Iterable[tuple[int, int]], kind: str) -> EdgeKinds:
    """Edges in either order, as undirected edges of one kind."""
    return {(min(edge), max(edge)): kind for edge in sorted(edges)}


def table(name: str) -> Iterable[tuple[int, int]]:
    """One of MediaPipe's connection tables."""
    from mediapipe.python.solutions import face_mesh_connections

    return getattr(face_mesh_connections, f"FACEMESH_{name}")


def contour_edges(tables: dict[str, str]) -> EdgeKinds:
    """MediaPipe's tables joined, each edge of the kind of its contour."""
    edges: EdgeKinds = {}
    for name, kind in tables.items():
        edges |= of_kind(table(name), kind)
    return edges


def iris_edges() -> EdgeKinds:
    """Irises made part of the mesh: rim, spokes, and each rim point with the nearest point of the eyelids."""
    edges: EdgeKinds = {}
    for centre, *rim in (RIGHT_IRIS, LEFT_IRIS):
        edges |= of_kind(zip(rim, [*rim[1:], rim[0]], strict=True), "iris")
        edges |= of_kind(((centre, point) for point in rim), "iris")
    # Found on the right and mirrored, so that the two sides cannot differ by rounding.
    for point in RIGHT_IRIS[1:]:
        distance = np.linalg.norm(CANONICAL[list(RIGHT_EYE_RING)] - CANONICAL[point], axis=1)
        nearest = RIGHT_EYE_RING[int(distance.argmin())]
        edges |= of_kind([(point, nearest), (int(MIRROR[point]), int(MIRROR[nearest]))], "iris_link")
    return edges


def edge_lists() -> Iterator[FaceGraph]:
    """Every graph that is stored as an edge list; the later ones read the earlier ones from `graphs/`."""
    yield FaceGraph.from_edges("anatomical", contour_edges(ANATOMICAL))
    yield FaceGraph.from_edges("contours", contour_edges(CONTOURS))
    yield FaceGraph.from_edges("tesselation", of_kind(table("TESSELATION"), "mesh") | iris_edges())
    for name in ("knn", "delaunay", "hybrid", "regions"):
        # Given a face, a graph is built; without one it would be read from the list that is to be written.
        yield build_graph(name, mean_face=CANONICAL)


def main() -> None:
    """Writes the edge lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=graphs_dir(), help="folder of the edge lists")
    settings = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for graph in edge_lists():
        write_graph(graph, settings.out / f"{graph.name}.csv")
        log.info("%-12s %6d edges", graph.name, len(graph.edges))


if __name__ == "__main__":
    main()
