"""Compares the ONNX export of every kind of network with PyTorch on 1,000 faces of a cache.

    python experiments/exports.py --cache fer2013

Each kind is trained for an epoch on some images of each class, so that its weights are no random ones, and
exported. Writes `experiments/results/exports.csv` and `exports.md`.
"""

import argparse
import logging
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import landmarkfer as lf
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.evaluation.exported import compared_faces
from landmarkfer.inference.export import TOLERANCE, check_export, export_onnx
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.progress import Progress, show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results")
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mlp": ("mlp", {}),
    "mlp, displacement": ("mlp", {"model.features": "displacement"}),
    "gnn, sage": ("gnn", {}),
    "gnn, gcn": ("gnn", {"model.conv": "gcn"}),
    "gnn, gin": ("gnn", {"model.conv": "gin"}),
    "gnn, gatv2": ("gnn", {"model.conv": "gatv2"}),
    "gnn, hubs": ("gnn", {"model.graph": "regions"}),
    "transformer": ("transformer", {}),
    "image": ("image", {"model.width": 16}),
    **{
        f"fusion, {fusion}": (
            "fusion",
            {"model.width": 16, "model.fusion": fusion, "model.encoder": encoder},
        )
        for fusion, encoder in {
            "late": "mlp",
            "concat": "mlp",
            "gated": "gnn",
            "cross-attention": "gnn",
            "sampled": "gnn",
        }.items()
    },
}


def measured(cache: Path, per_class: int, progress: Progress) -> pd.DataFrame:
    """Train, export and compare each kind."""
    faces = LandmarkCache.open(cache)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, (model, settings) in progress.track(KINDS.items(), "comparing", len(KINDS)):
            name = kind.replace(", ", "-").replace(" ", "-")
            run = lf.train(
                cache=cache,
                model=model,
                name=name,
                out=folder,
                epochs=1,
                device="cpu",
                settings={**settings, "data.per_class": per_class},
            )
            network = TorchNetwork.of_run(run, "cpu")
            file = Path(folder) / f"{name}.onnx"
            export_onnx(network, file)
            check = check_export(network, OnnxNetwork(file), compared_faces(faces, network))
            rows.append({"kind": kind, **asdict(check), "mb": file.stat().st_size / 1e6})
    return pd.DataFrame(rows)


def main() -> None:
    """Compare all kinds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", default="fer2013", metavar="NAME|FOLDER")
    parser.add_argument("--per-class", type=int, default=200, help="training images of each class")
    given = parser.parse_args()
    logging.getLogger("landmarkfer").setLevel(logging.ERROR)  # an epoch is little, and each run says so
    cache = find_cache(given.cache)
    with show_progress() as progress:
        table = measured(cache, given.per_class, progress)
    table.to_csv(RESULTS / "exports.csv", index=False)
    header = Header(
        "Exports",
        [f"python experiments/exports.py {shlex.join(sys.argv[1:])}".strip()],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            f"The ONNX export of every kind of network, compared with PyTorch on faces of {cache.name}, "
            f"those without a face too. Each was trained for one epoch on {given.per_class} images of each "
            "class, seed 0. `largest difference`: of a probability, where PyTorch normalises landmarks in "
            f"double precision, as an export does; {TOLERANCE:g} is allowed. `to the run`: where it "
            "normalises in single precision, as in training."
        ),
    )
    cells = [
        [
            one.kind,
            f"{one.faces:,}",
            *(f"{difference:.1e}" for difference in (one.largest, one.of_run)),
            f"{100 * one.same_labels:.1f} %",
            f"{one.mb:.1f}",
        ]
        for one in table.itertuples()
    ]
    headings = ["kind", "faces", "largest difference", "to the run", "same label", "MB"]
    page = markdown_table(headings, cells, text_columns=1)
    write_page(RESULTS / "exports.md", RESULTS / "exports.csv", header, [page])


if __name__ == "__main__":
    main()
