"""Pictures of graphs and landmarks, on the canonical face and on photos.

Landmarks are given in pixels of the image they are drawn on: x to the right, y down, origin at the corner of
the image (`geometry.to_pixels`). Without an image and landmarks, the canonical face is drawn: as one sees a
person, with the subject's right on the left of the picture.

Edges within a region take the region's colour (`landmarks.REGION_COLOURS`, darker on the subject's right),
those of a named contour the contour's, all others grey. Figures are made without pyplot, hence without a
display or global state; the callers save or show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS, REGION, REGION_COLOURS, REGIONS
from landmarkfer.files import replacing
from landmarkfer.progress import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

BETWEEN, HUBS = "between regions", "between hubs"
BACKGROUND_COLOURS = {BETWEEN: "#9aa3ad", HUBS: "#4b5563"}
CONTOUR_COLOURS = {"lips": REGION_COLOURS["upper_lip"], "oval": REGION_COLOURS["right_oval"]}
ISOLATED_COLOUR = "#c9ced6"
NODE_COLOURS = tuple(REGION_COLOURS[region] for region in REGIONS)

# Long edges first, so that the small regions stay on top of them.
_ORDER = (BETWEEN, HUBS, "oval", "right_oval", "left_oval", *dict.fromkeys(("lips", *REGIONS)))
# Edges across the face are a background to those within regions: from DENSE on a faint one; but as few as
# this, they are what somebody wants to see.
DENSE, FEW = 20_000, 200


@dataclass(frozen=True)
class EdgeGroup:
    """Edges drawn in one colour: `edges [G, 2]` with the label they have in a legend."""

    label: str
    colour: str
    edges: NDArray[np.int64]

    @property
    def background(self) -> bool:
        """Whether these are the thin lines under the rest."""
        return self.label == HUBS or (self.label == BETWEEN and len(self.edges) >= FEW)


def edge_groups(graph: FaceGraph) -> list[EdgeGroup]:
    """The undirected edges by colour, in the order in which they are to be drawn."""
    colours = {**BACKGROUND_COLOURS, **CONTOUR_COLOURS, **REGION_COLOURS}
    regions = graph.node_region[graph.edges]
    between = np.where(graph.edges.min(axis=1, initial=N_LANDMARKS) < N_LANDMARKS, BETWEEN, HUBS)
    labels = np.where(regions[:, 0] == regions[:, 1], np.array(REGIONS)[regions[:, 0]], between)
    for index, kind in enumerate(graph.kinds):
        if kind in colours:
            labels[graph.undirected_kind == index] = kind
    if np.count_nonzero(labels == BETWEEN) < FEW:
        colours[BETWEEN] = BACKGROUND_COLOURS[HUBS]
    return [
        EdgeGroup(label, colours[label], graph.edges[labels == label])
        for label in dict.fromkeys(_ORDER)
        if np.any(labels == label)
    ]


def node_colours(graph: FaceGraph) -> list[str]:
    """The colour of each node: that of its region, or pale if it has no edge."""
    linked = np.isin(np.arange(graph.num_nodes), graph.edge_index[0])
    return [
        NODE_COLOURS[region] if has_edge else ISOLATED_COLOUR
        for region, has_edge in zip(graph.node_region.tolist(), linked.tolist(), strict=True)
    ]


def draw_landmarks(
    image: "Image.Image | ArrayLike",
    landmarks: ArrayLike,
    graph: FaceGraph | None = None,
    *,
    line_width: float = 1.0,
    point_size: float = 2.0,
) -> "Image.Image":
    """A copy of an image with landmarks and edges on it, smooth, and fast enough for a contact sheet.

    Args:
        image: a PIL image, or an array `[H, W]` or `[H, W, 3]` of uint8.
        landmarks: `[478, 2]` or `[478, 3]` in pixels; a face that is missing (NaN) leaves the image as it is.
        graph: its edges are drawn under the points; points without an edge are left out.
        line_width: of the edges, in pixels; 0 draws none.
        point_size: diameter of the points, in pixels; 0 draws none.

    Returns:
        An RGB image of the same size.

    Raises:
        ValueError: The landmarks are not `[478, 2]` or `[478, 3]`.
    """
    from PIL import Image, ImageDraw

    picture = (image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))).convert("RGB")
    points = _plane(landmarks)
    if not np.isfinite(points).all():
        return picture.copy()
    shown = np.arange(N_LANDMARKS)
    if graph is not None:
        points = graph.place(points)
        shown = np.unique(graph.edge_index[0])
    # Drawn enlarged on the part of the image that the face covers, then reduced: PIL draws no smooth lines.
    margin = max(line_width, point_size) + 1
    low = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + margin), picture.size).astype(int)
    if np.any(high <= low):
        return picture.copy()
    width, height = (high - low).tolist()
    zoom = 4 if max(width, height) <= 512 else 2 if max(width, height) <= 2048 else 1
    box = (*low.tolist(), *high.tolist())
    canvas = picture.crop(box).resize((width * zoom, height * zoom), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    placed = (points - low) * zoom
    if graph is not None and line_width > 0:
        for group in edge_groups(graph):
            for start, end in placed[group.edges].tolist():
                pen.line([*start, *end], fill=group.colour, width=max(1, round(line_width * zoom)))
    if point_size > 0:
        regions = graph.node_region if graph is not None else REGION
        radius = point_size * zoom / 2
        for node in shown.tolist():
            x, y = placed[node].tolist()
            pen.ellipse(
                [x - radius, y - radius, x + radius, y + radius], fill=NODE_COLOURS[int(regions[node])]
            )
    result = picture.copy()
    result.paste(canvas.reduce(zoom) if zoom > 1 else canvas, box[:2])
    return result


def graph_figure(
    graph: FaceGraph,
    *,
    landmarks: ArrayLike | None = None,
    image: "Image.Image | ArrayLike | None" = None,
    title: str | None = None,
    legend: bool = True,
) -> "Figure":
    """A graph on the canonical face, on given landmarks, or on a photo, as a matplotlib figure.

    Args:
        graph: points without an edge are drawn pale, hubs as large discs in the middle of their region.
        landmarks: `[478, 2]` or `[478, 3]`, in pixels where an image is given; the canonical face if None.
        image: background; the picture shows the part of it around the face.
        title: by default the name of the graph and its number of edges.
        legend: whether the colours are explained beside the face.

    Raises:
        ValueError: An image is given without landmarks, or the landmarks are missing or of another shape.
    """
    from matplotlib.figure import Figure

    if image is not None and landmarks is None:
        raise ValueError("an image needs the landmarks of its face, in pixels")
    points = _plane(CANONICAL if landmarks is None else landmarks)
    if not np.isfinite(points).all():
        raise ValueError("the face has missing landmarks, so nothing can be drawn")
    figure = Figure(figsize=(7.6 if legend else 5.8, 6.4), layout="constrained")
    axes = figure.add_subplot()
    if image is not None:
        pixels = np.asarray(image)
        axes.imshow(pixels, cmap="gray" if pixels.ndim == 2 else None, interpolation="hanning")
    _draw_graph(axes, graph, graph.place(points), on_photo=image is not None)
    if image is None:
        _mark_sides(axes)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title if title is not None else f"{graph.name}: {counted(len(graph.edges), 'edge')}")
    if legend:
        _add_legend(figure, edge_groups(graph))
    return figure


def save_figure(figure: "Figure", path: Path, *, dpi: int = 110, few_colours: bool = False) -> None:
    """Saves a matplotlib figure whole or not at all; the suffix gives the format (.png, .pdf, .svg ...).

    Args:
        figure: for example from `graph_figure`.
        path: parent folders are made.
        dpi: pixels per inch.
        few_colours: stores a PNG with 256 colours, at a third of the size; for drawings, not photos.

    Raises:
        ValueError: matplotlib does not know the format.
    """
    from PIL import Image

    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, facecolor="white")
        if few_colours and path.suffix.lower() == ".png":
            with Image.open(partial) as picture:
                small = picture.convert("RGB").quantize(
                    256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
                )
            small.save(partial, optimize=True)


def _plane(landmarks: ArrayLike) -> NDArray[np.float64]:
    """The columns x and y, `[478, 2]`, of landmarks `[478, 2]` or `[478, 3]`."""
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape not in ((N_LANDMARKS, 2), (N_LANDMARKS, 3)):
        raise ValueError(
            f"landmarks must be [{N_LANDMARKS}, 2] or [{N_LANDMARKS}, 3], got {list(points.shape)}"
        )
    return points[:, :2]


def _draw_graph(axes: "Axes", graph: FaceGraph, points: NDArray[np.float64], *, on_photo: bool) -> None:
    """Edges, points and hubs of a graph whose nodes lie at `points [N, 2]`."""
    from matplotlib.collections import LineCollection

    room = float(np.clip(2000 / max(len(graph.edges), 1), 0.0, 1.0))
    for order, group in enumerate(edge_groups(graph)):
        dense = len(group.edges) > DENSE
        width = 0.5 + 0.3 * on_photo if group.background else 0.35 + 0.95 * room + 0.3 * on_photo
        alpha = 0.8 if group.background else 0.35 + 0.6 * room
        axes.add_collection(
            LineCollection(
                list(points[group.edges]),
                colors="#d9dde3" if dense else group.colour,
                linewidths=width,
                alpha=0.02 if dense else alpha,
                zorder=2 + 0.01 * order,
            )
        )
    linked = np.isin(np.arange(graph.num_nodes), graph.edge_index[0])
    colours = np.array(node_colours(graph))
    mesh = np.arange(graph.num_nodes) < N_LANDMARKS
    shown = mesh & linked if on_photo else mesh
    x, y = points.T
    axes.scatter(x[shown], y[shown], s=5, c=colours[shown], linewidths=0, zorder=4)
    if graph.num_hubs:
        hubs = axes.scatter(x[~mesh], y[~mesh], s=52, c=colours[~mesh], edgecolors="white", linewidths=1.0)
        hubs.set_zorder(5)
    pad = (0.4 if on_photo else 0.04) * float(np.ptp(x))
    left, right, top, bottom = x.min() - pad, x.max() + pad, y.min() - pad, y.max() + pad
    if on_photo:
        (first, last), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        left, right, top, bottom = max(left, first), min(right, last), max(top, low), min(bottom, high)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _mark_sides(axes: "Axes") -> None:
    for x, align, text in ((0.0, "left", "subject's right"), (1.0, "right", "subject's left")):
        axes.text(x, 0.0, text, ha=align, va="bottom", transform=axes.transAxes, fontsize=8, color="#6b7280")


def _add_legend(figure: "Figure", groups: Sequence[EdgeGroup]) -> None:
    """One entry per kind of region: the right and the left one share it, with both colours."""
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    entries: dict[str, list[Line2D]] = {}
    for group in groups:
        side, _, rest = group.label.partition("_")
        label = rest if side in ("right", "left") else group.label
        line = Line2D([], [], color=group.colour, linewidth=1 if group.background else 2.5)
        entries.setdefault(label.replace("_", " "), []).append(line)
    handles: list[Any] = [tuple(lines) for lines in entries.values()]
    figure.legend(
        handles,
        list(entries),
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.3)},
        loc="outside right center",
        frameon=False,
        fontsize=8,
        handlelength=2.6,
        title="right · left" if any(len(lines) > 1 for lines in entries.values()) else None,
        title_fontsize=8,
    )
