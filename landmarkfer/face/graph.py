"""The facial graphs: which landmarks are joined, by name, from a file, or from where points lie.

Nodes are the 478 landmarks in MediaPipe's order, followed, in graphs that use them, by one hub per region in
the order of `landmarks.REGIONS`. Edges are undirected and stored in both directions, as message passing reads
them. Coordinates are those of `landmarks.CANONICAL`: x to the image right, y down, z negative toward the
camera.

    graph = build_graph("anatomical")
    graph.statistics().edges        # 157
    graph.to_networkx(), graph.to_pyg()
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.errors import GraphError
from landmarkfer.face.edges import Edges, as_edges, complete_edges, delaunay_edges, knn_edges
from landmarkfer.face.graph_io import MAX_NODES, READABLE, read_edges, read_graph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS, REGION, REGIONS, SIDE, graphs_dir

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.data import Data

DEFAULT_K = 6


@dataclass(frozen=True, eq=False)
class FaceGraph:
    """An undirected graph on the 478 landmarks, with hubs of the regions where it uses them; immutable.

    Attributes:
        name: what it is called in tables and files.
        edge_index: int64 `[2, E]`, every edge in both directions, sorted by source, then target; no loops.
        edge_kind: int64 `[E]`, index into `kinds`, the same for both directions.
        kinds: names of the kinds of edge, in alphabetical order.
        num_nodes: 478, or 478 + R with the hubs of all R regions.
        node_region: int64 `[N]`, index into `landmarks.REGIONS`; a hub belongs to its own region.
    """

    name: str
    edge_index: NDArray[np.int64]
    edge_kind: NDArray[np.int64]
    kinds: tuple[str, ...]
    num_nodes: int
    node_region: NDArray[np.int64]

    def __post_init__(self) -> None:
        for field in ("edge_index", "edge_kind", "node_region"):
            array = np.asarray(getattr(self, field), dtype=np.int64)
            # Over a bytes object, so that nobody can make the array writable again.
            frozen = np.frombuffer(array.tobytes(), dtype=np.int64).reshape(array.shape)
            object.__setattr__(self, field, frozen)
        index = self.edge_index
        if self.num_nodes not in (N_LANDMARKS, MAX_NODES) or self.node_region.shape != (self.num_nodes,):
            raise GraphError(f"a facial graph has {N_LANDMARKS} or {MAX_NODES} nodes, got {self.num_nodes}")
        if index.ndim != 2 or len(index) != 2 or self.edge_kind.shape != index.shape[1:]:
            raise GraphError(
                f"expected edge_index [2, E] and edge_kind [E], got {index.shape}, {self.edge_kind.shape}"
            )
        if index.size and (index.min() < 0 or index.max() >= self.num_nodes):
            raise GraphError(f"an edge of '{self.name}' leaves the nodes 0 to {self.num_nodes - 1}")
        forward = np.stack([index[0], index[1], self.edge_kind], axis=1)
        backward = forward[np.lexsort((index[0], index[1]))][:, [1, 0, 2]]
        order = index[0] * self.num_nodes + index[1]
        if np.any(np.diff(order) <= 0) or np.any(index[0] == index[1]) or np.any(forward != backward):
            raise GraphError(
                f"the edges of '{self.name}' are not sorted pairs in both directions without loops; make the"
                " graph with FaceGraph.from_edges"
            )
        if index.size and not 0 <= self.edge_kind.min() <= self.edge_kind.max() < len(self.kinds):
            raise GraphError(f"an edge of '{self.name}' has none of the kinds {self.kinds}")

    @classmethod
    def from_edges(cls, name: str, edges: Mapping[tuple[int, int], str]) -> "FaceGraph":
        """A graph from undirected edges, each once and in either order, with the kind of each.

        Nodes from 478 on are hubs; if there is one, the graph has them all.

        Raises:
            GraphError: An edge leaves the nodes, is a loop, or is given in both orders.
        """
        kinds = tuple(sorted(set(edges.values())))
        pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
        kind = np.array([kinds.index(value) for value in edges.values()], dtype=np.int64)
        both, kind = np.concatenate([pairs, pairs[:, ::-1]]), np.concatenate([kind, kind])
        order = np.lexsort((both[:, 1], both[:, 0]))
        hubs = bool(pairs.size) and pairs.max() >= N_LANDMARKS
        regions = np.concatenate([REGION, np.arange(len(REGIONS))]) if hubs else REGION
        return cls(name, both[order].T, kind[order], kinds, len(regions), regions)

    @property
    def edges(self) -> Edges:
        """Each undirected edge once, the smaller node first: int64 `[E / 2, 2]`."""
        return self.edge_index[:, self.edge_index[0] < self.edge_index[1]].T

    @property
    def undirected_kind(self) -> NDArray[np.int64]:
        """Kind of each of `edges`: int64 `[E / 2]`."""
        return self.edge_kind[self.edge_index[0] < self.edge_index[1]]

    @property
    def num_hubs(self) -> int:
        """0, or the number of regions."""
        return self.num_nodes - N_LANDMARKS

    def hub_weights(self) -> NDArray[np.float32]:
        """Matrix `[H, 478]` that takes landmarks to hubs: each row averages the points of its region."""
        member = REGION[None, :] == np.arange(self.num_hubs)[:, None]
        return (member / np.maximum(member.sum(axis=1, keepdims=True), 1)).astype(np.float32)

    def place(self, landmarks: NDArray[np.floating]) -> NDArray[np.floating]:
        """Coordinates of all nodes, `[..., N, D]`, from those of the landmarks, `[..., 478, D]`."""
        return np.concatenate([landmarks, self.hub_weights().astype(landmarks.dtype) @ landmarks], axis=-2)

    def statistics(self) -> "GraphStatistics":
        """Counts, degrees, components and diameter."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components, shortest_path

        both, nodes = self.edge_index.shape[1], self.num_nodes
        adjacency = csr_array((np.ones(both, np.int8), tuple(self.edge_index)), shape=(nodes, nodes))
        degrees = np.bincount(self.edge_index[0], minlength=nodes)
        _, component = connected_components(adjacency, directed=False)
        sizes = np.bincount(component[degrees > 0], minlength=1)
        members = np.flatnonzero(component == sizes.argmax())
        kinds = np.bincount(self.undirected_kind, minlength=len(self.kinds)).tolist()
        return GraphStatistics(
            name=self.name,
            nodes=nodes,
            edges=len(self.edges),
            connected=int((degrees > 0).sum()),
            isolated=int((degrees == 0).sum()),
            components=int((sizes > 0).sum()),
            largest=int(sizes.max()),
            degree_mean=float(degrees.mean()),
            degree_max=int(degrees.max()),
            diameter=int(shortest_path(adjacency[members][:, members], unweighted=True).max()) if both else 0,
            kinds=dict(zip(self.kinds, kinds, strict=True)),
        )

    def to_networkx(self, face: ArrayLike | None = None) -> "nx.Graph":
        """As a NetworkX graph: nodes with region, side, hub, x, y, z; edges with kind.

        Args:
            face: coordinates of the landmarks, `[478, 3]`; the canonical face if not given.
        """
        import networkx as nx

        points = self.place(CANONICAL if face is None else _checked_face(face))
        sides = {1: "left", 0: "middle", -1: "right"}
        graph = nx.Graph(name=self.name)
        for node, (region, point) in enumerate(zip(self.node_region.tolist(), points.tolist(), strict=True)):
            name, (x, y, z) = REGIONS[region], (round(value, 5) for value in point)
            side = sides[int(SIDE[node])] if node < N_LANDMARKS else _side_of(name)
            graph.add_node(node, region=name, side=side, hub=node >= N_LANDMARKS, x=x, y=y, z=z)
        for (source, target), kind in zip(self.edges.tolist(), self.undirected_kind.tolist(), strict=True):
            graph.add_edge(source, target, kind=self.kinds[kind])
        return graph

    def to_pyg(self, face: ArrayLike | None = None) -> "Data":
        """As a PyTorch Geometric `Data`: edge_index, edge_kind, node_region, pos `[N, 3]`, num_nodes.

        Args:
            face: coordinates of the landmarks, `[478, 3]`; the canonical face if not given.
        """
        import torch

        with warnings.catch_warnings():  # PyTorch Geometric's own use of it; nobody else can mend it
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            from torch_geometric.data import Data

        points = self.place(CANONICAL if face is None else _checked_face(face))
        return Data(
            edge_index=torch.from_numpy(self.edge_index.copy()),
            edge_kind=torch.from_numpy(self.edge_kind.copy()),
            node_region=torch.from_numpy(self.node_region.copy()),
            pos=torch.from_numpy(points.astype(np.float32)),
            num_nodes=self.num_nodes,
        )


@dataclass(frozen=True)
class GraphStatistics:
    """Figures of a graph.

    Attributes:
        name: of the graph.
        nodes: landmarks and hubs.
        edges: undirected ones.
        connected, isolated: nodes with at least one edge, and with none.
        components: connected components among the connected nodes.
        largest: nodes in the largest component.
        degree_mean: edges per node, over all nodes.
        degree_max: most edges of one node.
        diameter: longest shortest path within the largest component, in edges.
        kinds: number of edges of each kind.
    """

    name: str
    nodes: int
    edges: int
    connected: int
    isolated: int
    components: int
    largest: int
    degree_mean: float
    degree_max: int
    diameter: int
    kinds: dict[str, int]


def _side_of(region: str) -> str:
    side = region.partition("_")[0]
    return side if side in ("left", "right") else "middle"


def _checked_face(face: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(face, dtype=np.float64)
    if array.shape != (N_LANDMARKS, 3):
        raise GraphError(f"a face must be [{N_LANDMARKS}, 3], got {list(array.shape)}")
    if not np.isfinite(array).all():
        raise GraphError("the face has missing points; give the mean of detected faces")
    return array


def _stored(name: str) -> dict[tuple[int, int], str]:
    return read_edges(graphs_dir() / f"{name}.csv")


def _of_kind(edges: Edges, kind: str) -> dict[tuple[int, int], str]:
    return {(source, target): kind for source, target in edges.tolist()}


def _region_edges() -> dict[tuple[int, int], str]:
    """The mesh, each landmark with the hub of its region, and the hubs of regions that touch."""
    mesh = _stored("tesselation")
    member = np.stack([np.arange(N_LANDMARKS), N_LANDMARKS + REGION], axis=1)
    touching = as_edges(N_LANDMARKS + REGION[np.array(list(mesh))])
    return mesh | _of_kind(member, "member") | _of_kind(touching, "hub")


Builder = Callable[[NDArray[np.floating], int], dict[tuple[int, int], str]]

# What each named graph joins, given a mean face [478, 3] and k. The edge lists in graphs/ hold them as they
# are on the canonical face with the default k (but for `full`, which needs no list).
GRAPHS: dict[str, Builder] = {
    "anatomical": lambda face, k: _stored("anatomical"),
    "contours": lambda face, k: _stored("contours"),
    "tesselation": lambda face, k: _stored("tesselation"),
    "knn": lambda face, k: _of_kind(knn_edges(face, k), "knn"),
    "delaunay": lambda face, k: _of_kind(delaunay_edges(face[:, :2]), "delaunay"),
    "hybrid": lambda face, k: _of_kind(knn_edges(face, k), "knn") | _stored("anatomical"),
    "regions": lambda face, k: _region_edges(),
    "full": lambda face, k: _of_kind(complete_edges(N_LANDMARKS), "full"),
}


def graph_names() -> tuple[str, ...]:
    """The named graphs: those of `GRAPHS`, then every other edge list in the folder `graphs/`."""
    files = sorted(path.stem for path in graphs_dir().glob("*.csv") if path.stem != "landmarks")
    return (*GRAPHS, *(name for name in files if name not in GRAPHS))


def build_graph(
    name_or_path: str | Path, *, mean_face: ArrayLike | None = None, k: int = DEFAULT_K
) -> FaceGraph:
    """A graph by its name, or from an edge list (`.csv`) or a `.graphml` file.

    Args:
        name_or_path: one of `graph_names()`, or a path.
        mean_face: landmarks `[478, 3]` on which `knn`, `delaunay` and `hybrid` are built, for example the
            mean normalised training face; the canonical face if not given. Other graphs do not depend on it.
        k: neighbours of each point in `knn` and `hybrid`.

    Raises:
        GraphError: The name is unknown, the file is no graph on the landmarks, or face or k cannot be used.
    """
    name = str(name_or_path)
    if k < 1:
        raise GraphError(f"k must be at least 1, got {k}")
    names, stored = graph_names(), graphs_dir() / f"{name}.csv"
    as_stored = mean_face is None and k == DEFAULT_K and stored.is_file()
    if name in names and (as_stored or name not in GRAPHS):
        return FaceGraph.from_edges(name, read_graph(stored))
    if name in GRAPHS:
        face = CANONICAL.astype(np.float64) if mean_face is None else _checked_face(mean_face)
        return FaceGraph.from_edges(name, GRAPHS[name](face, k))
    path = Path(name_or_path)
    if path.suffix.lower() in READABLE:
        return FaceGraph.from_edges(path.stem, read_graph(path))
    raise GraphError(
        f"there is no graph '{name}': expected one of {', '.join(names)}, or the path of an edge list"
        " (.csv with columns source, target) or a .graphml file"
    )
