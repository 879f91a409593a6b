"""Reading graphs, and what a broken file is answered with."""

import logging

import networkx as nx
import pytest

from landmarkfer.errors import GraphError
from landmarkfer.face.graph import build_graph
from landmarkfer.face.graph_io import read_edges


@pytest.fixture
def csv_file(tmp_path):
    def write(text: str | bytes, name: str = "own.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_an_edge_list_needs_no_kind_and_may_have_more(csv_file):
    assert read_edges(csv_file("source,target\n5,2\n")) == {(2, 5): "edge"}
    path = csv_file("\ufeffweight,target,kind,source\r\n0.5,2,nose,5\r\n1,477,,0\r\n")
    assert read_edges(path) == {(2, 5): "nose", (0, 477): "edge"}
    assert read_edges(csv_file("source,target\n")) == {}


def test_both_directions_count_once(csv_file):
    assert read_edges(csv_file("source,target,kind\n5,2,a\n2,5,a\n5,2,a\n")) == {(2, 5): "a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Source,Target,Type,Id,Label,Weight\n5,2,Undirected,0,,1.0\n", {(2, 5): "edge"}),  # Gephi
        ("SOURCE,TARGET,KIND\n5,2,nose\n", {(2, 5): "nose"}),
        (" source , target\n5, 2\n", {(2, 5): "edge"}),
        ("source,target\n5.0,2.0\n0.0,477.0\n", {(2, 5): "edge", (0, 477): "edge"}),  # pandas
        ("source;target;kind\n5;2;nose\n", {(2, 5): "nose"}),
        ("source\ttarget\n5\t2\n", {(2, 5): "edge"}),
        ("# my own lines\n# another\nsource,target\n5,2\n", {(2, 5): "edge"}),
        ("Source,source,target\n9,5,2\n", {(2, 5): "edge"}),
    ],
)
def test_edge_lists_of_other_programs(csv_file, text, expected):
    assert read_edges(csv_file(text)) == expected


def test_a_repeated_edge_counts_once_with_a_warning(csv_file, caplog):
    path = csv_file("source,target\n5,2\n0,3\n5,2\n5,2\n3,0\n")
    with caplog.at_level(logging.WARNING):
        assert read_edges(path) == {(2, 5): "edge", (0, 3): "edge"}
    assert caplog.messages == [f"{path}: 2 of 5 rows repeat an edge, which counts once"]


def test_a_stated_numbering_is_kept_or_lowered(csv_file, tmp_path):
    assert read_edges(csv_file("# numbering: 1\nsource,target\n1,478\n5,479\n")) == {
        (0, 477): "edge",
        (4, 478): "edge",
    }
    assert read_edges(csv_file("# Numbering=0\nsource,target\n5,478\n")) == {(5, 478): "edge"}
    graph = nx.Graph([("1", "478")], numbering=1)
    nx.write_graphml(graph, tmp_path / "own.graphml")
    assert read_edges(tmp_path / "own.graphml") == {(0, 477): "edge"}


@pytest.mark.parametrize(
    "header", ["source,target\n", "source,target,kind\r\n", "# numbering: 1\nSource,Target\n"]
)
def test_a_graph_without_edges_is_refused(csv_file, header, tmp_path):
    with pytest.raises(GraphError, match=r"own\.csv has no edges.*a row for each edge"):
        build_graph(csv_file(header))
    nodes = nx.Graph()
    nodes.add_nodes_from(["0", "1"])
    nx.write_graphml(nodes, tmp_path / "nodes.graphml")
    with pytest.raises(GraphError, match=r"nodes\.graphml has no edges"):
        build_graph(tmp_path / "nodes.graphml")


def test_hubs_in_a_file_give_the_graph_its_hubs(csv_file):
    graph = build_graph(csv_file("source,target\n0,478\n"))
    assert (graph.num_nodes, graph.num_hubs) == (507, 29)
    assert build_graph(csv_file("source,target\n0,477\n")).num_nodes == 478


def test_graphml_of_another_program(tmp_path):
    """Directed, as yEd or igraph may write it, without a kind, and with nodes that have no edge."""
    other = nx.DiGraph([("0", "1"), ("1", "0"), ("1", "2")])
    other.add_node("9")
    nx.write_graphml(other, tmp_path / "other.graphml")
    assert read_edges(tmp_path / "other.graphml") == {(0, 1): "edge", (1, 2): "edge"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns source and target in its first line, found nothing"),
        ("a,b\n0,1\n", "found a, b"),
        ("source,target\n0,1\n2,2\n", "line 3: node 2 is joined to itself"),
        ("source,target\n0,nose\n", "line 2: 'nose' is no node"),
        ("source,target\n0\n", "line 2: 'None' is no node"),
        ("source,target\n0,-1\n", "line 2: there is no node -1"),
        ("source,target\n0,507\n", "line 2: there is no node 507; expected a landmark 0 to 477 or the hub"),
        ("source,target,kind\n0,1,a\n1,0,b\n", "line 3: the edge 0 - 1 is given as 'a' and as 'b'"),
        ("source,target\n0,1.5\n", "line 2: '1.5' is no node"),
        ("source,target\n0,nan\n", "line 2: 'nan' is no node"),
        ("source,target\n0,99999999999999999999\n", "line 2: '99999999999999999999' is no node"),
        ("source,target\n0.0,507.0\n", "line 2: there is no node 507"),
        ("# a remark\nsource,target\n0,1\n2.0,2\n", "line 4: node 2 is joined to itself"),
        ("# numbering: 1\nsource,target\n0,1\n", "there is no node 0; expected a landmark 1 to 478"),
        ("# numbering: 2\nsource,target\n2,3\n", "states the numbering '2'; expected 0 or 1"),
        (b"source,target\n\xff\xfe,1\n", "cannot be read"),
        (b"\x00\x00\x01", "needs the columns|cannot be read"),
    ],
)
def test_broken_edge_lists(csv_file, text, message):
    path = csv_file(text)
    with pytest.raises(GraphError, match=message) as raised:
        build_graph(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid GraphML"),
        ("<html><body>no</body></html>", "not valid GraphML"),
        ("<graphml><graph><node id='0'/>", "not valid GraphML"),
    ],
)
def test_broken_graphml(csv_file, text, message):
    with pytest.raises(GraphError, match=message):
        build_graph(csv_file(text, "own.graphml"))


@pytest.mark.parametrize(
    ("edges", "node", "message"),
    [
        ([("0", "0")], "1", "joined to itself"),
        ([("0", "nose")], "1", "'nose' is no node"),
        ([("0", "1")], "600", "there is no node 600"),
    ],
)
def test_graphml_that_is_no_facial_graph(tmp_path, edges, node, message):
    graph = nx.Graph(edges)
    graph.add_node(node)
    nx.write_graphml(graph, tmp_path / "own.graphml")
    with pytest.raises(GraphError, match=message):
        build_graph(tmp_path / "own.graphml")


def test_files_that_are_not_there_or_not_graphs(tmp_path):
    with pytest.raises(GraphError, match=r"missing\.csv cannot be read: .*No such file"):
        build_graph(tmp_path / "missing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(GraphError, match="cannot be read"):
        build_graph(tmp_path / "folder.csv")
    (tmp_path / "graph.txt").write_text("0 1\n")
    with pytest.raises(GraphError, match=r"no graph '.*graph\.txt': expected one of .* edge list"):
        build_graph(tmp_path / "graph.txt")
    with pytest.raises(GraphError, match=r"no graph file: expected one of \.csv, \.graphml"):
        read_edges(tmp_path / "graph.txt")
