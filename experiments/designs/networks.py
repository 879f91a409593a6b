"""The designs of landmark networks that `run.py` compares: from features of points `[B, 478, F]` to logits.

What won is in the package (`landmarkfer.models.gnn`); the others are here alone, so that their rows can be
measured again.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from landmarkfer.data.augment import MIRROR_SIGN
from landmarkfer.face.graph import build_graph
from landmarkfer.face.landmarks import CANONICAL, MIRROR, N_LANDMARKS, REGION, REGIONS
from landmarkfer.models.gnn import GraphBlock
from landmarkfer.models.landmark import dense_layers
from landmarkfer.models.readout import NodewiseReadout

CLASSES = 7
HIDDEN = (2048, 256)
DROPOUT = 0.5
TESSELATION = build_graph("tesselation")
MIRRORED = torch.from_numpy(MIRROR.copy())


def _adjacency() -> Tensor:
    """Which points the tesselation joins, 0 or 1, `[478, 478]`."""
    source, target = torch.from_numpy(np.array(TESSELATION.edge_index))
    return torch.zeros(N_LANDMARKS, N_LANDMARKS).index_put_((target, source), torch.ones(len(source)))


def _neighbourhoods(k: int) -> Tensor:
    """Each point and the k - 1 nearest, by steps on the mesh and then by distance, int64 `[478, k]`."""
    joined = (_adjacency() + torch.eye(N_LANDMARKS)) > 0
    steps = torch.full((N_LANDMARKS, N_LANDMARKS), 99.0)
    reached = torch.eye(N_LANDMARKS) > 0
    for step in range(9):
        steps[reached & (steps == 99.0)] = step
        reached = (reached.float() @ joined.float()) > 0
    points = torch.from_numpy(CANONICAL.copy())
    return (steps * 100 + torch.cdist(points, points)).argsort(dim=1)[:, :k]


class Perceptron(nn.Module):
    """Dense layers on all points at once: no graph."""

    def __init__(
        self, inputs: int = 3 * N_LANDMARKS, hidden: Sequence[int] = HIDDEN, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.layers = dense_layers([inputs, *hidden], dropout)
        self.head = nn.Linear(hidden[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, ...] -> [B, C]`."""
        return self.head(self.layers(x.flatten(1)))


class GraphNetwork(nn.Module):
    """Residual graph convolutions on the tesselation, a read-out by node, dense layers.

    Args:
        features: Of a point.
        blocks: Graph convolutions.
        width: Of a node, between them.
        node_width: Numbers that the read-out keeps of a node.
        skip: Whether the dense layers also see the features that came in.
        norm: Whether what is read out is brought to the same variance for all nodes.
        conv: Kind of graph convolution.
        hidden: Of the dense layers.
        dropout: Of the dense layers.
    """

    def __init__(
        self,
        features: int = 3,
        *,
        blocks: int = 2,
        width: int = 32,
        node_width: int = 4,
        skip: bool = False,
        norm: bool = True,
        conv: str = "sage",
        hidden: Sequence[int] = HIDDEN,
        dropout: float = DROPOUT,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.identity = nn.Parameter(0.1 * torch.randn(N_LANDMARKS, 1, 8))
        self.input = nn.Linear(features + 8, width)
        self.blocks = nn.ModuleList(
            GraphBlock(conv, TESSELATION, width, width, residual=True, projection=False)
            for _ in range(blocks)
        )
        self.readout = NodewiseReadout(TESSELATION, width, node_width)
        if not norm:
            self.readout.norm = nn.Identity()
        size = self.readout.size + N_LANDMARKS * features * skip
        self.dense = Perceptron(size, hidden, dropout)

    def lifted(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [478, B, width]`."""
        nodes = x.transpose(0, 1)
        return self.input(torch.cat([nodes, self.identity.expand(-1, len(x), -1)], dim=-1))

    def nodes(self, x: Tensor) -> Tensor:
        """Features of the nodes after the graph convolutions, `[478, B, width]`."""
        nodes = self.lifted(x)
        for block in self.blocks:
            nodes = block(nodes, None)
        return nodes

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        read = self.readout(self.nodes(x))
        return self.dense(torch.cat([read, x.flatten(1)], dim=1) if self.skip else read)


class LearnedEdges(GraphNetwork):
    """Edges between all points are learned beside those of the mesh.

    Args:
        rank: Of the learned matrix; 0 for any.
        symmetric: Whether it is the same for a face and its mirror image.
        edge_dropout: Of its entries.
        narrow: Features of a node that travel along it.
        **keywords: Of `GraphNetwork`.
    """

    def __init__(
        self,
        features: int = 3,
        *,
        rank: int = 0,
        symmetric: bool = False,
        edge_dropout: float = 0.0,
        narrow: int = 8,
        **keywords: int | bool,
    ) -> None:
        super().__init__(features, **keywords)  # type: ignore[arg-type]
        self.symmetric, self.edge_dropout = symmetric, edge_dropout
        width = self.input.out_features
        self.down = nn.ModuleList(nn.Linear(width, narrow, bias=False) for _ in self.blocks)
        self.up = nn.ModuleList(nn.Linear(narrow, width, bias=False) for _ in self.blocks)
        zeros = [torch.zeros(rank or N_LANDMARKS, N_LANDMARKS) for _ in self.blocks]
        self.edges = nn.ParameterList(nn.Parameter(zero) for zero in zeros)
        self.factors = nn.ParameterList(
            nn.Parameter(0.05 * torch.randn(N_LANDMARKS, rank)) for _ in self.blocks if rank
        )

    def _matrix(self, block: int) -> Tensor:
        matrix: Tensor = self.edges[block]
        if len(self.factors):
            matrix = self.factors[block] @ matrix
        if self.symmetric:
            matrix = (matrix + matrix[MIRRORED][:, MIRRORED]) / 2
        return nn.functional.dropout(matrix, self.edge_dropout, self.training)

    def nodes(self, x: Tensor) -> Tensor:
        """See `GraphNetwork`."""
        nodes = self.lifted(x)
        for number, block in enumerate(self.blocks):
            sent = self.down[number](nodes)
            received = self.up[number]((self._matrix(number) @ sent.flatten(1)).view_as(sent))
            mixed = block.conv(nodes) + received
            nodes = nodes + block.norm(mixed.flatten(0, 1)).relu().view_as(mixed)
        return nodes


class LocallyConnected(nn.Module):
    """Each node has weights of its own over its neighbourhood; its features go into dense layers.

    Args:
        features: Of a point.
        k: Points of a neighbourhood.
        width: Features that a node has after each layer.
        layers: How many layers.
        skip: Whether the dense layers also see the features that came in.
    """

    def __init__(
        self, features: int = 3, *, k: int = 12, width: int = 4, layers: int = 1, skip: bool = True
    ) -> None:
        super().__init__()
        self.near = _neighbourhoods(k)
        self.skip = skip
        widths = [features] + layers * [width]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(N_LANDMARKS, k * fan_in, width) * (2 / (k * fan_in)) ** 0.5)
            for fan_in in widths[:-1]
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(N_LANDMARKS * width) for _ in self.weights)
        self.dense = Perceptron(N_LANDMARKS * (width + features * skip))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        nodes = x.transpose(0, 1)
        for weight, norm in zip(self.weights, self.norms, strict=True):
            gathered = nodes[self.near].transpose(1, 2).flatten(2)  # [478, B, k * F]
            mixed = norm((gathered @ weight).transpose(0, 1).flatten(1)).relu()
            nodes = mixed.view(len(x), N_LANDMARKS, -1).transpose(0, 1)
        nodes = nodes.transpose(0, 1)
        return self.dense(torch.cat([nodes, x], dim=2) if self.skip else nodes)


class RegionAttention(nn.Module):
    """Weights of its own for each facial region, then attention over the regions.

    Args:
        features: Of a point.
        width: Of a region.
        layers: Of attention.
        skip: Whether the dense layers also see the features that came in.
    """

    def __init__(self, features: int = 3, *, width: int = 64, layers: int = 1, skip: bool = True) -> None:
        super().__init__()
        inside = [np.flatnonzero(REGION == number) for number in range(len(REGIONS))]
        self.inside = [torch.from_numpy(points) for points in inside if len(points)]
        self.skip = skip
        self.local = nn.ModuleList(
            dense_layers([len(points) * features, width], 0.0) for points in self.inside
        )
        self.attention = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.dense = Perceptron(len(self.inside) * width + N_LANDMARKS * features * skip)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        regions = [
            layer(x[:, points].flatten(1)) for layer, points in zip(self.local, self.inside, strict=True)
        ]
        tokens = torch.stack(regions, dim=1)
        for layer in self.attention:
            tokens = layer(tokens)
        read = tokens.flatten(1)
        return self.dense(torch.cat([read, x.flatten(1)], dim=1) if self.skip else read)


class Spectral(nn.Module):
    """Filters in the eigenbasis of the mesh's Laplacian, a gain for each frequency and feature."""

    basis: Tensor

    def __init__(self, features: int = 3, *, width: int = 16, blocks: int = 2, node_width: int = 4) -> None:
        super().__init__()
        joined = ((_adjacency() + _adjacency().T) > 0).double()
        degree = joined.sum(dim=1).clamp_min(1)
        laplacian = torch.eye(N_LANDMARKS) - joined / (degree[:, None] * degree).sqrt()
        self.register_buffer("basis", torch.linalg.eigh(laplacian)[1].float())
        self.input = nn.Linear(features, width)
        self.gains = nn.ParameterList(
            nn.Parameter(1 + 0.1 * torch.randn(N_LANDMARKS, 1, width)) for _ in range(blocks)
        )
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(blocks))
        self.readout = NodewiseReadout(TESSELATION, width, node_width)
        self.dense = Perceptron(self.readout.size)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        nodes = self.input(x.transpose(0, 1))
        for gain, mix, norm in zip(self.gains, self.mix, self.norms, strict=True):
            filtered = (self.basis.T @ nodes.flatten(1)).view_as(nodes) * gain
            mixed = mix((self.basis @ filtered.flatten(1)).view_as(nodes))
            nodes = nodes + norm(mixed.flatten(0, 1)).relu().view_as(nodes)
        return self.dense(self.readout(nodes))


class Hierarchy(nn.Module):
    """Graph convolutions on the mesh and on two coarser ones; all three levels are read out.

    Points of a coarser mesh are the farthest from each other on the mean face, and stand for those nearest.
    """

    def __init__(
        self,
        features: int = 3,
        *,
        width: int = 32,
        levels: Sequence[int] = (128, 32),
        node_widths: Sequence[int] = (4, 8, 16),
        skip: bool = True,
    ) -> None:
        super().__init__()
        self.skip = skip
        points = torch.from_numpy(CANONICAL.copy())
        joined = ((_adjacency() + _adjacency().T) > 0).float()
        means, pools = [joined / joined.sum(dim=1, keepdim=True).clamp_min(1)], []
        for size in levels:
            chosen = [0]
            distance = torch.cdist(points, points[:1]).squeeze(1)
            while len(chosen) < size:
                chosen.append(int(distance.argmax()))
                further = torch.cdist(points, points[chosen[-1]][None]).squeeze(1)
                distance = torch.minimum(distance, further)
            member = nn.functional.one_hot(torch.cdist(points, points[chosen]).argmin(dim=1), size).float()
            pools.append((member / member.sum(dim=0).clamp_min(1)).T)
            joined = ((member.T @ joined @ member) > 0).float().fill_diagonal_(0)
            means.append(joined / joined.sum(dim=1, keepdim=True).clamp_min(1))
            points = pools[-1] @ points
        self.means, self.pools = means, pools
        self.identity = nn.Parameter(0.1 * torch.randn(N_LANDMARKS, 1, 8))
        self.input = nn.Linear(features + 8, width)
        self.near = nn.ModuleList(nn.Linear(width, width) for _ in means)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in means)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in means)
        self.read = nn.ModuleList(nn.Linear(width, kept) for kept in node_widths)
        sizes = [len(mean) * kept for mean, kept in zip(means, node_widths, strict=True)]
        self.norm = nn.BatchNorm1d(sum(sizes))
        self.dense = Perceptron(sum(sizes) + N_LANDMARKS * features * skip)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        nodes = x.transpose(0, 1)
        nodes = self.input(torch.cat([nodes, self.identity.expand(-1, len(x), -1)], dim=-1))
        read = []
        for level, mean in enumerate(self.means):
            around = (mean @ nodes.flatten(1)).view_as(nodes)
            mixed = self.near[level](around) + self.own[level](nodes)
            nodes = nodes + self.norms[level](mixed.flatten(0, 1)).relu().view_as(nodes)
            read.append(self.read[level](nodes).transpose(0, 1).flatten(1))
            if level < len(self.pools):
                pooled = self.pools[level] @ nodes.flatten(1)
                nodes = pooled.view(len(pooled), *nodes.shape[1:])
        face = self.norm(torch.cat(read, dim=1))
        return self.dense(torch.cat([face, x.flatten(1)], dim=1) if self.skip else face)


class MirrorInvariant(nn.Module):
    """A face and its mirror image give the same logits: the first layer is equivariant, the others invariant.

    The features of a face are split into a part that is the same in its mirror image and one that changes its
    sign. The first layer sees both with either sign of the second; what follows sees the sum of the two
    answers, and the size of their difference.
    """

    sign: Tensor

    def __init__(
        self, features: int = 3, hidden: Sequence[int] = (1024, 256), dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        assert features % 3 == 0
        self.register_buffer("sign", MIRROR_SIGN.repeat(features // 3))
        self.even = nn.Linear(N_LANDMARKS * features, hidden[0])
        self.odd = nn.Linear(N_LANDMARKS * features, hidden[0], bias=False)
        self.norm = nn.BatchNorm1d(hidden[0])
        self.dropout = nn.Dropout(dropout)
        self.dense = Perceptron(2 * hidden[0], hidden[1:], dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        mirrored = x[:, MIRRORED] * self.sign
        even, odd = self.even(((x + mirrored) / 2).flatten(1)), self.odd(((x - mirrored) / 2).flatten(1))
        both = self.norm(torch.cat([even + odd, even - odd])).relu()  # [2 B, H]
        one, other = both.chunk(2)
        return self.dense(self.dropout(torch.cat([one + other, (one - other).abs()], dim=1) / 2))


class MirroredGraph(nn.Module):
    """Any network, its answer averaged with that to the mirrored face, in training too."""

    sign: Tensor

    def __init__(self, network: nn.Module, features: int = 3) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("sign", MIRROR_SIGN.repeat(features // 3))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, C]`."""
        return (self.network(x) + self.network(x[:, MIRRORED] * self.sign)) / 2


class Pair(nn.Module):
    """Two networks side by side, each of which learns the labels by itself; their probabilities are averaged.

    The logits are those of each in training `[B, 2, C]`, and of the average otherwise `[B, C]`.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, F] -> [B, 2, C]` or `[B, C]`."""
        both = torch.stack([self.first(x), self.second(x)], dim=1)
        return both if self.training else both.softmax(dim=2).mean(dim=1).log()
