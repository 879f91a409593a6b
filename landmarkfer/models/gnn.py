"""Graph networks on the facial graph.

Landmarks become node features, graph convolutions mix neighbours, a read-out makes one vector of the face,
and a small perceptron classifies it. What each choice contributes is measured in
`experiments/results/fer2013-landmarks.md`; the published five-layer GCN is
`experiments/recipes/fer2013-gcn-published.toml`.
"""

from itertools import pairwise

import torch
from pydantic import InstanceOf, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.edges import dynamic_knn
from landmarkfer.face.graph import DEFAULT_K, FaceGraph, build_graph
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.models.base import Share
from landmarkfer.models.convs import build_conv
from landmarkfer.models.graph_buffers import GraphBuffers
from landmarkfer.models.landmark import (
    POINT_FEATURES,
    WHITENING_FLOOR,
    WHITENING_NOISE,
    Features,
    Floor,
    LandmarkModel,
    Noise,
    Widths,
    dense_layers,
)
from landmarkfer.models.readout import READOUTS


class GraphBlock(nn.Module):
    """Graph convolution, batch norm over all nodes of the batch, ReLU; then the input may be added.

    Args:
        conv: Kind of graph convolution.
        graph: Its graph; None if the edges come with each batch.
        fan_in: Features per node that come in.
        fan_out: Features per node that go out.
        residual: Whether the input is added, if the widths agree.
        projection: Whether it is added through a linear map, if they do not.
    """

    def __init__(
        self,
        conv: str,
        graph: FaceGraph | None,
        fan_in: int,
        fan_out: int,
        *,
        residual: bool,
        projection: bool,
    ) -> None:
        super().__init__()
        self.conv = build_conv(conv, graph, fan_in, fan_out)
        self.norm = nn.BatchNorm1d(fan_out)
        self.shortcut: nn.Module | None = None
        if residual and fan_in == fan_out:
            self.shortcut = nn.Identity()
        elif residual and projection:
            self.shortcut = nn.Linear(fan_in, fan_out, bias=False)

    def forward(self, x: Tensor, edge_index: Tensor | None) -> Tensor:
        """`[N, B, F_in] -> [N, B, F_out]`."""
        return self.around(self.conv(x) if edge_index is None else self.conv(x, edge_index), x)

    def around(self, mixed: Tensor, x: Tensor) -> Tensor:
        """What the block makes of what its convolution gave, `[N, B, F_out]`, and of what it was given."""
        active = self.norm(mixed.flatten(0, 1)).relu_().view_as(mixed)  # [N * B, F] and back
        return active if self.shortcut is None else self.shortcut(x) + active


class GNN(LandmarkModel):
    """A graph network on any facial graph.

    Args:
        num_classes: C.
        graph: A graph, its name, or a file; see `face.graph.build_graph`. Training builds a named one on its
            mean training face.
        k: Neighbours of each point, in graphs that are built by distance.
        conv: Kind of graph convolution, one of `convs.PYG_LAYERS`.
        widths: Features per node after each graph convolution.
        readout: One of `readout.READOUTS`.
        identity: Width of a learned embedding of each node, which tells the weights apart that all nodes
            share; 0 for none.
        node_width: Features per node that the node-wise read-out keeps.
        hidden: Widths of the classifier's hidden layers.
        dropout: After each hidden layer.
        readout_dropout: On the read-out.
        residual: Whether a block adds its input, where the widths agree.
        projection: Whether a residual block whose widths differ adds a linear map of its input.
        lift: Whether a linear map takes the features of a node to `widths[0]` before the first convolution,
            which otherwise reads them as they are.
        dynamic_k: If positive, each face's own k nearest neighbours replace the edges of `graph`.
        features: See `LandmarkModel`.
        floor: See `LandmarkModel`.
        noise: See `LandmarkModel`.
        blendshapes: See `LandmarkModel`; the classifier sees them beside the read-out.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        graph: InstanceOf[FaceGraph] | str = "tesselation",
        k: PositiveInt = DEFAULT_K,
        conv: str = "sage",
        widths: Widths = (32, 32),
        readout: str = "nodewise",
        identity: NonNegativeInt = 8,
        node_width: PositiveInt = 4,
        hidden: Widths = (2048, 256),
        dropout: Share = 0.5,
        readout_dropout: Share = 0.0,
        residual: bool = True,
        projection: bool = False,
        lift: bool = True,
        dynamic_k: NonNegativeInt = 0,
        features: Features = "whitened",
        floor: Floor = WHITENING_FLOOR,
        noise: Noise = WHITENING_NOISE,
        blendshapes: bool = False,
    ) -> None:
        super().__init__(num_classes, features=features, floor=floor, noise=noise, blendshapes=blendshapes)
        if readout not in READOUTS:
            raise ValueError(f"there is no read-out '{readout}', only {', '.join(READOUTS)}")
        graph = graph if isinstance(graph, FaceGraph) else build_graph(graph, k=k)
        self.graph = GraphBuffers(graph)
        self.num_hubs = graph.num_hubs
        self.dynamic_k = dynamic_k
        if dynamic_k and graph.num_hubs:
            raise ValueError(f"dynamic_k replaces all edges, and the hubs of '{graph.name}' need theirs")
        if dynamic_k >= N_LANDMARKS:
            raise ValueError(f"dynamic_k must be below {N_LANDMARKS}, the points of a face, got {dynamic_k}")
        if projection and not residual:
            raise ValueError("projection is of residual blocks; set residual or leave it out")
        self.identity = nn.Parameter(0.1 * torch.randn(graph.num_nodes, 1, identity)) if identity else None
        self.register_buffer("hubs", torch.from_numpy(graph.hub_weights()), persistent=False)
        described = POINT_FEATURES + identity
        self.input = nn.Linear(described, widths[0]) if lift else nn.Identity()
        shared = None if dynamic_k else graph
        steps = pairwise([widths[0] if lift else described, *widths])
        self.blocks = nn.ModuleList(
            GraphBlock(
                conv,
                shared,
                a,
                b,
                residual=residual,
                projection=projection,
            )
            for a, b in steps
        )
        pooled = READOUTS[readout](graph, widths[-1], node_width)
        self.readout = pooled
        self.dropout = nn.Dropout(readout_dropout)
        self.layers = dense_layers([pooled.size + self.num_blendshapes, *hidden], dropout)
        self.head = nn.Linear(hidden[-1], num_classes)

    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, hidden[-1]]`."""
        return self.embed_nodes(self.describe(batch.landmarks), batch)

    def embed_nodes(self, described: Tensor, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, hidden[-1]]`, from features of its points, `[B, 478, F]`.

        After the `POINT_FEATURES` of `describe` come those for which `widen_input` made room.
        """
        x = self.nodes(described)
        edge_index = self._own_edges(batch.landmarks) if self.dynamic_k else None
        for block in self.blocks:
            x = block(x, edge_index)
        return self.layers(self.with_blendshapes(self.dropout(self.readout(x)), batch))

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        return self.head(embedding)

    def widen_input(self, features: int) -> None:
        """Make a fresh model take so many features of each point beside its own.

        Raises:
            ValueError: The first convolution reads features as they are (`lift`).
        """
        if not isinstance(self.input, nn.Linear):
            raise ValueError("only a graph network with a lift can take further features of its nodes")
        self.input = nn.Linear(self.input.in_features + features, self.input.out_features)

    def nodes(self, described: Tensor) -> Tensor:
        """What the first convolution reads, from features of the points: `[B, 478, F] -> [N, B, F']`."""
        x = described.transpose(0, 1)  # [478, B, F]
        if self.num_hubs:
            x = torch.cat([x, torch.einsum("hn,nbf->hbf", self.hubs.to(x.dtype), x)])
        if self.identity is not None:
            own, further = x.tensor_split([POINT_FEATURES], dim=-1)
            x = torch.cat([own, self.identity.expand(-1, x.shape[1], -1), further], dim=-1)
        return self.input(x)

    def _own_edges(self, landmarks: Tensor) -> Tensor:
        """Edges `[2, E]` of every sample's nearest neighbours, node n of sample b as `n * B + b`."""
        batch, nodes, _ = landmarks.shape
        edges = dynamic_knn(landmarks, self.dynamic_k)  # sample-first: b * N + n
        return (edges % nodes) * batch + edges // nodes
