"""The rotatable figure: its lines, its points and its page."""

import base64

import numpy as np
import pytest

from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.landmarks import CANONICAL, REGION_COLOURS
from landmarkfer.reporting.graph_3d import graph_figure_3d


def lines_of(figure) -> dict[str, np.ndarray]:
    return {
        trace.name: np.stack([trace.x, trace.y, trace.z], axis=1)
        for trace in figure.data
        if trace.mode == "lines"
    }


def test_an_edge_runs_between_its_points_in_plotlys_axes():
    figure = graph_figure_3d(FaceGraph.from_edges("hand", {(10, 1): "a", (469, 470): "iris"}))
    lines = lines_of(figure)
    assert set(lines) == {"between regions", "right iris"}
    start, end, gap = lines["between regions"]
    # Up in the picture is z, so the top of the head is above the nose; the nose is nearer to the camera (-y).
    (x, y, z), (top_x, top_y, top_z) = CANONICAL[1], CANONICAL[10]
    assert start == pytest.approx([x, z, -y]) and end == pytest.approx([top_x, top_z, -top_y])
    assert end[2] > start[2] and start[1] < end[1] and np.isnan(gap).all()


@pytest.mark.parametrize("name", ["anatomical", "regions", "full"])
def test_every_edge_and_node_is_there(name):
    graph = build_graph(name)
    figure = graph_figure_3d(graph)
    assert sum(len(line) for line in lines_of(figure).values()) == 3 * len(graph.edges)
    points = figure.data[-1]
    assert len(points.x) == graph.num_nodes
    assert points.text[33] == "33 · right eye" and points.marker.color[168] is not None
    assert figure.layout.title.text == f"{name}: {len(graph.edges):,} edges"
    if graph.num_hubs:
        assert points.text[478] == "hub of forehead"
        assert points.marker.color[478] == REGION_COLOURS["forehead"]


def test_own_landmarks_and_title():
    figure = graph_figure_3d(build_graph("anatomical"), landmarks=3 * CANONICAL + 1, title="mine")
    assert figure.data[-1].x == pytest.approx(3 * CANONICAL[:, 0] + 1)
    assert figure.layout.title.text == "mine"


def test_the_page_needs_no_network(tmp_path):
    graph_figure_3d(build_graph("anatomical")).write_html(tmp_path / "page.html", include_plotlyjs=True)
    page = (tmp_path / "page.html").read_text()
    assert "<script src=" not in page and len(page) > 1_000_000
    x = graph_figure_3d(build_graph("anatomical")).data[-1].x
    assert base64.b64encode(np.asarray(x).tobytes()).decode()[:40] in page.replace("\\u002f", "/")


def test_landmarks_with_gaps_are_refused():
    for points in (np.full((478, 3), np.nan), CANONICAL[:, :2]):
        with pytest.raises(ValueError, match=r"\[478, 3\] without gaps"):
            graph_figure_3d(build_graph("anatomical"), landmarks=points)
