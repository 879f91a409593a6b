"""Graph convolutions for a batch that shares one topology, and PyTorch Geometric's layers in the same dress.

Activations are node-first, `x [N, B, F]`. In that layout aggregating over neighbours is one product with a
matrix, mostly a sparse one, `A [N, N] @ x [N, B * F]`, for the whole batch at once and without a copy, and a
linear map is a product over the last axis. PyTorch Geometric instead gathers and scatters a message per edge
and sample.

`gcn`, `sage` and `gin` have forms of their own for that, which equal PyTorch Geometric's `GCNConv`,
`SAGEConv` (mean) and `GINConv`; every other layer is PyTorch Geometric's own on the batch as one graph of B
components.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landmarkfer.face.graph import FaceGraph

with warnings.catch_warnings():  # PyTorch Geometric's own use of it; nobody else can mend it
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    from torch_geometric import nn as pyg

ATTENTION_HEADS = 4

# Share of a matrix from which the dense product is the faster one on the CPU, as measured by
# experiments/bench/gnn.py.
_DENSE_ABOVE = 0.15


class Aggregation:
    """Multiply by a fixed matrix over the nodes, `x [N, B, F] -> A x`, with the kernel that is faster.

    On the CPU that is the sparse product, unless more than `_DENSE_ABOVE` of the matrix is filled. Elsewhere
    it is the dense one: 478 x 478 is small for a GPU's matrix units, and sparse products are slow on some
    devices and missing on others.

    Not a module: the matrix is a constant of the graph, no weight, so it is neither trained, averaged nor
    saved. One copy per device is stored.

    Args:
        index: int64 `[2, E]`, (source, target) of each entry.
        weight: float32 `[E]`.
        num_nodes: N.
    """

    def __init__(self, index: Tensor, weight: Tensor, num_nodes: int) -> None:
        # Row = target.
        self._dense = torch.zeros(num_nodes, num_nodes).index_put_(
            (index[1], index[0]), weight, accumulate=True
        )
        self._filled = len(weight) / num_nodes**2
        self._on_device: dict[torch.device, tuple[Tensor, ...]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> "Aggregation":
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """The weighted sum over each node's neighbours, `[N, B, F]`."""
        if torch.compiler.is_exporting():  # ONNX knows no sparse matrices
            return (self._dense @ x.flatten(1)).view_as(x)
        matrices = self._matrices(x.device)
        if len(matrices) == 1:
            return (matrices[0] @ x.flatten(1)).view_as(x)
        return _SparseProduct.apply(*matrices, x.float())

    def _matrices(self, device: torch.device) -> tuple[Tensor, ...]:
        """The dense matrix, or the sparse one and its transpose, which the gradient takes."""
        if device not in self._on_device:
            with torch.inference_mode(False):  # training may follow
                made: tuple[Tensor, ...] = (self._dense.to(device),)
                if device.type == "cpu" and self._filled < _DENSE_ABOVE:
                    made = (_sparse(self._dense), _sparse(self._dense.T))
                self._on_device[device] = made
        return self._on_device[device]


def _sparse(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to_sparse_csr()


class _SparseProduct(torch.autograd.Function):
    """Sparse times `x [N, B, F]`, with its transpose for the gradient, in single precision."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, matrix: Tensor, transposed: Tensor, x: Tensor
    ) -> Tensor:
        ctx.transposed = transposed  # type: ignore[attr-defined]
        return _multiply(matrix, x)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _multiply(ctx.transposed, grads[0])  # type: ignore[attr-defined]


def _multiply(matrix: Tensor, x: Tensor) -> Tensor:
    folded = x.flatten(1)
    product = torch.empty_like(x, memory_format=torch.contiguous_format)
    # Automatic mixed precision would bring both to a type that sparse products do not know. `matrix @ folded`
    # would fill the result with zeros twice before it is written.
    with torch.autocast(x.device.type, enabled=False):
        torch.addmm(folded, matrix, folded, beta=0, out=product.flatten(1))
    return product


def sum_aggregation(graph: FaceGraph) -> Aggregation:
    """The sum over neighbours."""
    index = _edge_index(graph)
    return Aggregation(index, torch.ones(index.shape[1]), graph.num_nodes)


def mean_aggregation(graph: FaceGraph) -> Aggregation:
    """The mean over neighbours; zero for a node that has none."""
    index = _edge_index(graph)
    degree = torch.bincount(index[1], minlength=graph.num_nodes)
    return Aggregation(index, 1 / degree[index[1]].float(), graph.num_nodes)


def symmetric_aggregation(graph: FaceGraph) -> Aggregation:
    """D^-1/2 (A + I) D^-1/2 (Kipf and Welling, "Semi-supervised classification with GCNs", 2017)."""
    index = _with_loops(graph)
    scale = torch.bincount(index[1], minlength=graph.num_nodes).float().rsqrt()
    return Aggregation(index, scale[index[0]] * scale[index[1]], graph.num_nodes)


def _with_loops(graph: FaceGraph) -> Tensor:
    return torch.cat([_edge_index(graph), torch.arange(graph.num_nodes).expand(2, -1)], dim=1)


def _edge_index(graph: FaceGraph) -> Tensor:
    return torch.from_numpy(np.array(graph.edge_index))


class GCNLayer(nn.Module):
    """`GCNConv`: the symmetric aggregation, before or after the linear map, whichever is narrower."""

    def __init__(self, graph: FaceGraph, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.aggregate = symmetric_aggregation(graph)
        self.lin = nn.Linear(fan_in, fan_out, bias=False)
        self.bias = nn.Parameter(torch.zeros(fan_out))
        nn.init.xavier_uniform_(self.lin.weight)
        self._aggregate_first = fan_in <= fan_out

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F_in] -> [N, B, F_out]`."""
        mixed = self.lin(self.aggregate(x)) if self._aggregate_first else self.aggregate(self.lin(x))
        return mixed.add_(self.bias)


class SAGELayer(nn.Module):
    """`SAGEConv` with the mean: a linear map of the neighbours' mean plus one of the node itself."""

    def __init__(self, graph: FaceGraph, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.aggregate = mean_aggregation(graph)
        self.lin_l = nn.Linear(fan_in, fan_out)
        self.lin_r = nn.Linear(fan_in, fan_out, bias=False)
        self._aggregate_first = fan_in <= fan_out

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F_in] -> [N, B, F_out]`."""
        if self._aggregate_first:
            return self.lin_l(self.aggregate(x)) + self.lin_r(x)
        neighbours = self.aggregate(nn.functional.linear(x, self.lin_l.weight))
        return neighbours + self.lin_l.bias + self.lin_r(x)


class GINLayer(nn.Module):
    """`GINConv` with a trained epsilon: a two-layer perceptron of the node plus its neighbours' sum."""

    def __init__(self, graph: FaceGraph, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.aggregate = sum_aggregation(graph)
        self.eps = nn.Parameter(torch.zeros(1))
        self.nn = _gin_perceptron(fan_in, fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F_in] -> [N, B, F_out]`."""
        return self.nn((1 + self.eps) * x + self.aggregate(x))


def _gin_perceptron(fan_in: int, fan_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Linear(fan_out, fan_out))


class PyGLayer(nn.Module):
    """A layer of PyTorch Geometric on the batch as one graph with a component per sample.

    Args:
        layer: Called with `x [N * B, F]` and `edge_index [2, E * B]`.
        graph: The topology of all samples; None if every batch brings its own edges.
    """

    def __init__(self, layer: nn.Module, graph: FaceGraph | None) -> None:
        super().__init__()
        self.layer = layer
        self._edges = None if graph is None else _edge_index(graph)
        self._repeated: tuple[int, Tensor] | None = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Version 0.1 had a form of its own of GATv2, with the same tensors.
        for name in self.layer.state_dict():
            if prefix + name in state_dict:
                state_dict[f"{prefix}layer.{name}"] = state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor, edge_index: Tensor | None = None) -> Tensor:
        """`[N, B, F_in] -> [N, B, F_out]`; `edge_index [2, E]` numbers node n of sample b as `n * B + b`."""
        n, b, f = x.shape
        edges = self._shared_edges(b, x.device) if edge_index is None else edge_index
        return self.layer(x.reshape(n * b, f), edges).view(n, b, -1)

    def _shared_edges(self, b: int, device: torch.device) -> Tensor:
        if self._edges is None:
            raise ValueError("this layer was built without a graph and needs an edge_index")
        if self._repeated is None or self._repeated[0] != b or self._repeated[1].device != device:
            with torch.inference_mode(False):  # validation may be the first to ask, and training the next
                # [2, E, 1] * B + [B] -> [2, E, B] -> [2, E * B]
                repeated = (self._edges[:, :, None] * b + torch.arange(b)).flatten(1).to(device)
            self._repeated = (b, repeated)
        return self._repeated[1]


# Layers of PyTorch Geometric by their short names; each takes (fan_in, fan_out).
PYG_LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": pyg.GCNConv,
    "sage": pyg.SAGEConv,
    "gin": lambda fan_in, fan_out: pyg.GINConv(_gin_perceptron(fan_in, fan_out), train_eps=True),
    "gat": lambda fan_in, fan_out: pyg.GATConv(fan_in, fan_out, heads=ATTENTION_HEADS, concat=False),
    "gatv2": lambda fan_in, fan_out: pyg.GATv2Conv(fan_in, fan_out, heads=ATTENTION_HEADS, concat=False),
    "transformer": lambda fan_in, fan_out: pyg.TransformerConv(
        fan_in, fan_out, heads=ATTENTION_HEADS, concat=False
    ),
    "graph": pyg.GraphConv,
    "tag": pyg.TAGConv,
    "cheb": lambda fan_in, fan_out: pyg.ChebConv(fan_in, fan_out, K=3),
}

# Those that have a form of their own on a shared topology.
STATIC_LAYERS: dict[str, Callable[[FaceGraph, int, int], nn.Module]] = {
    "gcn": GCNLayer,
    "sage": SAGELayer,
    "gin": GINLayer,
}


def build_conv(name: str, graph: FaceGraph | None, fan_in: int, fan_out: int) -> nn.Module:
    """A graph convolution `[N, B, fan_in] -> [N, B, fan_out]`.

    Args:
        name: One of `PYG_LAYERS`.
        graph: The topology that all samples share; None for edges that come with each batch.
        fan_in: Features in.
        fan_out: Features out.

    Raises:
        ValueError: There is no layer of that name.
    """
    if name not in PYG_LAYERS:
        raise ValueError(f"there is no graph layer '{name}', only {', '.join(PYG_LAYERS)}")
    if graph is not None and name in STATIC_LAYERS:
        return STATIC_LAYERS[name](graph, fan_in, fan_out)
    return PyGLayer(PYG_LAYERS[name](fan_in, fan_out), graph)
