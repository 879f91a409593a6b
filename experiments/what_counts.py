"""Contributions of points and edges to each expression: a picture and a table.

Reads a trained graph network and the cache that it was trained on:

    python experiments/what_counts.py fer2013-gnn-7-s0

and writes to `experiments/results`

- `what-counts.png`: above, what the points contribute to the log odds of each expression, averaged over its
  correctly predicted test faces and their mirror images (gradient times feature, smoothed over
  neighbours); below, what the messages along the edges contribute (gradient times message, over all blocks);
- `what-counts.csv`: the points' share by facial region (absolute contributions, per cent).
"""

from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.evaluation.opened import Opened, open_run
from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.landmarks import CANONICAL, MIRROR, N_LANDMARKS, REGION, REGIONS
from landmarkfer.models.convs import mean_aggregation
from landmarkfer.models.gnn import GNN
from landmarkfer.reporting.graph import save_figure
from landmarkfer.runs.folder import find_run

RESULTS = Path("experiments/results")
SHOWN_EDGES = 120
FACES = 400
BATCH = 50


class Recorded:
    """An aggregation that remembers what went in, and of what came out the gradient."""

    def __init__(self, aggregate: Any) -> None:
        self.aggregate = aggregate
        self.x: Tensor | None = None
        self.out: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """As the aggregation itself."""
        self.x, self.out = x, self.aggregate(x)
        self.out.retain_grad()
        return self.out


def contributions(
    model: GNN, opened: Opened, label: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Of points `[478]` and edges `[E]` to the log odds of a class: means over correctly predicted faces."""
    faces = opened.dataset.faces
    assert faces.labels is not None
    test = opened.dataset.frame["id"].isin(opened.run.read_splits()["test"]).to_numpy(copy=True)
    rows = torch.from_numpy(test) & faces.has_face & (faces.labels == label)
    rows = rows.nonzero()[:, 0]
    records = []
    for block in model.blocks:
        block.conv.aggregate = Recorded(block.conv.aggregate)
        records.append(block.conv.aggregate)
    edges = torch.from_numpy(model.face_graph.edge_index.copy())
    weight = 1 / torch.bincount(edges[1], minlength=model.face_graph.num_nodes)[edges[1]]
    points, messages, count = torch.zeros(N_LANDMARKS), torch.zeros(edges.shape[1]), 0
    for some in rows[:FACES].split(BATCH):
        landmarks = faces.landmarks[some]
        landmarks = torch.cat([landmarks, mirror_landmarks(landmarks)])
        described = model.describe(landmarks).detach().requires_grad_()
        x = model.nodes(described)
        for block in model.blocks:
            x = block(x, None)
        logits = model.classify(model.layers(model.readout(x)))
        right = logits.argmax(dim=1) == label
        others = logits[:, [c for c in range(model.num_classes) if c != label]]
        (logits[:, label] - others.logsumexp(dim=1))[right].sum().backward()
        assert described.grad is not None
        points += (described.grad * described.detach()).sum(dim=2)[right].sum(dim=0)
        for record in records:
            assert record.x is not None and record.out is not None and record.out.grad is not None
            source, target = record.x.detach()[edges[0]], record.out.grad[edges[1]]
            messages += weight * (source * target)[:, right].sum(dim=(1, 2))
        count += int(right.sum())
    for block, record in zip(model.blocks, records, strict=True):
        block.conv.aggregate = record.aggregate
    points = (points + points[torch.from_numpy(MIRROR.copy())]) / 2
    return points.numpy() / max(count, 1), messages.numpy() / max(count, 1), count // 2


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each point and its neighbours on the mesh: single points are noisy."""
    mean = mean_aggregation(build_graph("tesselation"))
    x = torch.from_numpy(values).float()[:, None, None]
    return ((x + mean(x)) / 2)[:, 0, 0].numpy()


def undirected(graph: FaceGraph, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both directions of each edge together, in the order of `graph.edges`."""
    number = {tuple(edge): i for i, edge in enumerate(graph.edges.tolist())}
    total = np.zeros(len(graph.edges))
    for (a, b), value in zip(graph.edge_index.T.tolist(), values, strict=True):
        total[number[min(a, b), max(a, b)]] += value
    return total


def draw_counts(
    path: Path, graph: FaceGraph, classes: tuple[str, ...], found: list[tuple[NDArray, NDArray, int]]
) -> None:
    """Points above, edges below, an expression in each column."""
    figure = Figure(figsize=(2.3 * len(classes), 5.6), layout="constrained")
    panels = figure.subplots(2, len(classes), squeeze=False)
    xy = CANONICAL[:, :2]
    mesh = Triangulation(*xy.T)
    for column, (name, (points, messages, count)) in enumerate(zip(classes, found, strict=True)):
        values = smoothed(points)
        limit = np.quantile(np.abs(values), 0.995) or 1.0
        upper, lower = panels[:, column]
        upper.tripcolor(mesh, values, shading="gouraud", cmap="RdBu_r", vmin=-limit, vmax=limit)
        upper.set_title(f"{name} ({count})", fontsize=11)
        edges = undirected(graph, messages)
        lower.add_collection(LineCollection(list(xy[graph.edges]), colors="#d9dde3", linewidths=0.4))
        top = np.argsort(-np.abs(edges))[:SHOWN_EDGES]
        size = np.abs(edges[top]) / np.abs(edges).max()
        colours = np.where(edges[top] > 0, "#b2182b", "#2166ac")
        lower.add_collection(
            LineCollection(list(xy[graph.edges[top]]), colors=colours, linewidths=0.5 + 3 * size)
        )
        for axes in (upper, lower):
            axes.triplot(mesh, linewidth=0) if axes is upper else axes.autoscale_view()
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.set_axis_off()
    figure.supxlabel(
        "Red speaks for the expression, blue against it. Above: what the points do; below: the messages along"
        f" the {SHOWN_EDGES} edges that count most. In brackets: how many of at most {FACES} test faces were "
        "predicted correctly.",
        fontsize=9,
    )
    save_figure(figure, path, dpi=110)


@click.command()
@click.argument("run")
def main(run: str) -> None:
    """Draw the contributions of points and edges in RUN, a graph network of sage layers."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    opened = open_run(find_run(run))
    model = opened.trained.model
    if not isinstance(model, GNN) or model.dynamic_k or not hasattr(model.blocks[0].conv, "lin_l"):
        raise click.ClickException(f"{run} is no graph network of sage layers on a fixed graph.")
    found = []
    table = pd.DataFrame({"region": REGIONS})
    for label, name in enumerate(opened.dataset.classes):
        found.append(contributions(model, opened, label))
        share = np.bincount(REGION, np.abs(found[-1][0]), minlength=len(REGIONS))
        table[name] = (100 * share / share.sum()).round(2)
        click.echo(f"{name}: {', '.join(table.sort_values(name, ascending=False)['region'][:4])}")
    draw_counts(RESULTS / "what-counts.png", model.face_graph, opened.dataset.classes, found)
    table.to_csv(RESULTS / "what-counts.csv", index=False)


if __name__ == "__main__":
    main()
