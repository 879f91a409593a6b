"""What `landmarkfer explain` prints and writes."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from landmarkfer.inference.explain.classes import ClassMeans, strongest_regions
from landmarkfer.inference.explain.explanation import Explanation
from landmarkfer.inference.explain.pictures import class_means_figure, explanation_figure
from landmarkfer.reporting.graph import save_figure

_REGIONS = 4


def write_explanation(explanation: Explanation, out: Path, number: int) -> Path:
    """Write the picture and the JSON of an explanation; return the path of the picture."""
    face = explanation.face
    name = f"{number:05d}-{Path(face.source).stem}-{face.number or 0}"
    picture = out / f"{name}.png"
    save_figure(explanation_figure(explanation), picture)
    explanation.write(out / f"{name}.json")
    return picture


def print_explanation(explanation: Explanation, picture: Path) -> None:
    """Print what contributes most, and whether the maps are faithful."""
    console = Console(highlight=False, soft_wrap=True)
    face = explanation.face
    asked = "" if face.label == explanation.label else f"; explained: {explanation.label}"
    console.print(
        f"{face.source}, face {face.number or 0}: {face.caption}{asked}", markup=False, style="bold"
    )
    parts = []
    if explanation.branches:
        pixels, landmarks = (explanation.branches[name] for name in ("pixels", "landmarks"))
        parts.append(f"pixels {pixels:+.2f}, landmarks {landmarks:+.2f}")
    if explanation.regions:
        most = list(explanation.regions.items())[:_REGIONS]
        parts.append(", ".join(f"{name.replace('_', ' ')} {value:+.2f}" for name, value in most))
    for part in parts:
        console.print(f"  log-odds: {part}", markup=False)
    for sentence in explanation.sentences:
        console.print(f"  {sentence}", markup=False, style="" if explanation.faithful else "yellow")
    console.print(f"  {picture}", markup=False, style="dim")


def write_means(means: ClassMeans, out: Path) -> list[Path]:
    """Write the picture and the tables of class means; return their paths."""
    paths = [out / f"{means.model}-{name}" for name in ("classes.png", "regions.csv", "faithfulness.csv")]
    save_figure(class_means_figure(means), paths[0], few_colours=True)
    means.regions.round(4).to_csv(paths[1])
    if means.areas.empty:
        return paths[:2]
    means.areas.round(4).to_csv(paths[2], index=False)
    return paths


def print_means(means: ClassMeans, paths: list[Path]) -> None:
    """Print the strongest regions of each class, and how faithful the maps are."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("class", "faces", "regions, by their share"):
        table.add_column(name, justify="right" if name == "faces" else "left")
    strongest = strongest_regions(means, _REGIONS)
    for name, count in zip(means.classes, means.faces, strict=True):
        regions = ", ".join(f"{one.replace('_', ' ')} {100 * share:.0f} %" for one, share in strongest[name])
        table.add_row(name, f"{count:,}", regions)
    console.print(table)
    for curve, row in means.faithfulness.iterrows():
        text = str(curve).replace("_", " ")
        console.print(
            f"area of {text}: {row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f})", markup=False
        )
    if not means.areas.empty:
        better = means.areas[["deleted", "inserted"]].all(axis=1).mean()
        console.print(f"{100 * better:.0f} % of the maps beat random orders in both", markup=False)
    console.print("Files: " + ", ".join(str(path) for path in paths), markup=False, soft_wrap=True)
