"""Facial graphs to files: CSV, GraphML, GEXF and JSON."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from landmarkfer.errors import GraphError
from landmarkfer.files import replacing

if TYPE_CHECKING:
    from landmarkfer.face.graph import FaceGraph


WRITABLE = (".csv", ".graphml", ".gexf", ".json")


def write_graph(graph: "FaceGraph", path: Path) -> None:
    """Writes a graph in the format of the suffix: `.csv`, `.graphml`, `.gexf` or `.json` (node-link).

    All but the edge list carry region, side, x, y and z of each node and the kind of each edge; CSV and
    GraphML can be read back with `build_graph(path)`.

    Raises:
        GraphError: The suffix is not one of these, or the file cannot be written.
    """
    import networkx as nx

    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise GraphError(f"{path} has no known graph format: expected one of {', '.join(WRITABLE)}")
    try:
        with replacing(path) as partial:
            if suffix == ".csv":
                _write_csv(graph, partial)
            elif suffix == ".graphml":
                nx.write_graphml(graph.to_networkx(), partial)
            elif suffix == ".gexf":
                nx.write_gexf(graph.to_networkx(), partial)
            else:
                data = nx.node_link_data(graph.to_networkx(), edges="edges")
                partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise GraphError(f"the graph cannot be written to {path}: {error}") from error


def _write_csv(graph: "FaceGraph", path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "target", "kind"])
        for (source, target), kind in zip(graph.edges.tolist(), graph.undirected_kind.tolist(), strict=True):
            writer.writerow([source, target, graph.kinds[kind]])
