"""A file that counts landmarks from 1 is found; one that counts from 0 never is."""

from pathlib import Path

import numpy as np
import pytest

from landmarkfer.errors import GraphError
from landmarkfer.face.graph import GRAPHS, build_graph
from landmarkfer.face.graph_numbering import check_numbering
from landmarkfer.face.landmarks import (
    FACE_OVAL_RING,
    INNER_LIPS_RING,
    LEFT_EYE_RING,
    N_LANDMARKS,
    N_MESH,
    REGION,
)

FILE = Path("own.csv")
RINGS = {"oval": FACE_OVAL_RING, "lips": INNER_LIPS_RING, "eye": LEFT_EYE_RING}


def ring_edges(ring):
    return list(zip(ring, (*ring[1:], ring[0]), strict=True))


def lowered(pairs, by):
    return [(source + by, target + by) for source, target in pairs]


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in ("full", "regions")])
def test_a_named_graph_counted_from_one(name):
    edges = build_graph(name).edges.tolist()
    with pytest.raises(
        GraphError, match=r"own\.csv seems to number the landmarks from 1: no edge has node 0"
    ):
        check_numbering(FILE, lowered(edges, 1))
    check_numbering(FILE, edges)
    check_numbering(FILE, [pair for pair in edges if 0 not in pair])


def test_the_mesh_without_irises_counted_from_one_stays_in_range():
    edges = [pair for pair in build_graph("tesselation").edges.tolist() if max(pair) < N_MESH]
    own = lowered(edges, 1)
    assert np.max(own) == N_MESH
    with pytest.raises(GraphError, match=r"mean edge is 0\.\d\d long as given and 0\.\d\d with every number"):
        check_numbering(FILE, own)


@pytest.mark.parametrize("name", RINGS)
def test_a_part_of_the_face_counted_from_one(name):
    edges = ring_edges(RINGS[name])
    with pytest.raises(GraphError, match=r"numbering: 1.*numbering: 0"):
        check_numbering(FILE, lowered(edges, 1))
    check_numbering(FILE, edges)


def test_all_pairs_counted_from_one_are_known_by_the_last_number():
    """Their length is no evidence, but node 478 would be the hub of a region and is joined to all others."""
    pairs = lowered(build_graph("full").edges.tolist(), 1)
    with pytest.raises(
        GraphError,
        match=r"node 478, the hub of the region forehead, is joined to landmarks of other regions \(4",
    ):
        check_numbering(FILE, pairs)
    check_numbering(FILE, [pair for pair in pairs if N_LANDMARKS not in pair])


def test_a_hub_of_its_own_region_is_none_of_that():
    members = np.flatnonzero(REGION == 0)[1:]
    check_numbering(FILE, [(int(member), N_LANDMARKS) for member in members])


def test_long_edges_are_no_evidence():
    rng = np.random.default_rng(0)
    for _ in range(50):
        pairs = rng.choice(np.arange(1, N_LANDMARKS), (30, 2))
        check_numbering(FILE, [(a, b) for a, b in pairs.tolist() if a != b])


def test_few_edges_are_no_evidence():
    for count in (0, 1, 4):
        check_numbering(FILE, lowered(ring_edges(FACE_OVAL_RING), 1)[:count])


@pytest.mark.parametrize("suffix", [".csv", ".graphml"])
def test_files_counted_from_one(tmp_path, suffix):
    graph = build_graph("contours")
    path = tmp_path / f"own{suffix}"
    if suffix == ".csv":
        rows = "".join(f"{a + 1},{b + 1}\n" for a, b in graph.edges.tolist())
        path.write_text("source,target\n" + rows)
        with pytest.raises(GraphError, match="from 1"):
            build_graph(path)
        path.write_text("# numbering: 1\nsource,target\n" + rows)
        np.testing.assert_array_equal(build_graph(path).edge_index, graph.edge_index)
        path.write_text("# numbering: 0\nsource,target\n" + rows)
        np.testing.assert_array_equal(build_graph(path).edges, graph.edges + 1)
    else:
        import networkx as nx

        other = nx.relabel_nodes(nx.Graph(graph.edges.tolist()), lambda node: node + 1)
        nx.write_graphml(other, path)
        with pytest.raises(GraphError, match="from 1"):
            build_graph(path)
