import json
import os

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import GraphError
from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.graph_export import write_graph
from landmarkfer.face.landmarks import CANONICAL


def same(one: FaceGraph, other: FaceGraph) -> bool:
    return (
        one.kinds == other.kinds
        and one.num_nodes == other.num_nodes
        and np.array_equal(one.edge_index, other.edge_index)
        and np.array_equal(one.edge_kind, other.edge_kind)
    )


@pytest.mark.parametrize("suffix", [".csv", ".graphml", ".GraphML"])
@pytest.mark.parametrize("name", ["anatomical", "regions"])
def test_an_export_can_be_given_back(tmp_path, name, suffix):
    graph = build_graph(name)
    path = tmp_path / f"mine{suffix}"
    write_graph(graph, path)
    back = build_graph(path)
    assert back.name == "mine" and same(back, graph)
    assert same(build_graph(str(path)), graph)


def test_exports_carry_attributes_other_programs_read(tmp_path):
    graph = build_graph("regions")
    for suffix in (".graphml", ".gexf", ".json"):
        write_graph(graph, tmp_path / f"g{suffix}")
    text = json.loads((tmp_path / "g.json").read_text())
    read = {
        "graphml": nx.read_graphml(tmp_path / "g.graphml", node_type=int),
        "gexf": nx.read_gexf(tmp_path / "g.gexf", node_type=int),
        "json": nx.node_link_graph(text, edges="edges"),
    }
    for name, found in read.items():
        assert set(found.nodes) == set(range(507)), name
        assert found.number_of_edges() == len(graph.edges), name
        assert found.nodes[33]["region"] == "right_eye" and found.nodes[33]["side"] == "right", name
        assert found.nodes[33]["x"] == pytest.approx(float(CANONICAL[33, 0]), abs=1e-5), name
        assert {"y", "z", "hub"} <= set(found.nodes[33]), name
        assert found.edges[468, 469]["kind"] == "iris", name


def test_the_edge_list_is_one_row_per_edge(tmp_path):
    write_graph(FaceGraph.from_edges("two", {(4, 1): "b", (0, 1): "a"}), tmp_path / "two.csv")
    assert (tmp_path / "two.csv").read_text() == "source,target,kind\n0,1,a\n1,4,b\n"
    frame = pd.read_csv(tmp_path / "two.csv")
    assert nx.from_pandas_edgelist(frame, edge_attr="kind").edges[1, 4]["kind"] == "b"


def test_writing_refuses_an_unknown_format_and_leaves_nothing_half_written(tmp_path):
    graph = build_graph("anatomical")
    with pytest.raises(
        GraphError, match=r"no known graph format: expected one of \.csv, \.graphml, \.gexf, \.json"
    ):
        write_graph(graph, tmp_path / "graph.dot")
    write_graph(graph, tmp_path / "new" / "deep" / "graph.csv")
    assert os.listdir(tmp_path / "new" / "deep") == ["graph.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphError, match="cannot be written"):
        write_graph(graph, tmp_path / "file" / "graph.csv")
