"""From features of nodes, `[N, B, F]`, to features of faces, `[B, D]`.

A mean over all nodes forgets which landmark moved; `region` remembers it to the region and `nodewise` to the
point.
"""

import torch
from torch import Tensor, nn

from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import REGIONS


class Readout(nn.Module):
    """Base of the read-outs.

    Args:
        graph: The graph whose nodes are read.
        width: Features of a node.
        node_width: Features that the node-wise read-out keeps of a node.

    Attributes:
        size: D, the number of features of a face.
    """

    def __init__(self, graph: FaceGraph, width: int, node_width: int) -> None:
        super().__init__()
        self.size = width


class MeanReadout(Readout):
    """The mean over nodes."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F] -> [B, F]`."""
        return x.mean(dim=0)


class MaxReadout(Readout):
    """The largest value over nodes, feature by feature."""

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F] -> [B, F]`."""
        return x.amax(dim=0)


class AttentionReadout(Readout):
    """A weighted mean over nodes, the weights a softmax of a learned score (Li et al., "GG-NN", 2016)."""

    def __init__(self, graph: FaceGraph, width: int, node_width: int) -> None:
        super().__init__(graph, width, node_width)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F] -> [B, F]`."""
        return (self.score(x).softmax(dim=0) * x).sum(dim=0)


class RegionReadout(Readout):
    """The means over each facial region (its hub included), concatenated."""

    weights: Tensor

    def __init__(self, graph: FaceGraph, width: int, node_width: int) -> None:
        super().__init__(graph, width, node_width)
        self.size = width * len(REGIONS)
        member = torch.from_numpy(graph.node_region.copy()) == torch.arange(len(REGIONS))[:, None]
        self.register_buffer("weights", member / member.sum(dim=1, keepdim=True), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F] -> [B, R * F]`."""
        n, b, f = x.shape
        pooled = (self.weights.to(x.dtype) @ x.reshape(n, b * f)).view(-1, b, f)  # [R, B, F]
        return pooled.transpose(0, 1).flatten(1)


class NodewiseReadout(Readout):
    """A few features of every node, concatenated, so that the classifier knows where something happened."""

    def __init__(self, graph: FaceGraph, width: int, node_width: int) -> None:
        super().__init__(graph, width, node_width)
        self.size = graph.num_nodes * node_width
        self.project = nn.Linear(width, node_width)
        self.norm = nn.BatchNorm1d(self.size)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, B, F] -> [B, N * node_width]`."""
        return self.norm(self.project(x).transpose(0, 1).flatten(1))


READOUTS: dict[str, type[Readout]] = {
    "mean": MeanReadout,
    "max": MaxReadout,
    "attention": AttentionReadout,
    "region": RegionReadout,
    "nodewise": NodewiseReadout,
}
