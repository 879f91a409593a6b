"""Pictures, judged by their pixels and by what they are made of."""

import subprocess
import sys
import time

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.landmarks import CANONICAL, REGION_COLOURS, REGIONS
from landmarkfer.reporting.graph import draw_landmarks, edge_groups, graph_figure, node_colours, save_figure


def face(size: int = 200) -> np.ndarray:
    """The canonical face in the pixels of a square image."""
    return CANONICAL * size * 0.28 + np.float32([size / 2, size / 2, 0])


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def colour_at(image: Image.Image, point: np.ndarray) -> np.ndarray:
    return np.array(image.getpixel((int(point[0]), int(point[1]))))


@pytest.mark.parametrize("name", ["anatomical", "tesselation", "hybrid", "regions", "full"])
def test_edge_groups_cover_every_edge_once(name):
    graph = build_graph(name)
    groups = edge_groups(graph)
    drawn = np.concatenate([group.edges for group in groups])
    assert sorted(map(tuple, drawn.tolist())) == sorted(map(tuple, graph.edges.tolist()))
    assert len({group.label for group in groups}) == len(groups)


def test_edges_take_the_colour_of_region_or_contour():
    edges = {
        **{(469, 470): "iris", (61, 146): "lips", (10, 338): "oval", (33, 7): "right_eye", (33, 61): "knn"},
        **{(300, 293): "knn", (478, 479): "hub", (10, 478): "member"},
    }
    groups = {group.label: group for group in edge_groups(FaceGraph.from_edges("hand", edges))}
    found = {label: group.edges.tolist() for label, group in groups.items()}
    assert found == {
        **{"between regions": [[33, 61]], "between hubs": [[478, 479]], "oval": [[10, 338]]},
        **{"lips": [[61, 146]], "right_eye": [[7, 33]], "right_iris": [[469, 470]]},
        **{"left_brow": [[293, 300]], "forehead": [[10, 478]]},
    }
    assert next(iter(found)) == "between regions", "drawn first, under the rest"
    assert groups["right_eye"].colour == REGION_COLOURS["right_eye"]


def test_few_edges_between_regions_are_not_drawn_as_a_background():
    few = {(33, node): "own" for node in range(280, 290)}
    many = {(source, target): "own" for source in (33, 133) for target in range(280, 390)}
    (one,) = [g for g in edge_groups(FaceGraph.from_edges("few", few)) if g.label == "between regions"]
    (other,) = [g for g in edge_groups(FaceGraph.from_edges("many", many)) if g.label == "between regions"]
    assert not one.background and other.background
    assert rgb(one.colour).mean() < rgb(other.colour).mean(), "darker"


def test_edge_groups_of_a_graph_without_edges():
    assert edge_groups(FaceGraph.from_edges("empty", {})) == []


def test_nodes_take_the_colour_of_their_region_or_are_pale():
    colours = node_colours(FaceGraph.from_edges("hand", {(33, 478): "a"}))
    assert len(colours) == 478 + len(REGIONS)
    assert colours[33] == REGION_COLOURS["right_eye"] and colours[478] == REGION_COLOURS["forehead"]
    assert colours[133] == colours[479] not in REGION_COLOURS.values()


def test_landmarks_are_drawn_where_they_are_and_nowhere_else():
    image = Image.new("RGB", (200, 200), "white")
    points = face()
    drawn = draw_landmarks(image, points, point_size=5)
    assert drawn.size == (200, 200) and drawn.mode == "RGB"
    for node, region in ((1, "nose"), (234, "right_oval"), (152, "chin")):
        assert np.abs(colour_at(drawn, points[node]) - rgb(REGION_COLOURS[region])).max() < 40, region
    pixels = np.asarray(drawn)
    outside = np.ones((200, 200), dtype=bool)
    low, high = points[:, :2].min(axis=0).astype(int) - 4, points[:, :2].max(axis=0).astype(int) + 5
    outside[low[1] : high[1], low[0] : high[0]] = False
    assert np.all(pixels[outside] == 255)
    assert np.all(np.asarray(image) == 255), "the image itself is left alone"


def test_edges_are_drawn_between_their_points():
    graph = FaceGraph.from_edges("chin to forehead", {(10, 152): "edge"})
    points = face()
    drawn = draw_landmarks(Image.new("RGB", (200, 200), "white"), points, graph, line_width=3, point_size=0)
    dark = np.asarray(drawn).min(axis=2) < 250
    rows, columns = np.nonzero(dark)
    assert columns.min() >= 97 and columns.max() <= 102
    assert rows.min() == pytest.approx(points[10, 1], abs=2) and rows.max() == pytest.approx(
        points[152, 1], abs=2
    )
    drawn = draw_landmarks(Image.new("RGB", (200, 200), "white"), points, graph, line_width=0, point_size=4)
    rows = np.flatnonzero((np.asarray(drawn).min(axis=2) < 250).any(axis=1))
    assert len(rows) <= 12, "two points, no line; points without an edge are left out"


def test_hubs_are_drawn_in_the_middle_of_their_region():
    graph = FaceGraph.from_edges("hub", {(473, 478 + REGIONS.index("left_iris")): "member"})
    points = face(400)
    drawn = draw_landmarks(Image.new("RGB", (400, 400), "white"), points, graph, line_width=0, point_size=6)
    centre = points[473:478].mean(axis=0)
    assert np.abs(colour_at(drawn, centre) - rgb(REGION_COLOURS["left_iris"])).max() < 40


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (60, 60), 128),
        Image.new("RGBA", (60, 60), (9, 9, 9, 0)),
        Image.new("P", (60, 60)),
        np.full((60, 60), 128, dtype=np.uint8),
        np.zeros((60, 60, 3), dtype=np.uint8),
    ],
)
def test_images_of_any_mode_are_drawn_on(image):
    drawn = draw_landmarks(image, face(60), build_graph("anatomical"))
    assert (drawn.mode, drawn.size) == ("RGB", (60, 60))
    assert len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 20


def test_a_missing_face_and_one_outside_leave_the_image_as_it_is():
    image = Image.effect_noise((50, 50), 80).convert("RGB")
    for points in (np.full((478, 3), np.nan), face(50) + 500):
        drawn = draw_landmarks(image, points, build_graph("anatomical"))
        assert drawn is not image and np.array_equal(np.asarray(drawn), np.asarray(image))


def test_a_face_that_leaves_the_image_is_cut_at_its_border():
    drawn = draw_landmarks(Image.new("RGB", (200, 200), "white"), np.add(face(), (90, 0, 0)), point_size=5)
    pixels = np.asarray(drawn).min(axis=2)
    assert pixels[:, 150:].min() < 200 and pixels[:, :50].min() == 255


def test_drawing_is_fast_enough_for_a_contact_sheet():
    image, graph = Image.new("RGB", (192, 192)), build_graph("tesselation")
    started = time.process_time()
    for _ in range(10):
        draw_landmarks(image, face(192), graph)
    assert (time.process_time() - started) / 10 < 0.15


def test_shapes_that_are_no_face_are_refused():
    with pytest.raises(ValueError, match=r"\[478, 2\] or \[478, 3\], got \[468, 3\]"):
        draw_landmarks(Image.new("RGB", (10, 10)), np.zeros((468, 3)))
    with pytest.raises(ValueError, match="an image needs the landmarks"):
        graph_figure(build_graph("knn"), image=np.zeros((9, 9, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="missing landmarks"):
        graph_figure(build_graph("knn"), landmarks=np.full((478, 3), np.nan))


@pytest.mark.parametrize(
    "name", ["anatomical", "knn", "regions", pytest.param("full", marks=pytest.mark.slow)]
)
def test_figure_draws_every_edge_upright(name):
    graph = build_graph(name)
    axes = graph_figure(graph).axes[0]
    lines = [collection for collection in axes.collections if isinstance(collection, LineCollection)]
    assert sum(len(collection.get_segments()) for collection in lines) == len(graph.edges)
    assert axes.yaxis_inverted() and not axes.xaxis_inverted()
    assert axes.get_title() == f"{name}: {len(graph.edges):,} edges"
    points = sum(len(c.get_offsets()) for c in axes.collections if not isinstance(c, LineCollection))
    assert points == graph.num_nodes


def test_legend_names_each_kind_of_region_once_with_both_sides():
    figure = graph_figure(build_graph("anatomical"), title="mine")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["oval", "lips", "brow", "eye", "iris", "nose"]
    assert figure.axes[0].get_title() == "mine"
    assert not graph_figure(build_graph("anatomical"), legend=False).legends


def test_figure_on_a_photo_shows_the_face_and_stays_within_the_photo():
    photo = np.zeros((120, 400, 3), dtype=np.uint8)
    points = face(120)
    axes = graph_figure(build_graph("anatomical"), landmarks=points, image=photo).axes[0]
    # The face is about 95 pixels wide, so that its margin reaches beyond the left border, but not the right.
    left, right = axes.get_xlim()
    width = np.ptp(points[:, 0])
    assert left == -0.5 and right == pytest.approx(points[:, 0].max() + 0.4 * width, abs=0.01)
    assert axes.get_ylim() == (119.5, -0.5)
    assert np.array_equal(axes.images[0].get_array(), photo)
    lines = [c for c in axes.collections if isinstance(c, LineCollection)]
    segments = np.concatenate([np.concatenate(c.get_segments()) for c in lines])
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    assert segments.min(axis=0) == pytest.approx(low, abs=1e-3)
    assert segments.max(axis=0) == pytest.approx(high, abs=1e-3)


def test_saved_pictures(tmp_path):
    figure = graph_figure(build_graph("tesselation"))
    save_figure(figure, tmp_path / "new" / "full.png", dpi=80)
    save_figure(figure, tmp_path / "new" / "small.png", dpi=80, few_colours=True)
    save_figure(figure, tmp_path / "new" / "vector.svg", few_colours=True)
    full, small = (Image.open(tmp_path / "new" / f"{name}.png") for name in ("full", "small"))
    assert full.size == small.size
    assert small.mode == "P" and len(small.getcolors()) <= 256
    difference = np.asarray(full.convert("RGB"), float) - np.asarray(small.convert("RGB"), float)
    assert np.abs(difference).mean() < 2
    assert (tmp_path / "new" / "small.png").stat().st_size < (tmp_path / "new" / "full.png").stat().st_size
    assert "<svg" in (tmp_path / "new" / "vector.svg").read_text()
    with pytest.raises(ValueError, match="xyz"):
        save_figure(figure, tmp_path / "new" / "odd.xyz")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "full.png",
        "small.png",
        "vector.svg",
    ]


def test_figures_touch_neither_pyplot_nor_a_display():
    code = (
        "import sys; from landmarkfer.reporting.graph import graph_figure; "
        "from landmarkfer.face.graph import build_graph;"
        "graph_figure(build_graph('anatomical')).savefig('/dev/null', format='png');"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
