"""Attention over the edges of one topology (GATv2), a few samples at a time so that it stays in the cache.

Written out, the messages of all edges, heads and samples of a batch are several times the size of all else,
and attention spends its time on moving them: on the tesselation, 128 faces with 4 heads of width 32 make
200 MB for each of a dozen intermediate results. Here they are made for a few samples, used, and made again
for the gradient.

Brody, Alon and Yahav, "How attentive are graph attention networks?", ICLR 2022.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import leaky_relu

SLOPE = 0.2

# Messages of so many bytes at a time: within the cache that processor cores share. A GPU hides the traffic
# behind its many threads, and there fewer and larger steps are faster.
_CHUNK_BYTES = {"cpu": 4 << 20, "cuda": 512 << 20}


class Edges(NamedTuple):
    """Directed edges, the node's own loop among them, sorted by target.

    Attributes:
        source: int64 `[E]`.
        target: int64 `[E]`, ascending.
        lengths: int64 `[N]`, edges of each target.
        neighbours: int64 `[N, D]`, sources of each target's edges, then any node; D is the largest degree.
        is_edge: bool `[N, D]`, which of them are edges.
    """

    source: Tensor
    target: Tensor
    lengths: Tensor
    neighbours: Tensor
    is_edge: Tensor

    @classmethod
    def of(cls, edge_index: Tensor, num_nodes: int) -> "Edges":
        """The edges `[2, E]` of N nodes, (source, target) each, in any order."""
        target, order = edge_index[1].sort(stable=True)
        source = edge_index[0][order]
        lengths = torch.bincount(target, minlength=num_nodes)
        is_edge = torch.arange(int(lengths.max())) < lengths[:, None]
        neighbours = torch.zeros_like(is_edge, dtype=torch.int64).masked_scatter_(is_edge, source)
        return cls(source, target, lengths, neighbours, is_edge)


def graph_attention(left: Tensor, right: Tensor, att: Tensor, edges: Edges) -> Tensor:
    """What each node gathers: the mean over heads of its neighbours' features, weighted by attention.

    The score of an edge from j to i is `att . leaky_relu(left_j + right_i)`, and the weights of the edges of
    i are the softmax of their scores.

    Args:
        left: `[N, B, H, F]`, the features that are gathered.
        right: `[N, B, H, F]`, what a node asks with.
        att: `[H, F]`.
        edges: On the same device.

    Returns:
        `[N, B, F]`.
    """
    if torch.compiler.is_exporting():  # ONNX knows neither segments nor custom functions
        return _padded_attention(left, right, att, edges)
    return _GraphAttention.apply(left, right, att, edges)


def _padded_attention(left: Tensor, right: Tensor, att: Tensor, edges: Edges) -> Tensor:
    """`graph_attention` with as many neighbours for every node, of which those beyond its own weigh 0."""
    message = left[edges.neighbours]  # [N, D, B, H, F]
    score = (leaky_relu(message + right[:, None], SLOPE) * att).sum(dim=-1)  # [N, D, B, H]
    score = torch.where(edges.is_edge[:, :, None, None], score, -torch.inf)
    return (score.softmax(dim=1)[..., None] * message).sum(dim=1).mean(dim=2)


class _GraphAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor, att: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(left, right, att)
        ctx.edges = edges  # type: ignore[attr-defined]
        parts = []
        for part in _chunks(left, edges):
            message, _, weight = _weigh(left[:, part], right[:, part], att, edges)
            message.mul_(weight[..., None])
            parts.append(_sum_at(edges.target, message.mean(dim=2), len(left)))
        return torch.cat(parts, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        left, right, att = ctx.saved_tensors  # type: ignore[attr-defined]
        edges: Edges = ctx.edges  # type: ignore[attr-defined]
        n, heads = len(left), left.shape[2]
        to_left, to_right, to_att = torch.empty_like(left), torch.empty_like(right), torch.zeros_like(att)
        for part in _chunks(left, edges):
            message, both, weight = _weigh(left[:, part], right[:, part], att, edges)
            outgoing = (grad[:, part] / heads).index_select(0, edges.target)[:, :, None]  # [E, b, 1, F]
            to_weight = (message * outgoing).sum(dim=-1)  # [E, b, H]
            mean = _sum_at(edges.target, weight * to_weight, n).index_select(0, edges.target)
            to_score = (weight * (to_weight - mean))[..., None]  # [E, b, H, 1]
            to_att += (to_score * leaky_relu(both, SLOPE)).sum(dim=(0, 1))
            to_both = to_score * att
            to_both = torch.where(both > 0, to_both, SLOPE * to_both)
            to_right[:, part] = _sum_at(edges.target, to_both, n)
            to_left[:, part] = _sum_at(edges.source, to_both.addcmul_(weight[..., None], outgoing), n)
        return to_left, to_right, to_att, None


def _chunks(left: Tensor, edges: Edges) -> list[slice]:
    """Slices of the batch, each of as many samples as the cache holds the messages of."""
    _, batch, heads, width = left.shape
    sample = len(edges.source) * heads * width * left.element_size()
    size = max(1, _CHUNK_BYTES.get(left.device.type, batch * sample) // sample)
    return [slice(first, first + size) for first in range(0, batch, size)]


def _weigh(left: Tensor, right: Tensor, att: Tensor, edges: Edges) -> tuple[Tensor, Tensor, Tensor]:
    """Messages and what their scores are made of, `[E, b, H, F]` each, and their weights `[E, b, H]`."""
    message = left.index_select(0, edges.source)
    both = right.index_select(0, edges.target).add_(message)
    score = (leaky_relu(both, SLOPE) * att).sum(dim=-1)
    # Any number that the edges of a node share leaves their softmax as it is; the largest keeps it finite.
    largest = torch.segment_reduce(score, "max", lengths=edges.lengths, axis=0)
    weight = score.sub_(largest.index_select(0, edges.target)).exp_()
    total = _sum_at(edges.target, weight, len(left))
    return message, both, weight.div_(total.index_select(0, edges.target))


def _sum_at(index: Tensor, values: Tensor, n: int) -> Tensor:
    """The sum of the values of all edges with the same index, `[E, ...] -> [n, ...]`."""
    return values.new_zeros(n, *values.shape[1:]).index_add_(0, index, values)
