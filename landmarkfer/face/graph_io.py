"""Facial graphs from files: edge lists (CSV) and GraphML.

An edge list has the columns `source`, `target` and optionally `kind`, one row per undirected edge; further
columns are ignored. Nodes are landmark indices 0 to 477; node 478 + r is the hub of region r
(`landmarks.REGIONS`). A pair that is given in both directions counts once.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmarkfer.errors import GraphError
from landmarkfer.face.landmarks import N_LANDMARKS, REGIONS

if TYPE_CHECKING:
    pass

MAX_NODES = N_LANDMARKS + len(REGIONS)
DEFAULT_KIND = "edge"
READABLE = (".csv", ".graphml")

EdgeKinds = dict[tuple[int, int], str]


def read_edges(path: Path) -> EdgeKinds:
    """The undirected edges of a file, smaller index first, with the kind of each.

    Args:
        path: an edge list (`.csv`) or GraphML (`.graphml`).

    Raises:
        GraphError: The file cannot be read, or holds something that is no graph on the landmarks; the message
            names the file and the place.
    """
    if path.suffix.lower() not in READABLE:
        raise GraphError(f"{path} is no graph file: expected one of {', '.join(READABLE)}")
    try:
        return _read_csv(path) if path.suffix.lower() == ".csv" else _read_graphml(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GraphError(f"the graph file {path} cannot be read: {error}") from error


def _read_csv(path: Path) -> EdgeKinds:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        if not {"source", "target"} <= set(columns):
            found = ", ".join(columns) or "nothing"
            raise GraphError(f"{path} needs the columns source and target in its first line, found {found}")
        return _collect(
            path,
            (
                (f"line {rows.line_num}", row["source"], row["target"], row.get("kind") or DEFAULT_KIND)
                for row in rows
            ),
        )


def _read_graphml(path: Path) -> EdgeKinds:
    from xml.etree.ElementTree import ParseError

    import networkx as nx

    try:
        graph = nx.read_graphml(path)
    except (ParseError, nx.NetworkXError, KeyError, ValueError) as error:
        raise GraphError(f"{path} is not valid GraphML: {error}") from error
    edges = _collect(
        path,
        (
            (f"edge {source} - {target}", source, target, str(data.get("kind") or DEFAULT_KIND))
            for source, target, data in graph.edges(data=True)
        ),
    )
    for node in graph.nodes:
        _index(path, "a node", node)
    return edges


def _collect(path: Path, rows: Iterable[tuple[str, Any, Any, str]]) -> EdgeKinds:
    """Checks (place, source, target, kind) and joins the two directions of an edge."""
    edges: EdgeKinds = {}
    for place, *ends, kind in rows:
        source, target = (_index(path, place, end) for end in ends)
        if source == target:
            raise GraphError(
                f"{path}, {place}: node {source} is joined to itself; a facial graph has no loops"
            )
        pair = (min(source, target), max(source, target))
        if edges.setdefault(pair, kind) != kind:
            raise GraphError(
                f"{path}, {place}: the edge {pair[0]} - {pair[1]} is given as '{edges[pair]}' and as"
                f" '{kind}'; keep one of them"
            )
    return edges


def _index(path: Path, place: str, value: Any) -> int:
    try:
        index = int(value)
    except (TypeError, ValueError):
        raise GraphError(
            f"{path}, {place}: '{value}' is no node; expected a landmark index 0 to {N_LANDMARKS - 1}"
        ) from None
    if not 0 <= index < MAX_NODES:
        raise GraphError(
            f"{path}, {place}: there is no node {index}; expected a landmark 0 to {N_LANDMARKS - 1} or the"
            f" hub of a region, {N_LANDMARKS} to {MAX_NODES - 1}"
        )
    return index
