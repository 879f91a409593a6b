"""The graph of a model as buffers, so that the file of its weights restores it.

A graph model builds its layers for one graph. Its buffers travel with the weights and are compared, never
replaced: weights that were trained on another graph are refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landmarkfer.errors import GraphError, RunError
from landmarkfer.face.graph import FaceGraph

GRAPH_ARRAYS = ("edge_index", "edge_kind", "node_region")


class GraphBuffers(nn.Module):
    """Buffers `edge_index [2, E]`, `edge_kind [E]` and `node_region [N]`, all int64.

    Args:
        graph: The graph that the model is built for.
    """

    edge_index: Tensor
    edge_kind: Tensor
    node_region: Tensor

    def __init__(self, graph: FaceGraph) -> None:
        super().__init__()
        self.face_graph = graph
        for name in GRAPH_ARRAYS:
            self.register_buffer(name, torch.from_numpy(getattr(graph, name).copy()))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for name in GRAPH_ARRAYS:
            # Checkpoints of version 0.1 store no graph.
            given = state_dict.get(prefix + name)
            if given is not None and not torch.equal(given.cpu(), getattr(self, name).cpu()):
                raise GraphError(
                    f"the graph '{self.face_graph.name}' has changed since these weights were trained "
                    f"({prefix}{name} differs); train a new run."
                )


def graph_of(
    tensors: Mapping[str, Tensor], origin: Path, *, prefix: str, name: str, kinds: Sequence[str]
) -> FaceGraph:
    """The graph that the buffers of a file hold.

    Args:
        tensors: Of the file.
        origin: The file.
        prefix: What the names of its graph's buffers start with.
        name: Of the graph.
        kinds: Names of the kinds of its edges; numbered if empty.

    Raises:
        RunError: A buffer is missing.
        GraphError: They hold no facial graph.
    """
    arrays = {}
    for field in GRAPH_ARRAYS:
        if prefix + field not in tensors:
            raise RunError(f"{origin} lacks {prefix}{field} of the graph '{name}'; train the model again.")
        arrays[field] = tensors[prefix + field].numpy()
    numbered = tuple(f"kind {number}" for number in range(int(arrays["edge_kind"].max(initial=-1)) + 1))
    return FaceGraph(name, kinds=tuple(kinds) or numbered, num_nodes=len(arrays["node_region"]), **arrays)
