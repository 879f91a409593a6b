"""Compare a facial graph of your own with a named one.

    python examples/own_graph.py [OUT]

A graph is a CSV of edges between the 478 landmarks. This one joins the eyes, brows and lips of a face with
their mirror images.
"""

import csv
import sys
from pathlib import Path
from tempfile import mkdtemp

import landmarkfer as lf
from landmarkfer.data.synthetic import write_dataset
from landmarkfer.face.landmarks import MIRROR, region_points


def write_edges(path: Path) -> None:
    """Rings of the moving regions, and an edge from each of their points to its mirror image."""
    edges = set()
    for region in ("left_eye", "right_eye", "left_brow", "right_brow", "upper_lip", "lower_lip"):
        points = region_points(region)
        edges |= {tuple(sorted(pair)) for pair in zip(points, (*points[1:], points[0]), strict=True)}
        edges |= {tuple(sorted((point, int(MIRROR[point])))) for point in points}
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["source", "target"])
        table.writerows(sorted(pair for pair in edges if pair[0] != pair[1]))


def main(out: Path) -> None:
    """Train the same model on both graphs."""
    write_dataset(out / "photos", per_class=16)
    cache = lf.extract(out / "photos", out / "cache", workers=1)
    write_edges(out / "mirrored.csv")
    small = {"model.widths": [16, 16], "model.node_width": 8}
    for graph in (str(out / "mirrored.csv"), "contours"):
        edges = lf.build_graph(graph).statistics().edges
        run = lf.train("gnn", cache, graph=graph, epochs=3, batch_size=16, settings=small, out=out / "runs")
        accuracy = lf.evaluate(run).subsets["test"].accuracy
        print(f"{Path(graph).stem:10} {edges:5} edges   test accuracy {accuracy:.1%}   {run.path}")
    print("One seed of a small training tells nothing: `landmarkfer compare` takes runs of several seeds.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="landmarkfer-")))
