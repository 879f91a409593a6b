"""The named graphs, and the value class that holds a graph."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch

from landmarkfer.errors import GraphError
from landmarkfer.face import graph as topology
from landmarkfer.face.edges import knn_edges
from landmarkfer.face.graph import GRAPHS, FaceGraph, build_graph, graph_names
from landmarkfer.face.landmarks import CANONICAL, MIRROR, REGION, REGIONS, graphs_dir

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NAMED = ("anatomical", "contours", "tesselation", "knn", "delaunay", "hybrid", "regions", "full")


def edge_set(graph: FaceGraph) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in graph.edges}


def kind_of(graph: FaceGraph) -> dict[tuple[int, int], str]:
    pairs = zip(graph.edges.tolist(), graph.undirected_kind.tolist(), strict=True)
    return {(a, b): graph.kinds[kind] for (a, b), kind in pairs}


def neighbours(graph: FaceGraph, node: int) -> set[int]:
    return {int(target) for source, target in graph.edge_index.T if source == node}


@pytest.fixture
def own_graphs(tmp_path, monkeypatch) -> Path:
    """A folder `graphs/` of the test's own, with the real lists in it."""
    for source in graphs_dir().glob("*.csv"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(topology, "graphs_dir", lambda: tmp_path)
    return tmp_path


def test_names():
    assert graph_names() == NAMED == tuple(GRAPHS)


@pytest.mark.parametrize("name", NAMED)
def test_every_graph_has_both_directions_once_and_no_loops(name):
    graph = build_graph(name)
    pairs = [tuple(pair) for pair in graph.edge_index.T.tolist()]
    assert graph.name == name and graph.edge_index.dtype == np.int64
    assert pairs == sorted(set(pairs)), "sorted, none twice"
    assert {(b, a) for a, b in pairs} == set(pairs)
    assert all(a != b for a, b in pairs)
    assert len(pairs) == 2 * len(graph.edges) == 2 * len(graph.undirected_kind)
    assert graph.edge_kind.shape == (len(pairs),) and set(graph.edge_kind) == set(range(len(graph.kinds)))
    kinds = dict(zip(pairs, graph.edge_kind.tolist(), strict=True))
    assert all(kinds[a, b] == kinds[b, a] for a, b in pairs)
    assert graph.node_region.shape == (graph.num_nodes,)
    assert np.array_equal(graph.node_region[:478], REGION)


# Statistics of the published baseline for `anatomical`; of MediaPipe's tables for the next two: 124 contour
# edges; 1,322 mesh edges and, for each iris, 4 rim edges, 4 spokes and 4 links.
@pytest.mark.parametrize(
    ("name", "edges", "connected", "components"),
    [
        ("anatomical", 157, 160, 12),
        ("contours", 124, 128, 9),
        ("tesselation", 1322 + 24, 478, 1),
        ("full", 478 * 477 // 2, 478, 1),
    ],
)
def test_statistics(name, edges, connected, components):
    statistics = build_graph(name).statistics()
    assert (statistics.edges, statistics.connected, statistics.isolated) == (
        edges,
        connected,
        478 - connected,
    )
    assert (statistics.nodes, statistics.components) == (478, components)
    assert statistics.degree_mean == pytest.approx(2 * edges / 478)
    assert sum(statistics.kinds.values()) == edges


@pytest.mark.parametrize("name", ["knn", "delaunay", "hybrid", "regions"])
def test_built_graphs_are_in_one_piece(name):
    statistics = build_graph(name).statistics()
    assert (statistics.isolated, statistics.components) == (0, 1)


def test_statistics_by_hand():
    # A path 0-1-2-3 with a spur 1-4, an edge 9-10 apart: degree 3 at node 1, longest way 0 to 3.
    graph = FaceGraph.from_edges("hand", {(0, 1): "a", (1, 2): "a", (3, 2): "b", (1, 4): "b", (10, 9): "b"})
    statistics = graph.statistics()
    assert dataclasses.asdict(statistics) == {
        **{"name": "hand", "nodes": 478, "edges": 5, "connected": 7, "isolated": 471},
        **{"components": 2, "largest": 5, "degree_mean": 10 / 478, "degree_max": 3, "diameter": 3},
        "kinds": {"a": 2, "b": 3},
    }
    assert build_graph("full").statistics().diameter == 1
    empty = FaceGraph.from_edges("empty", {}).statistics()
    assert (empty.edges, empty.components, empty.largest, empty.diameter) == (0, 0, 0, 0)


def test_the_table_of_graphs_in_the_readme_is_right():
    text = (graphs_dir() / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \| .* \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", text, re.MULTILINE
    )
    found = {name: tuple(int(value.replace(",", "")) for value in values) for name, *values in rows}
    for name in graph_names():
        statistics = build_graph(name).statistics()
        expected = (statistics.nodes, statistics.edges, statistics.connected, statistics.components)
        assert found[name] == expected, name


def test_edges_of_the_hand_made_graph():
    graph = FaceGraph.from_edges("hand", {(0, 1): "a", (3, 1): "b"})
    assert graph.edge_index.tolist() == [[0, 1, 1, 3], [1, 0, 3, 1]]
    assert graph.edge_kind.tolist() == [0, 0, 1, 1]
    assert graph.kinds == ("a", "b")
    assert graph.edges.tolist() == [[0, 1], [1, 3]]
    assert graph.undirected_kind.tolist() == [0, 1]
    assert (graph.num_nodes, graph.num_hubs) == (478, 0)


def test_anatomical_is_mediapipes_tables():
    solutions = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    kinds = kind_of(build_graph("anatomical"))
    for kind, table in {
        **{"lips": "LIPS", "oval": "FACE_OVAL", "nose": "NOSE"},
        **{f"{side}_{part}": f"{side}_{name}".upper() for side in ("left", "right")
           for part, name in (("eye", "eye"), ("brow", "eyebrow"), ("iris", "iris"))},
    }.items():  # fmt: skip
        expected = {(min(edge), max(edge)) for edge in getattr(solutions, f"FACEMESH_{table}")}
        assert {edge for edge, name in kinds.items() if name == kind} == expected, kind


def test_contours_and_tesselation_are_mediapipes_tables():
    solutions = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    contours = {(min(edge), max(edge)) for edge in solutions.FACEMESH_CONTOURS}
    assert edge_set(build_graph("contours")) == contours
    mesh = {(min(edge), max(edge)) for edge in solutions.FACEMESH_TESSELATION}
    kinds = kind_of(build_graph("tesselation"))
    assert {edge for edge, kind in kinds.items() if kind == "mesh"} == mesh


def test_irises_are_part_of_the_tesselation():
    graph = build_graph("tesselation")
    assert neighbours(graph, 468) == {469, 470, 471, 472}
    assert neighbours(graph, 473) == {474, 475, 476, 477}
    # The top of the right iris: centre, both sides of the rim, and the middle of the upper lid.
    assert neighbours(graph, 470) == {468, 469, 471, 159}
    assert neighbours(graph, 477) == {473, 474, 476, 374}


@pytest.mark.parametrize("name", ["anatomical", "contours", "knn", "delaunay", "hybrid", "full"])
def test_graphs_are_mirror_symmetric(name):
    edges = edge_set(build_graph(name))
    mirrored = {tuple(sorted((int(MIRROR[a]), int(MIRROR[b])))) for a, b in edges}
    assert mirrored == edges


def test_knn_joins_every_point_with_its_six_nearest():
    graph = build_graph("knn")
    degrees = np.bincount(graph.edge_index[0], minlength=478)
    assert degrees.min() >= 6
    face = CANONICAL.astype(np.float64)
    for node in (0, 33, 152, 468):
        nearest = np.argsort(np.linalg.norm(face - face[node], axis=1))[1:7]
        assert neighbours(graph, node) >= set(nearest.tolist())


def test_hybrid_is_the_union_and_keeps_the_anatomical_kinds():
    anatomical, hybrid = kind_of(build_graph("anatomical")), kind_of(build_graph("hybrid"))
    assert set(hybrid) == set(anatomical) | edge_set(build_graph("knn"))
    assert {edge: hybrid[edge] for edge in anatomical} == anatomical
    assert {hybrid[edge] for edge in set(hybrid) - set(anatomical)} == {"knn"}


def test_regions_adds_one_hub_per_region():
    graph = build_graph("regions")
    n = len(REGIONS)
    assert (graph.num_nodes, graph.num_hubs) == (478 + n, n)
    assert np.array_equal(graph.node_region[478:], np.arange(n))
    kinds = kind_of(graph)
    members = {edge for edge, kind in kinds.items() if kind == "member"}
    assert members == {(point, 478 + int(REGION[point])) for point in range(478)}
    right_iris, right_eye = (478 + REGIONS.index(name) for name in ("right_iris", "right_eye"))
    hubs = nx.Graph([edge for edge, kind in kinds.items() if kind == "hub"])
    assert set(hubs) == set(range(478, 478 + n)) and nx.is_connected(hubs)
    assert list(hubs[right_iris]) == [right_eye], "an iris touches nothing but its eye"


def test_hubs_lie_in_the_middle_of_their_region():
    graph = build_graph("regions")
    placed = graph.place(np.stack([CANONICAL, 2 * CANONICAL]))
    assert placed.shape == (2, 478 + len(REGIONS), 3) and placed.dtype == np.float32
    assert np.array_equal(placed[0, :478], CANONICAL)
    iris = 478 + REGIONS.index("left_iris")
    assert placed[1, iris] == pytest.approx(2 * CANONICAL[473:478].mean(axis=0), abs=1e-6)
    assert build_graph("knn").place(CANONICAL).shape == (478, 3)
    assert build_graph("knn").hub_weights().shape == (0, 478)
    assert graph.hub_weights().sum(axis=1) == pytest.approx(1)


def test_a_mean_face_moves_the_graphs_built_on_it_and_no_other():
    face = np.random.default_rng(0).normal(size=(478, 3))
    assert {tuple(edge) for edge in knn_edges(face, 3).tolist()} == edge_set(
        build_graph("knn", mean_face=face, k=3)
    )
    for name in ("knn", "delaunay", "hybrid"):
        assert edge_set(build_graph(name, mean_face=face)) != edge_set(build_graph(name)), name
    for name in ("anatomical", "contours", "tesselation", "regions"):
        assert edge_set(build_graph(name, mean_face=face, k=3)) == edge_set(build_graph(name)), name
    # Delaunay sees the plane of the image only.
    flat = face * (1, 1, 0)
    assert edge_set(build_graph("delaunay", mean_face=face)) == edge_set(
        build_graph("delaunay", mean_face=flat)
    )


def test_k_changes_knn_and_hybrid():
    sizes = [len(build_graph("knn", k=k).edges) for k in (2, 6, 10)]
    assert sizes == sorted(set(sizes))
    assert len(build_graph("hybrid", k=2).edges) < len(build_graph("hybrid").edges)


@pytest.mark.parametrize(
    "name", ["anatomical", "contours", "tesselation", "knn", "delaunay", "hybrid", "regions"]
)
def test_stored_edge_lists_are_what_the_script_makes(name):
    pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    spec = importlib.util.spec_from_file_location("edge_lists", EXPERIMENTS / "data" / "edge_lists.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = next(graph for graph in script.edge_lists() if graph.name == name)
    assert kind_of(made) == kind_of(build_graph(name))


def test_a_new_file_in_the_folder_is_a_new_graph(own_graphs):
    (own_graphs / "smile.csv").write_text("source,target,kind\n61,291,mouth\n1,61,mouth\n")
    assert graph_names() == (*NAMED, "smile")
    graph = build_graph("smile")
    assert (graph.name, edge_set(graph)) == ("smile", {(61, 291), (1, 61)})
    with pytest.raises(GraphError, match="full, smile, or the path"):
        build_graph("frown")


def test_the_stored_list_is_the_source_of_a_named_graph(own_graphs):
    for name in ("anatomical", "knn"):
        (own_graphs / f"{name}.csv").write_text("source,target\n3,4\n")
        assert edge_set(build_graph(name)) == {(3, 4)}
    assert edge_set(build_graph("hybrid", k=1)) > {(3, 4)}
    (own_graphs / "delaunay.csv").unlink()
    assert len(build_graph("delaunay").edges) > 1000, "built where the list is missing"


def test_unknown_name_lists_the_choices():
    with pytest.raises(
        GraphError, match=r"no graph 'mesh': expected one of anatomical, .*, full, or the path"
    ):
        build_graph("mesh")


@pytest.mark.parametrize(
    ("face", "message"),
    [
        (np.zeros((468, 3)), r"must be \[478, 3\], got \[468, 3\]"),
        (np.full((478, 3), np.nan), "missing points"),
    ],
)
def test_a_mean_face_that_cannot_be_used(face, message):
    with pytest.raises(GraphError, match=message):
        build_graph("knn", mean_face=face)


def test_k_must_be_positive():
    with pytest.raises(GraphError, match="k must be at least 1, got 0"):
        build_graph("knn", k=0)


def test_a_graph_cannot_be_changed():
    graph = build_graph("anatomical")
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.name = "other"
    for array in (graph.edge_index, graph.edge_kind, graph.node_region):
        with pytest.raises(ValueError, match="read-only"):
            array[..., 0] = 5
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_a_graph_does_not_share_the_callers_arrays():
    index, kind = np.array([[0, 1], [1, 0]]), np.array([0, 0])
    graph = FaceGraph("pair", index, kind, ("a",), 478, REGION)
    index[:] = 7
    assert graph.edge_index.tolist() == [[0, 1], [1, 0]]
    data = graph.to_pyg()
    data.edge_index[:] = 3
    assert graph.edge_index.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        ([[0], [1]], [0], "both directions"),
        ([[0, 1, 1], [1, 0, 1]], [0, 0, 0], "both directions"),
        ([[1, 0], [0, 1]], [0, 0], "sorted"),
        ([[0, 0, 1, 1], [1, 1, 0, 0]], [0, 0, 0, 0], "sorted"),
        ([[0, 1], [1, 0]], [0, 1], "both directions"),
        ([[0, 478], [478, 0]], [0, 0], "leaves the nodes 0 to 477"),
        ([[-1, 0], [0, -1]], [0, 0], "leaves the nodes"),
        ([[0, 1], [1, 0]], [2, 2], "none of the kinds"),
        ([[0, 1], [1, 0]], [0], r"edge_kind \[E\]"),
        ([[0, 1, 2], [1, 0, 2], [0, 0, 0]], [0, 0, 0], r"edge_index \[2, E\]"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused(index, kind, message):
    with pytest.raises(GraphError, match=message):
        FaceGraph("bad", np.array(index), np.array(kind), ("a", "b"), 478, REGION)


def test_from_edges_refuses_what_is_no_graph():
    for edges in ({(3, 3): "a"}, {(1, 2): "a", (2, 1): "a"}, {(0, 478 + len(REGIONS)): "a"}, {(-1, 2): "a"}):
        with pytest.raises(GraphError):
            FaceGraph.from_edges("bad", edges)
    with pytest.raises(GraphError, match="478 or 507 nodes, got 100"):
        FaceGraph("bad", np.zeros((2, 0)), np.zeros(0), (), 100, REGION[:100])


def test_networkx_graph_carries_what_is_known():
    graph = build_graph("regions").to_networkx()
    assert graph.name == "regions" and graph.number_of_nodes() == 507
    assert graph.nodes[33] == {
        **{"region": "right_eye", "side": "right", "hub": False},
        **dict(zip("xyz", (round(float(value), 5) for value in CANONICAL[33]), strict=True)),
    }
    hub = 478 + REGIONS.index("left_cheek")
    assert (graph.nodes[hub]["region"], graph.nodes[hub]["side"], graph.nodes[hub]["hub"]) == (
        *("left_cheek", "left", True),
    )
    assert graph.nodes[10]["side"] == "middle"
    assert graph.edges[468, 469] == {"kind": "iris"}
    face = np.arange(478 * 3, dtype=float).reshape(478, 3)
    assert build_graph("knn").to_networkx(face).nodes[2]["y"] == 7.0


def test_pyg_data():
    graph = build_graph("regions")
    data = graph.to_pyg()
    assert data.validate() and data.num_nodes == 507
    assert data.is_undirected() and not data.has_self_loops() and not data.has_isolated_nodes()
    assert torch.equal(data.edge_index, torch.tensor(graph.edge_index.tolist()))
    assert data.edge_kind.tolist() == graph.edge_kind.tolist()
    assert data.node_region.tolist() == graph.node_region.tolist()
    assert data.pos.shape == (507, 3) and data.pos.dtype == torch.float32
    assert build_graph("anatomical").to_pyg().num_nodes == 478
