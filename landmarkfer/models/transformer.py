"""A transformer on landmarks: every landmark, or every facial region, is a token.

Tokens are made as in the FT-Transformer (Gorishniy et al., "Revisiting Deep Learning Models for Tabular
Data", 2021): each has a linear map and an identity of its own, so that no positions are needed, and blocks
normalise first. A facial graph may bias the attention as in Graphormer (Ying et al., "Do Transformers Really
Perform Bad for Graph Representation?", 2021): each head learns a number per length of the shortest path
between two tokens, added to the attention logits.

Activations are `x [B, L, W]`: L tokens of width W, the class token, if there is one, before the others.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, InstanceOf, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.graph import DEFAULT_K, FaceGraph, build_graph
from landmarkfer.face.landmarks import N_LANDMARKS, REGIONS, region_points
from landmarkfer.models.base import Share
from landmarkfer.models.graph_buffers import GraphBuffers
from landmarkfer.models.landmark import (
    POINT_FEATURES,
    WHITENING_FLOOR,
    WHITENING_NOISE,
    Features,
    Floor,
    LandmarkModel,
    Noise,
)

NO_GRAPH = "none"
NO_PATH = -1


class LandmarkTokens(nn.Module):
    """One token per landmark: a linear map of its features and an identity, both its own.

    Args:
        width: W.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.groups = [np.array([point]) for point in range(N_LANDMARKS)]
        self.weight = nn.Parameter(torch.empty(N_LANDMARKS, POINT_FEATURES, width))
        self.identity = nn.Parameter(torch.empty(N_LANDMARKS, width))
        for parameter in (self.weight, self.identity):
            nn.init.uniform_(parameter, -(POINT_FEATURES**-0.5), POINT_FEATURES**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, 3] -> [B, 478, W]`."""
        tokens = torch.baddbmm(self.identity[:, None], x.transpose(0, 1), self.weight)  # [478, B, W]
        return tokens.transpose(0, 1)


class RegionTokens(nn.Module):
    """One token per facial region: a linear map of the features of its points and an identity.

    The maps of all regions together have as many weights as those of `LandmarkTokens`.

    Args:
        width: W.
    """

    order: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.groups = [region_points(region) for region in REGIONS]
        self.sizes = [len(points) * POINT_FEATURES for points in self.groups]
        self.register_buffer("order", torch.from_numpy(np.concatenate(self.groups)), persistent=False)
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(size, width)) for size in self.sizes)
        self.identity = nn.Parameter(torch.empty(len(REGIONS), width))
        for weight, identity in zip(self.weights, self.identity, strict=True):
            for parameter in (weight, identity):
                nn.init.uniform_(parameter, -(len(weight) ** -0.5), len(weight) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 478, 3] -> [B, R, W]`."""
        parts = x[:, self.order].flatten(1).split(self.sizes, dim=1)  # R of [B, points * 3]
        tokens = [part @ weight for part, weight in zip(parts, self.weights, strict=True)]
        return torch.stack(tokens, dim=1) + self.identity


TOKENISERS: dict[str, type[LandmarkTokens | RegionTokens]] = {
    "landmarks": LandmarkTokens,
    "regions": RegionTokens,
}


def token_distances(graph: FaceGraph, groups: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Edges on the shortest path between tokens, from the nearest points of one to those of the other.

    Args:
        graph: Paths may lead through its hubs.
        groups: The landmarks of each of T tokens.

    Returns:
        `[T, T]`, `NO_PATH` where there is none.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    shape = (graph.num_nodes, graph.num_nodes)
    edges = csr_array((np.ones(graph.edge_index.shape[1]), tuple(graph.edge_index)), shape=shape)
    between_nodes = shortest_path(edges, directed=False, unweighted=True)  # [N, N], infinite without a path
    from_tokens = np.stack([between_nodes[points].min(axis=0) for points in groups])  # [T, N]
    lengths = np.stack([from_tokens[:, points].min(axis=1) for points in groups], axis=1)  # [T, T]
    return np.where(np.isfinite(lengths), lengths, NO_PATH).astype(np.int64)


class GraphBias(nn.Module):
    """What is added to the attention logits of each head, by the length of the path between two tokens.

    Args:
        distances: int64 `[T, T]`, of `token_distances`.
        heads: H.
        max_distance: Longer paths count as this long. No path, and any pair with the class token, are lengths
            of their own.
        class_token: Whether a class token goes before the others.
    """

    index: Tensor

    def __init__(
        self, distances: NDArray[np.int64], heads: int, max_distance: int, class_token: bool
    ) -> None:
        super().__init__()
        no_path, of_class = max_distance + 1, max_distance + 2
        lengths = torch.from_numpy(distances)
        index = lengths.clamp_max(max_distance).masked_fill(lengths == NO_PATH, no_path)
        if class_token:
            index = functional.pad(index, (1, 0, 1, 0), value=of_class)
        self.register_buffer("index", index, persistent=False)
        self.bias = nn.Parameter(torch.zeros(heads, of_class + 1))

    def forward(self) -> Tensor:
        """`[H, L, L]`."""
        # A product, as the gradient of indexing adds up in an order that threads decide.
        lengths = torch.arange(self.bias.shape[1], device=self.index.device)
        one_hot = (self.index.flatten() == lengths[:, None]).to(self.bias.dtype)  # [lengths, L * L]
        return (self.bias @ one_hot).view(-1, *self.index.shape)


class Block(nn.Module):
    """Attention, then a perceptron on each token; both normalise their input and add to it.

    Not `nn.TransformerEncoderLayer`: that wants a bias of the logits once for each face of the batch,
    `[B * H, L, L]`, where one for all, `[H, L, L]`, will do.

    Args:
        width: W.
        heads: H.
        hidden: Width of the perceptron's hidden layer.
        dropout: In the perceptron, and on what either part adds.
        attention_dropout: On the attention weights.
        first: Whether this is the first block, whose attention sees tokens as they are, for the sake of
            accuracy (as in the FT-Transformer).
    """

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, attention_dropout: float, first: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, L, W] -> [B, L, W]`, with a bias of the attention logits `[H, L, L]`."""
        x = x + self.dropout(self.attend(self.attention_norm(x), bias))
        return x + self.dropout(self.feed(self.feed_norm(x)))

    def attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """What each token gathers from all of them, `[B, L, W]`."""
        b, n, w = x.shape
        query, key, value = self.qkv(x).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        gathered = functional.scaled_dot_product_attention(
            query,  # [B, H, L, W / H]
            key,
            value,
            attn_mask=None if bias is None else bias[None].to(query.dtype),
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        return self.project(gathered.transpose(1, 2).reshape(b, n, w))


class LandmarkTransformer(LandmarkModel):
    """A transformer whose tokens are landmarks or regions.

    With 29 regions as tokens a training step takes about a tenth of the processor time and of the memory that
    it takes with 478 landmarks, at nearly the same number of parameters. `experiments/bench/transformer.py`
    measures it; `experiments/results/bench-transformer.md` has the figures.

    Args:
        num_classes: C.
        tokens: What is a token.
        width: W, features of a token; a multiple of `heads`.
        depth: Number of blocks.
        heads: Attention heads of each block.
        expansion: Width of each block's hidden layer, in multiples of `width`.
        pooling: What is classified: a class token that attends to all others, or the mean of all tokens.
        dropout: See `Block`.
        attention_dropout: On the attention weights. On the CPU, attention is fused only without it; else the
            weights of all pairs of tokens are kept in memory.
        graph: The graph that biases the attention: a graph, its name, or a file; see
            `face.graph.build_graph`. 'none' for no bias. On the CPU a bias, too, keeps the weights of all
            pairs in memory.
        k: Neighbours of each point, in graphs that are built by distance.
        max_distance: Of the bias: longer paths in the graph count as this long.
        features: See `LandmarkModel`.
        floor: See `LandmarkModel`.
        noise: See `LandmarkModel`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        tokens: Literal["landmarks", "regions"] = "regions",
        width: PositiveInt = 128,
        depth: PositiveInt = 4,
        heads: PositiveInt = 8,
        expansion: Annotated[float, Field(gt=0)] = 4.0,
        pooling: Literal["class", "mean"] = "class",
        dropout: Share = 0.1,
        attention_dropout: Share = 0.0,
        graph: InstanceOf[FaceGraph] | str = NO_GRAPH,
        k: PositiveInt = DEFAULT_K,
        max_distance: PositiveInt = 8,
        features: Features = "whitened",
        floor: Floor = WHITENING_FLOOR,
        noise: Noise = WHITENING_NOISE,
    ) -> None:
        super().__init__(num_classes, features=features, floor=floor)
        if width % heads:
            raise ValueError(f"width ({width}) must be a multiple of heads ({heads})")
        self.graph: GraphBuffers | None = None
        if graph != NO_GRAPH:
            self.graph = GraphBuffers(graph if isinstance(graph, FaceGraph) else build_graph(graph, k=k))
        self.tokeniser = TOKENISERS[tokens](width)
        with_class = pooling == "class"
        self.class_token = nn.Parameter(width**-0.5 * (2 * torch.rand(width) - 1)) if with_class else None
        self.graph_bias = None
        if self.graph is not None:
            distances = token_distances(self.graph.face_graph, self.tokeniser.groups)
            self.graph_bias = GraphBias(distances, heads, max_distance, with_class)
        hidden = max(1, round(expansion * width))
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, dropout, attention_dropout, first=number == 0)
            for number in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, W]`."""
        x = self.tokeniser(self.describe(batch.landmarks))
        if self.class_token is not None:
            x = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        bias = None if self.graph_bias is None else self.graph_bias()
        for block in self.blocks:
            x = block(x, bias)
        pooled = x.mean(dim=1) if self.class_token is None else x[:, 0]
        return self.norm(pooled).relu()

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        return self.head(embedding)

    def depth_groups(self) -> list[list[str]]:
        """What makes the tokens, and the graph bias; each block, and the norm with the last; the head."""
        names = [name for name, _ in self.named_parameters()]
        modules: list[tuple[str, ...]] = [(f"blocks.{number}.",) for number in range(len(self.blocks))]
        modules[-1] += ("norm.",)
        later = [[n for n in names if n.startswith(prefixes)] for prefixes in (*modules, ("head.",))]
        taken = {name for group in later for name in group}
        return [[name for name in names if name not in taken], *later]
