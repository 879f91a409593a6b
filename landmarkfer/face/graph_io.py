"""Facial graphs from files: edge lists (CSV) and GraphML.

An edge list has the columns `source`, `target` and optionally `kind`, in capitals or not, one row per
undirected edge, separated by commas, semicolons or tabs; further columns are ignored. Nodes are landmark
indices 0 to 477; node 478 + r is the hub of region r (`landmarks.REGIONS`). A pair that is given in both
directions counts once, and so does one that is repeated, with a warning.

A file that numbers its nodes from 1 states so in a line `# numbering: 1` above the header, or is refused
(`graph_numbering`); `# numbering: 0` states that a file which looks so is numbered from 0. In GraphML it is
the graph's attribute `numbering`.
"""

import csv
import logging
import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from landmarkfer.errors import GraphError
from landmarkfer.face.graph_numbering import check_numbering
from landmarkfer.face.landmarks import N_LANDMARKS, REGIONS

logger = logging.getLogger(__name__)

MAX_NODES = N_LANDMARKS + len(REGIONS)
DEFAULT_KIND = "edge"
READABLE = (".csv", ".graphml")

EdgeKinds = dict[tuple[int, int], str]

_NUMBERING = re.compile(r"#\s*numbering\s*[:=]\s*(?P<first>[^\s,;]*)", re.IGNORECASE)
# An index as an integer, or as pandas writes it into a column that has had a missing value.
_INDEX = re.compile(r"[+-]?\d{1,9}(\.0*)?")


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


def read_graph(path: Path) -> EdgeKinds:
    """What `read_edges` gives of a file, which must have an edge.

    Raises:
        GraphError: See `read_edges`, or the file has no edges.
    """
    edges = read_edges(path)
    if not edges:
        raise GraphError(f"{path} has no edges, so it joins no landmarks; give it a row for each edge")
    return edges


def _read_csv(path: Path) -> EdgeKinds:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = file.readlines()
    comments = list(takewhile(lambda line: line.startswith("#"), lines))
    stated = next((found["first"] for line in comments if (found := _NUMBERING.match(line))), None)
    header = lines[len(comments)] if len(lines) > len(comments) else ""
    delimiter = next((sign for sign in ",;\t" if sign in header), ",")
    rows = csv.DictReader(lines[len(comments) :], delimiter=delimiter)
    columns = list(rows.fieldnames or [])
    there = {name.strip().lower(): name for name in reversed(columns)} | {name: name for name in columns}
    if not {"source", "target"} <= set(there):
        names = ", ".join(columns) or "nothing"
        raise GraphError(f"{path} needs the columns source and target in its first line, found {names}")
    return _collect(
        path,
        (
            (
                f"line {len(comments) + rows.line_num}",
                row[there["source"]],
                row[there["target"]],
                row.get(there.get("kind", "kind")) or DEFAULT_KIND,
            )
            for row in rows
        ),
        _first_number(path, stated),
    )


def _read_graphml(path: Path) -> EdgeKinds:
    from xml.etree.ElementTree import ParseError

    import networkx as nx

    try:
        graph = nx.read_graphml(path)
    except (ParseError, nx.NetworkXError, KeyError, ValueError) as error:
        raise GraphError(f"{path} is not valid GraphML: {error}") from error
    first = _first_number(path, graph.graph.get("numbering"))
    edges = _collect(
        path,
        (
            (f"edge {source} - {target}", source, target, str(data.get("kind") or DEFAULT_KIND))
            for source, target, data in graph.edges(data=True)
        ),
        first,
    )
    for node in graph.nodes:
        _index(path, "a node", node, first or 0)
    return edges


def _first_number(path: Path, stated: Any) -> int | None:
    """The number of the first landmark that a file states; None where it states none."""
    if stated is None:
        return None
    if str(stated) not in ("0", "1"):
        raise GraphError(
            f"{path} states the numbering '{stated}'; expected 0 or 1, the first landmark's number"
        )
    return int(stated)


def _collect(path: Path, rows: Iterable[tuple[str, Any, Any, str]], first: int | None) -> EdgeKinds:
    """Checks (place, source, target, kind) and joins the two directions of an edge.

    Args:
        path: The file, for messages.
        rows: The edges.
        first: The number of the first landmark; None where it is not stated, and is then checked.
    """
    edges: EdgeKinds = {}
    given: set[tuple[int, int]] = set()
    repeated = total = 0
    for place, *ends, kind in rows:
        source, target = (_index(path, place, end, first or 0) for end in ends)
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
        total += 1
        repeated += (source, target) in given
        given.add((source, target))
    if repeated:
        logger.warning("%s: %d of %d rows repeat an edge, which counts once", path, repeated, total)
    if first is None:
        check_numbering(path, edges)
    return edges


def _index(path: Path, place: str, value: Any, first: int) -> int:
    """The node that a file calls `value`, where its first landmark has the number `first`."""
    text = str(value).strip()
    if not _INDEX.fullmatch(text):
        raise GraphError(
            f"{path}, {place}: '{value}' is no node; expected a landmark index {first} to"
            f" {first + N_LANDMARKS - 1}"
        )
    number = int(text.partition(".")[0])
    if not first <= number < first + MAX_NODES:
        raise GraphError(
            f"{path}, {place}: there is no node {number}; expected a landmark {first} to"
            f" {first + N_LANDMARKS - 1} or the hub of a region, {first + N_LANDMARKS} to"
            f" {first + MAX_NODES - 1}"
        )
    return number - first
