"""What a graph network costs: the published way, PyTorch Geometric's usual way, ours, and the floor.

    python experiments/bench/gnn.py

measures, on random faces,

- published: the widths of the published GCN (128-256-384-256-128 on the 157 anatomical edges, mean read-out);
- own: the network of `experiments/recipes/fer2013-gnn-7.toml`, as of `landmarkfer train --model gnn`;
- layers: one layer of width 64 on the tesselation, ours against PyTorch Geometric's;
- kernels: the sparse against the dense product over more and more edges;
- growth: the sum over neighbours on random graphs of more and more nodes, ours against PyTorch Geometric's.

The ways, of the first two:

- published implementation: a dense adjacency, made and normalised anew for each sample in each layer; written
  anew here from the description of the published system, to have its cost;
- PyTorch Geometric: its layers, `Data` objects and `DataLoader`, the batch as one graph of B components; also
  with the memory that it frees kept in the process, which landmarkfer's training does (`training.memory`);
- landmarkfer: one matrix for all samples, memory kept; also compiled, and in bfloat16;
- floor: the matrix products of the linear maps alone, forward and both gradients.

A step is feeding, forward, backward and AdamW. Ratios are to PyTorch Geometric in the same run. The same file
runs on a GPU, where the time of an epoch of FER2013 is printed too. Memory is that of a process of its own
for each variant (of the device, on a GPU). Linux only (`/proc`).
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import torch
from _bench import Rows, measure_apart, memory_mb, write_page
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from landmarkfer.config.recipes import load_settings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.models import build_model
from landmarkfer.models.convs import (
    PYG_LAYERS,
    STATIC_LAYERS,
    Aggregation,
    PyGLayer,
    build_conv,
)
from landmarkfer.training.memory import keep_freed_memory

RESULTS = Path("experiments/results")
RECIPE = Path("experiments/recipes/fer2013-gnn-7.toml")
PUBLISHED: dict[str, Any] = {
    "graph": "anatomical",
    "conv": "gcn",
    "widths": [128, 256, 384, 256, 128],
    "features": "coordinates",
    "identity": 0,
    "lift": False,
    "residual": False,
    "readout": "mean",
    "hidden": [64],
}
KEPT = "PyTorch Geometric, memory kept"
CLASSES = 7
FER2013_TRAIN = 25_860


class DenseGCN(nn.Module):
    """The published implementation's cost: per sample and layer, a dense adjacency is made and normalised."""

    def __init__(self, widths: Sequence[int], graph: FaceGraph) -> None:
        super().__init__()
        self.edge_index = torch.from_numpy(graph.edge_index.copy())
        sizes = [3, *widths]
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(b) for b in widths)
        self.head = nn.Sequential(nn.Linear(widths[-1], 64), nn.ReLU(), nn.Linear(64, CLASSES))

    def forward(self, batch: FaceBatch) -> Tensor:
        """Logits `[B, C]`."""
        x = batch.landmarks  # [B, 478, 3]
        source, target = self.edge_index.to(x.device)
        for linear, norm in zip(self.linear, self.norms, strict=True):
            parts = []
            for sample in x:
                adjacency = torch.eye(N_LANDMARKS, device=x.device)
                adjacency[target, source] = 1
                scale = adjacency.sum(dim=1).rsqrt()
                parts.append(linear(scale[:, None] * adjacency * scale @ sample))
            x = norm(torch.stack(parts).transpose(1, 2)).transpose(1, 2).relu()
        return self.head(x.mean(dim=1))


class UsualNetwork(nn.Module):
    """A network of ours with PyTorch Geometric's own layers, on its batches."""

    def __init__(self, keywords: dict[str, Any]) -> None:
        super().__init__()
        self.model = build_model("gnn", CLASSES, **keywords)
        name = keywords["conv"]
        for block in self.model.blocks:
            own = block.conv.state_dict()
            fan_in, fan_out = _widths(block.conv)
            block.conv = PYG_LAYERS[name](fan_in, fan_out)
            block.conv.load_state_dict(own)

    def forward(self, data: Data) -> Tensor:
        """Logits `[B, C]`, from nodes sample by sample, `x [B * N, F]`."""
        model, size = self.model, data.num_graphs
        x = model.describe(data.x.view(size, N_LANDMARKS, 3)).flatten(0, 1)
        if model.identity is not None:
            x = torch.cat([x, model.identity[:, 0].repeat(size, 1)], dim=1)
        x = model.input(x)
        for block in model.blocks:
            mixed = block.conv(x, data.edge_index)
            mixed = block.norm(mixed).relu()
            x = mixed if block.shortcut is None else block.shortcut(x) + mixed
        if isinstance(model.readout, _mean_readout()):
            pooled = pyg.global_mean_pool(x, data.batch)
        else:
            pooled = model.readout(x.view(size, N_LANDMARKS, -1).transpose(0, 1))
        return model.head(model.layers(model.dropout(pooled)))


def _mean_readout() -> type[nn.Module]:
    from landmarkfer.models.readout import MeanReadout

    return MeanReadout


def _widths(conv: nn.Module) -> tuple[int, int]:
    linear = next(module for module in conv.modules() if isinstance(module, nn.Linear))
    return linear.in_features, linear.out_features


def faces(count: int, device: str) -> FaceBatch:
    """Random landmarks."""
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.randn(count, N_LANDMARKS, 3, generator=generator)
    there = torch.ones(count, dtype=torch.bool)
    return FaceBatch(landmarks, there, labels=torch.arange(count) % CLASSES).to(device)


def step_of(
    way: str, keywords: dict[str, Any], batch: int, device: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step and a forward pass, each with the feeding of its batch."""
    torch.manual_seed(0)
    graph = build_graph(keywords["graph"])
    data = faces(batch, device)
    rows = torch.arange(batch, device=device)
    half = way.endswith("bfloat16")
    if way.startswith("PyTorch Geometric"):
        model: nn.Module = UsualNetwork(keywords)
        edges = torch.from_numpy(graph.edge_index.copy())
        graphs = [
            Data(x=points, edge_index=edges, y=label)
            for points, label in zip(data.landmarks.cpu(), data.labels.cpu(), strict=True)
        ]
        loader = DataLoader(graphs, batch_size=batch)
        feed: Callable[[], Any] = lambda: next(iter(loader)).to(device)  # noqa: E731
    else:
        own = build_model("gnn", CLASSES, **keywords)
        model = DenseGCN(keywords["widths"], graph) if way == "published implementation" else own
        feed = lambda: data.rows(rows)  # noqa: E731
    model.to(device).train(batch > 1)  # batch norm has no statistics of one face
    if "compiled" in way:
        model.compile()
    optimiser = torch.optim.AdamW(model.parameters())

    def forward() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            return model(feed()).float()

    def step() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(forward(), data.labels).backward()
        optimiser.step()

    return step, torch.no_grad()(forward)


def floor_of(
    keywords: dict[str, Any], batch: int, device: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """The matrix products of a network's linear maps: forward alone, and with both gradients."""
    model = build_model("gnn", CLASSES, **keywords)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    per_face = {id(module) for module in [*model.layers.modules(), model.head]}
    work = []
    for module in linear:
        rows = batch if id(module) in per_face else batch * N_LANDMARKS
        x = torch.randn(rows, module.in_features, device=device)
        grad = torch.randn(rows, module.out_features, device=device)
        work.append((x, grad, module.weight.detach().to(device)))

    def forward() -> None:
        for x, _, weight in work:
            x @ weight.T

    def step() -> None:
        forward()
        for number, (x, grad, weight) in enumerate(work):
            grad.T @ x
            if number:
                grad @ weight

    return step, forward


def timed(work: Callable[[], object], repeats: int, device: str) -> float:
    """Median seconds of one call, after one more."""
    seconds = []
    for _ in range(repeats + 1):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def measure(
    way: str,
    keywords: dict[str, Any],
    batch: int,
    device: str,
    threads: int,
    repeats: int,
) -> dict[str, float]:
    """The seconds of a step and of a forward pass, and the memory of the step."""
    torch.set_num_threads(threads)
    keep = nullcontext() if way in ("PyTorch Geometric", "published implementation") else keep_freed_memory()
    with keep:
        return _figures(way, keywords, batch, device, repeats)


def _figures(way: str, keywords: dict[str, Any], batch: int, device: str, repeats: int) -> dict[str, float]:
    step, forward = (floor_of if way == "floor" else lambda *a: step_of(way, *a))(keywords, batch, device)
    held = memory_mb(os.getpid())
    figures = {"step": timed(step, repeats, device)}
    used = (
        torch.cuda.max_memory_allocated() / 1e6
        if device == "cuda"
        else memory_mb(os.getpid(), "VmHWM") - held
    )
    return figures | {"memory_mb": max(0.0, used), "forward": timed(forward, repeats, device)}


def measure_networks(
    bench: str, keywords: dict[str, Any], batches: Sequence[int], device: str, threads: int, repeats: int
) -> Rows:
    """All ways side by side, at each batch size."""
    ways = ["PyTorch Geometric", "landmarkfer", "landmarkfer, compiled", "landmarkfer, bfloat16", "floor"]
    ways.insert(*((4, "landmarkfer, compiled, bfloat16") if device == "cuda" else (1, KEPT)))
    if bench == "published":
        ways.insert(0, "published implementation")
    rows: Rows = []
    for batch in batches:
        found: dict[str, dict[str, float]] = {}
        for way in ways:
            # Minutes a step, and no faster a sample, in large batches.
            if way == "published implementation" and batch > 128 and device == "cpu":
                continue
            slow = way == "published implementation" and batch > 32
            found[way] = measure_apart(measure, way, keywords, batch, device, threads, 1 if slow else repeats)
            figures = {
                "graphs_per_second": batch / found[way]["step"],
                "step_ms": 1000 * found[way]["step"],
                "forward_ms": 1000 * found[way]["forward"],
                "memory_mb": found[way]["memory_mb"],
            }
            if device == "cuda":
                figures["epoch_seconds"] = FER2013_TRAIN / batch * found[way]["step"]
            if "PyTorch Geometric" in found:
                figures["step_ratio"] = found["PyTorch Geometric"]["step"] / found[way]["step"]
            rows += [(bench, way, device, batch, metric, value) for metric, value in figures.items()]
            click.echo(
                f"{bench}, batch {batch}, {way}: " + ", ".join(f"{k} {v:,.4g}" for k, v in figures.items())
            )
    return rows


def measure_layers(device: str, batch: int, repeats: int) -> Rows:
    """Each layer that has a form of its own, forward and backward."""
    graph = build_graph("tesselation")
    x = torch.randn(N_LANDMARKS, batch, 64, device=device, requires_grad=True)
    rows: Rows = []
    for name in STATIC_LAYERS:
        own = build_conv(name, graph, 64, 64).to(device)
        usual = PyGLayer(PYG_LAYERS[name](64, 64), graph).to(device)
        seconds = [
            timed(lambda layer=layer: layer(x).sum().backward(), repeats, device) for layer in (usual, own)
        ]
        for way, value in zip(("PyTorch Geometric", "landmarkfer"), seconds, strict=True):
            rows.append(("layers", f"{name}: {way}", device, batch, "ms", 1000 * value))
        rows.append(("layers", f"{name}: landmarkfer", device, batch, "ratio", seconds[0] / seconds[1]))
        click.echo(f"layers, {name}: {seconds[0] / seconds[1]:.2f} times as fast")
    return rows


def measure_kernels(device: str, batch: int, repeats: int) -> Rows:
    """The product with matrices that are filled more and more, forward and backward."""
    from landmarkfer.models import convs

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N_LANDMARKS, batch, 64, device=device, requires_grad=True)
    rows: Rows = []
    for filled in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        index = (torch.rand(N_LANDMARKS, N_LANDMARKS, generator=generator) < filled).nonzero().T
        for kernel, dense_above in (("sparse", 2.0), ("dense", 0.0)):
            if device != "cpu" and kernel == "sparse":
                continue
            convs._DENSE_ABOVE = dense_above
            product = Aggregation(index, torch.ones(index.shape[1]), N_LANDMARKS)
            seconds = timed(lambda product=product: product(x).sum().backward(), repeats, device)
            rows.append(("kernels", f"{filled:.1%} filled: {kernel}", device, batch, "ms", 1000 * seconds))
    return rows


def measure_growth(device: str, batch: int, repeats: int) -> Rows:
    """The sum over six neighbours of each node, forward and backward, as the graph grows."""
    generator = torch.Generator().manual_seed(0)
    rows: Rows = []
    for nodes in (120, 240, 480, 960, 1920):
        x = torch.randn(nodes, batch, 64, device=device, requires_grad=True)
        index = torch.randint(nodes, (2, 6 * nodes), generator=generator).unique(dim=1)
        own = Aggregation(index, torch.ones(index.shape[1]), nodes)
        repeated = (index[:, :, None] * batch + torch.arange(batch)).flatten(1).to(device)
        usual = pyg.SimpleConv(aggr="sum")
        work = {
            "PyTorch Geometric": lambda: usual(x.flatten(0, 1), repeated).sum().backward(),  # noqa: B023
            "landmarkfer": lambda: own(x).sum().backward(),  # noqa: B023
        }
        seconds = {way: timed(call, repeats, device) for way, call in work.items()}
        rows += [
            ("growth", f"{nodes} nodes: {way}", device, batch, "ms", 1000 * s) for way, s in seconds.items()
        ]
    return rows


@click.command()
@click.option(
    "--batch",
    "sizes",
    type=int,
    multiple=True,
    default=(1, 32, 128, 1024),
    show_default=True,
    help="Faces of a step; may be repeated.",
)
@click.option("--repeats", default=3, show_default=True, help="Timed steps, after one more.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Of torch, on the CPU.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="CUDA where there is one by default.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(sizes: tuple[int, ...], repeats: int, threads: int, device: str | None, out: Path) -> None:
    """Measure, print, and write the CSV and the report."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    own = load_settings(RECIPE).model.keywords
    with keep_freed_memory():
        rows = [
            row
            for measure in (measure_layers, measure_kernels, measure_growth)
            for row in measure(device, 64, repeats)
        ]
    rows += measure_networks("published", PUBLISHED, sizes, device, threads, repeats)
    rows += measure_networks("own", own, sizes, device, threads, repeats)
    write_page(
        out / "bench-gnn.csv",
        rows,
        title="Graph networks: time and memory of a training step",
        introduction=(
            "`published` has the widths of the published GCN (128-256-384-256-128 on 157 edges), `own` is "
            f"`{RECIPE}`. A step is feeding, forward, backward and AdamW, the median of {repeats}; `step "
            "ratio` is how many times as fast a step is as PyTorch Geometric's usual way (layers, `Data`, "
            "`DataLoader`). At batch 1 the norms are in evaluation mode. *Published implementation*: a dense "
            "adjacency for each sample in each layer, reimplemented from its description to have its cost. "
            "*Memory kept*: as landmarkfer's training does, the process keeps the memory that it frees, "
            "which would be handed back and fetched anew; the floor is measured so too. "
            "*Floor*: the matrix products of the linear maps alone, in single precision."
        ),
        packages=("torch", "torch-geometric", "numpy"),
        threads=f"{threads} threads" + ("" if device == "cpu" else f"; {torch.cuda.get_device_name()}"),
    )


if __name__ == "__main__":
    main()
