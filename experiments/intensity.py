"""Validates `intensity`: does it rank how strongly synthetic faces show an expression?

    python experiments/intensity.py fusion landmarks

Faces of each expression are drawn at several strengths from none to full. Spearman's rank correlation of the
strength with the predicted intensity, of the same face (mean over faces) and of all faces together. Writes
`experiments/results/intensity.csv` and `intensity.md`.
"""

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import landmarkfer as lf
from landmarkfer.data.synthetic import CLASSES
from landmarkfer.data.synthetic.parameters import draw_parameters
from landmarkfer.data.synthetic.rendering import expose, render
from landmarkfer.progress import Progress, show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results")
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SIZE = 192


def draw_faces(faces: int, progress: Progress) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Faces of each expression at each strength: `label, face, strength`, and their images."""
    rows, images = [], []
    wanted = [(label, face) for label in CLASSES if label != "neutral" for face in range(faces)]
    for label, face in progress.track(wanted, "drawing faces", len(wanted)):
        strength, drawn = draw_parameters(label, np.random.default_rng([1, face, CLASSES.index(label)]))
        for new in STRENGTHS:
            units = {
                number: (right * new / strength, left * new / strength)
                for number, (right, left) in drawn.action_units.items()
            }
            parameters = replace(drawn, action_units=units)
            image = expose(render(parameters, SIZE)[0], parameters, np.random.default_rng(face))
            rows.append((label, face, new))
            images.append(image)
    return pd.DataFrame(rows, columns=["label", "face", "strength"]), images


def correlations(table: pd.DataFrame, model: str) -> list[tuple[str, str, float, float, int, float]]:
    """Model, expression, correlations of the same face and of all faces, images, `happy` at strength 0."""
    rows = []
    groups = [("all", table), *table.groupby("label", sort=False)]
    for label, some in groups:
        found = some.dropna(subset="intensity")
        each = [
            spearmanr(one["strength"], one["intensity"]).statistic
            for _, one in found.groupby(["label", "face"])
            if len(one) > 2
        ]
        whole = spearmanr(found["strength"], found["intensity"]).statistic
        happy = float(found.loc[found["strength"] == 0, "happy"].mean())
        rows.append((model, str(label), float(np.nanmean(each)), float(whole), len(found), happy))
    return rows


def page(table: pd.DataFrame) -> str:
    """The table of the page."""
    cells = [
        [
            *(one.model, one.expression, f"{one.images:,}", f"{one.same_face:.2f}", f"{one.all_faces:.2f}"),
            f"{one.happy_at_0:.2f}",
        ]
        for one in table.itertuples()
    ]
    titles = ["model", "expression", "images", "same face", "all faces", "`happy` at strength 0"]
    return markdown_table(titles, cells, text_columns=2)


def measure(models: Sequence[str], faces: int) -> pd.DataFrame:
    """The correlations of each model."""
    rows = []
    with show_progress() as progress:
        table, images = draw_faces(faces, progress)
        for name in models:
            predicted = lf.load(name).predict(
                images, faces="largest", workers=os.cpu_count() or 1, progress=progress
            )
            happy = predicted.probabilities[:, predicted.classes.index("happy")]
            rows += correlations(table.assign(intensity=predicted.intensities, happy=happy), name)
    columns = ["model", "expression", "same_face", "all_faces", "images", "happy_at_0"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    """Validate the named models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="models that ship, runs, or exports")
    parser.add_argument("--faces", type=int, default=12, help="of each expression")
    given = parser.parse_args()
    table = measure(given.models, given.faces)
    table.to_csv(RESULTS / "intensity.csv", index=False, float_format="%.6f")
    header = Header(
        "Intensity",
        [f"python experiments/intensity.py {shlex.join(given.models)}"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            "Spearman's rank correlation of `intensity` with how strongly synthetic faces show an "
            f"expression, at strengths of {', '.join(f'{one:g}' for one in STRENGTHS)}: of the same face, "
            "the mean over faces; and of all faces together, which differ in shape, pose and light, too. "
            "All faces are warps of one portrait, which smiles: the last column is the mean probability of "
            "`happy` where no expression is added. Where an expression takes the smile away, the face comes "
            "nearer to neutral, and the correlation is negative."
        ),
    )
    write_page(RESULTS / "intensity.md", RESULTS / "intensity.csv", header, [page(table)])


if __name__ == "__main__":
    main()
