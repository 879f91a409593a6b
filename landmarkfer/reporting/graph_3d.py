"""Graphs in three dimensions, to be turned with the mouse in a browser or a notebook (plotly).

Landmarks keep MediaPipe's axes: x to the image right, y down, z negative toward the camera, all in one unit.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS, REGIONS
from landmarkfer.progress import counted
from landmarkfer.reporting.graph import DENSE, edge_groups, node_colours

if TYPE_CHECKING:
    import plotly.graph_objects as go


def graph_figure_3d(
    graph: FaceGraph, *, landmarks: ArrayLike | None = None, title: str | None = None
) -> "go.Figure":
    """A graph in three dimensions, to be turned with the mouse, as a plotly figure.

    Each colour can be switched on and off in the legend; a point shows its index and region. With
    `figure.write_html(path, include_plotlyjs=True)` the page needs no network.

    Args:
        graph: edges and hubs.
        landmarks: `[478, 3]`; the canonical face if None.
        title: by default the name of the graph and its number of edges.

    Raises:
        ValueError: The landmarks are missing or not `[478, 3]`.
    """
    import plotly.graph_objects as go

    points = np.asarray(CANONICAL if landmarks is None else landmarks, dtype=np.float64)
    if points.shape != (N_LANDMARKS, 3) or not np.isfinite(points).all():
        raise ValueError(f"landmarks must be [{N_LANDMARKS}, 3] without gaps, got {list(points.shape)}")
    # Plotly's up is z, and the camera looks along y: right, away from the camera, up.
    x, y, z = (graph.place(points) * (1, -1, 1))[:, [0, 2, 1]].T
    figure = go.Figure()
    for group in edge_groups(graph):
        ends = np.append(group.edges, np.full((len(group.edges), 1), -1), axis=1).reshape(-1)
        lines = [np.where(ends < 0, np.nan, axis[ends]).astype(np.float32) for axis in (x, y, z)]
        faint = 0.02 if len(group.edges) > DENSE else 0.5
        figure.add_scatter3d(
            **dict(zip("xyz", lines, strict=True)),
            mode="lines",
            name=group.label.replace("_", " "),
            line={"color": group.colour, "width": 1 if group.background else 3},
            opacity=faint if group.background else 1.0,
            hoverinfo="skip",
            connectgaps=False,
        )
    hub = np.arange(graph.num_nodes) >= N_LANDMARKS
    texts = [
        f"{'hub of ' if hub[node] else f'{node} · '}{REGIONS[region].replace('_', ' ')}"
        for node, region in enumerate(graph.node_region.tolist())
    ]
    figure.add_scatter3d(
        x=x,
        y=y,
        z=z,
        mode="markers",
        name="landmarks",
        marker={"size": np.where(hub, 7, 2.5).tolist(), "color": node_colours(graph)},
        text=texts,
        hoverinfo="text",
    )
    hidden = {"visible": False}
    figure.update_layout(
        title=title if title is not None else f"{graph.name}: {counted(len(graph.edges), 'edge')}",
        template="plotly_white",
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        scene={
            **{"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
            "camera": {"eye": {"x": 0.35, "y": -1.6, "z": 0.15}, "up": {"x": 0, "y": 0, "z": 1}},
        },
    )
    return figure
