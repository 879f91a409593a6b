"""Contributions of edges in a graph network, by PyTorch Geometric's explainers.

`PyGForm` is a graph network as those explainers expect one: `model(x, edge_index)`, with PyTorch Geometric's
own layers and the same weights, so that any of its algorithms can be run on it.
"""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.explain import CaptumExplainer, Explainer

from landmarkfer.face.graph import FaceGraph
from landmarkfer.inference.explain.target import Target
from landmarkfer.models.convs import PYG_LAYERS, PyGLayer
from landmarkfer.models.gnn import GNN, GraphBlock


class PyGForm(nn.Module):
    """A graph network on one face in PyTorch Geometric's layers: `x` and `edge_index` to logits.

    Args:
        model: In evaluation mode; its weights are shared. Its graph's edges are `edge_index` of
            `face_graph`.

    Raises:
        ValueError: The model has edges of each face's own (`dynamic_k`), or looks at blendshapes.
    """

    def __init__(self, model: GNN) -> None:
        super().__init__()
        if model.dynamic_k or model.num_blendshapes or model.face_graph is None:
            raise ValueError("the network's edges are not those of one graph, or it looks at blendshapes")
        self.model = model
        self.convs = nn.ModuleList(_as_pyg(block.conv) for block in _blocks(model))
        self.eval()  # explainers leave a model in the mode that they find it in

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits `[1, C]`.

        Args:
            x: `[478, 3]`, features of each point, of `LandmarkModel.describe`.
            edge_index: `[2, E]`, of the face's graph.
        """
        return self.model.classify(self.embed(x, edge_index))

    def embed(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Features of the face, `[1, D]`; arguments are those of `forward`."""
        nodes = self.model.nodes(x[None])  # [N, 1, F]
        for block, conv in zip(_blocks(self.model), self.convs, strict=True):
            nodes = block.around(conv(nodes[:, 0], edge_index)[:, None], nodes)
        return self.model.layers(self.model.readout(nodes))


def _blocks(model: GNN) -> list[GraphBlock]:
    return cast(list[GraphBlock], list(model.blocks))


def _as_pyg(conv: nn.Module) -> nn.Module:
    """A layer of PyTorch Geometric that equals a convolution of a block, with its weights."""
    if isinstance(conv, PyGLayer):
        return conv.layer
    name = type(conv).__name__.removesuffix("Layer").lower()
    linear = [module for module in conv.modules() if isinstance(module, nn.Linear)]
    layer = PYG_LAYERS[name](linear[0].in_features, linear[-1].out_features)
    layer.load_state_dict(conv.state_dict())
    return layer.to(linear[0].weight.device).eval()


class _LogOdds(nn.Module):
    """The log-odds `[1, 1]` of a target, for an explainer of a regression."""

    def __init__(self, form: PyGForm, target: Target) -> None:
        super().__init__()
        self.form = form
        self.target = target
        self.eval()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """See `PyGForm.forward`."""
        return self.target.of_encoded(self.form.embed(x, edge_index))[:, None]


def edge_contributions(target: Target) -> NDArray | None:
    """What the messages along each edge add to the log-odds of the class, float64 `[edges]` of the graph.

    Integrated gradients from no messages to all, both directions of an edge together, on the face that is not
    mirrored. None where no graph network reads the landmarks, where it reads the image as well, or where
    `PyGForm` refuses it.
    """
    model = target.landmarks
    if not isinstance(model, GNN) or (target.fusion is not None and target.fusion.sample is not None):
        return None
    try:
        form = PyGForm(model)
    except ValueError:
        return None
    assert model.face_graph is not None
    explainer = Explainer(
        _LogOdds(form, target),
        CaptumExplainer("IntegratedGradients", n_steps=16, internal_batch_size=1),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "graph", "return_type": "raw"},
    )
    index = torch.from_numpy(model.face_graph.edge_index.copy()).to(model.device)
    with torch.enable_grad():
        found = explainer(model.describe(target.views[0].landmarks)[0], index).edge_mask
    return undirected(model.face_graph, found.detach().double().cpu().numpy())


def undirected(graph: FaceGraph, values: NDArray) -> NDArray:
    """The sum over both directions of each edge, in the order of `graph.edges`."""
    number = {tuple(edge): i for i, edge in enumerate(graph.edges.tolist())}
    total = np.zeros(len(graph.edges))
    for (a, b), value in zip(graph.edge_index.T.tolist(), values, strict=True):
        total[number[min(a, b), max(a, b)]] += value
    return total
