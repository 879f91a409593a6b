"""The picture of an explanation: what speaks for a label and against it, where, and whether to believe it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.inference.explain.classes import ClassMeans
from landmarkfer.inference.explain.explanation import Explanation
from landmarkfer.inference.explain.faithfulness import Check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOR, AGAINST = "#b2182b", "#2166ac"
"""Colours of what speaks for a class, and against it."""
_MAP = "RdBu_r"
_SHOWN_REGIONS = 10
_SHOWN_EDGES = 120
_FINE = 300  # steps of a side of the face
_MARGIN = 0.35  # of a face's size, around it


def explanation_figure(explanation: Explanation) -> "Figure":
    """An explanation: the maps on the face and on the mesh, the regions, the branches, and the checks.

    Args:
        explanation: Of one face.
    """
    from matplotlib.figure import Figure

    panels = _panels(explanation)
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.1 * columns, 4.0 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one, draw in zip(axes, panels, strict=False):
        draw(one, explanation)
    for one in axes[len(panels) :]:
        one.set_axis_off()
    face = explanation.face
    asked = "" if face.label == explanation.label else f", explained: {explanation.label}"
    figure.suptitle(f"{face.caption}{asked}   ({explanation.model})", fontsize=13)
    verdict = "\n".join(explanation.sentences) or "not checked"
    figure.supxlabel(verdict, fontsize=9, color="#333333" if explanation.faithful else FOR, wrap=True)
    return figure


def class_means_figure(means: ClassMeans) -> "Figure":
    """Mean contributions of points for each class, and of edges below where there are some."""
    from matplotlib.figure import Figure

    rows = 1 if means.edges is None else 2
    figure = Figure(figsize=(2.4 * len(means.classes), 3.0 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, len(means.classes), squeeze=False)
    for column, (name, count) in enumerate(zip(means.classes, means.faces, strict=True)):
        draw_map(panels[0, column], CANONICAL[:, :2], means.points[column], 1.0)
        panels[0, column].set_title(f"{name} ({count})", fontsize=11)
        if means.edges is not None and means.graph is not None:
            draw_edges(panels[1, column], means.graph, means.edges[column])
    below = f"; below: messages along the {_SHOWN_EDGES} strongest edges" if rows > 1 else ""
    figure.supxlabel(
        f"{means.model}: red speaks for the expression, blue against it{below}. In brackets: correctly "
        "predicted faces, over which contributions are averaged.",
        fontsize=9,
    )
    return figure


def _panels(explanation: Explanation) -> list:
    panels = []
    if explanation.points is not None:
        panels += [_draw_on_face, _draw_on_mesh]
    if explanation.pixels is not None:
        panels.append(_draw_pixels)
    if explanation.points is not None:
        panels.append(_draw_regions)
    if explanation.edges is not None:
        panels.append(_draw_edges)
    if explanation.branches:
        panels.append(_draw_branches)
    if explanation.checks:
        panels.append(_draw_checks)
    return panels


def draw_map(axes: "Axes", points: NDArray[np.floating], values: NDArray[np.floating], alpha: float) -> None:
    """Contributions of points, `[478]`, as a surface over the mesh at `points [478, 2]`.

    The colours end at the 99th percentile, so that a single point does not make all others pale.
    """
    from matplotlib.tri import LinearTriInterpolator, Triangulation

    limit = float(np.quantile(np.abs(values), 0.99)) or 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    # As an image, since triangles that are drawn with transparency show their edges.
    grid = np.meshgrid(*(np.linspace(a, b, _FINE) for a, b in zip(low, high, strict=True)))
    surface = LinearTriInterpolator(Triangulation(points[:, 0], points[:, 1]), values)(*grid)
    extent = (low[0], high[0], high[1], low[1])
    axes.imshow(
        surface, extent=extent, cmap=_MAP, vmin=-limit, vmax=limit, alpha=alpha, interpolation="bilinear"
    )
    axes.set_aspect("equal")
    axes.set_axis_off()


def _draw_on_face(axes: "Axes", explanation: Explanation) -> None:
    face, photo = explanation.face, explanation.photo
    assert face.landmarks is not None and face.size is not None and explanation.points is not None
    xy = face.landmarks[:, :2] * np.array(face.size)
    if photo is not None:
        axes.imshow(photo, cmap="gray" if photo.ndim == 2 else None, interpolation="hanning")
    draw_map(axes, xy, explanation.points, 0.55 if photo is not None else 1.0)
    low, high = xy.min(axis=0), xy.max(axis=0)
    margin = _MARGIN * float((high - low).max())
    first, last = np.maximum(low - margin, 0), np.minimum(high + margin, np.array(face.size))
    axes.set_xlim(first[0], last[0])
    axes.set_ylim(last[1], first[1])
    axes.set_title("points, on the face")


def _draw_on_mesh(axes: "Axes", explanation: Explanation) -> None:
    assert explanation.points is not None
    draw_map(axes, CANONICAL[:, :2], explanation.points, 1.0)
    axes.set_title(f"points: red for {explanation.label}, blue against")


def _draw_pixels(axes: "Axes", explanation: Explanation) -> None:
    assert explanation.pixels is not None and explanation.image is not None
    image, pixels = explanation.image, explanation.pixels
    axes.imshow(image, cmap="gray" if image.ndim == 2 else None)
    axes.imshow(pixels, cmap="Reds", alpha=0.65 * pixels / (pixels.max() or 1.0))
    axes.set_axis_off()
    axes.set_title("pixels (Grad-CAM)")


def _draw_regions(axes: "Axes", explanation: Explanation) -> None:
    shown = list(explanation.regions.items())[:_SHOWN_REGIONS][::-1]
    names = [name.replace("_", " ") for name, _ in shown]
    values = [value for _, value in shown]
    axes.barh(names, values, color=[FOR if value > 0 else AGAINST for value in values])
    _bare(axes, "regions: log-odds that they add")


def _draw_edges(axes: "Axes", explanation: Explanation) -> None:
    assert explanation.graph is not None and explanation.edges is not None
    draw_edges(axes, explanation.graph, explanation.edges)
    axes.set_title(f"messages along the {_SHOWN_EDGES} strongest edges")


def draw_edges(axes: "Axes", graph: FaceGraph, values: NDArray[np.floating]) -> None:
    """Contributions of edges on the canonical face, the strongest in colour."""
    from matplotlib.collections import LineCollection

    xy = graph.place(CANONICAL[:, :2])
    axes.add_collection(LineCollection(list(xy[graph.edges]), colors="#d9dde3", linewidths=0.4))
    top = np.argsort(-np.abs(values))[:_SHOWN_EDGES][::-1]
    size = np.abs(values[top]) / (np.abs(values).max() or 1.0)
    colours = [FOR if value > 0 else AGAINST for value in values[top]]
    axes.add_collection(LineCollection(list(xy[graph.edges[top]]), colors=colours, linewidths=0.5 + 3 * size))
    axes.scatter(xy[:N_LANDMARKS, 0], xy[:N_LANDMARKS, 1], s=1, c="#9aa3ad")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_axis_off()


def _draw_branches(axes: "Axes", explanation: Explanation) -> None:
    names = ["neither", "pixels", "landmarks"]
    values = [explanation.branches[name] for name in names]
    shown = [*names, "together"][::-1]
    each = [*values, sum(values)][::-1]
    axes.barh(shown, each, color=[FOR if value > 0 else AGAINST for value in each])
    for place, value in enumerate(each):
        axes.annotate(f"{value:+.2f}", (value, place), ha="left" if value >= 0 else "right", va="center")
    axes.margins(x=0.2)
    _bare(axes, "branches: log-odds that they add")


def _draw_checks(axes: "Axes", explanation: Explanation) -> None:
    styles = {"points": "-", "pixels": "--"}
    for name, check in explanation.checks.items():
        _draw_check(axes, check, name, styles[name], band=name == next(iter(explanation.checks)))
    axes.set_ylim(0, 1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share deleted, or inserted")
    axes.set_ylabel(f"probability of {explanation.label}")
    axes.set_title("deletion and insertion against random")
    axes.legend(fontsize=7, frameon=False, loc="best")


def _draw_check(axes: "Axes", check: Check, name: str, style: str, *, band: bool) -> None:
    share = np.linspace(0, 1, len(check.deletion))
    for curve, chance, colour, verb in (
        (check.deletion, check.random_deletion, AGAINST, "deleted"),
        (check.insertion, check.random_insertion, FOR, "inserted"),
    ):
        axes.plot(share, curve, style, color=colour, label=f"{name} {verb}")
        if band:
            low, high = np.quantile(chance, [0.05, 0.95], axis=0)
            axes.fill_between(share, low, high, color=colour, alpha=0.15, linewidth=0, label="at random")


def _bare(axes: "Axes", title: str) -> None:
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.set_title(title)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
