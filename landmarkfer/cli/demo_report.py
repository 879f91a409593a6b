"""What `landmarkfer demo` prints: how far its figures go, one table, the pictures, and what to do next."""

import shlex
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from landmarkfer.demo import Demo
from landmarkfer.evaluation.files import PREDICTIONS_FILE
from landmarkfer.metrics.predictions import read_predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.metrics.significance import mcnemar
from landmarkfer.progress import counted, duration

DISCLAIMER = (
    "All faces are warps of one photograph, moved by a table of facial muscles. The figures prove that the "
    "path works; they say nothing about accuracy on people."
)


def print_opening(out: Path, console: Console) -> None:
    """Print what is coming, and what it is worth."""
    console.print(
        f"The whole path on synthetic faces, in {out}. {DISCLAIMER}", style="yellow", highlight=False
    )


def print_demo(demo: Demo, console: Console) -> None:
    """Show the comparison, the pictures, and the next commands."""
    console.print(comparison_table(demo))
    console.print(compare(demo), highlight=False)
    console.print(f"\n{DISCLAIMER}", style="yellow", highlight=False)
    console.print("\n[bold]Pictures[/bold]", highlight=False)
    width = max(map(len, demo.pictures))
    for title, path in demo.pictures.items():
        console.print(f"  {title:{width}}  {path}", highlight=False, soft_wrap=True)
    console.print("\n[bold]Next[/bold]", highlight=False)
    for command in next_commands(demo):
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    console.print(f"\nDone in {duration(demo.seconds)}.", highlight=False)


def next_commands(demo: Demo) -> list[str]:
    """Commands that work on what the demo left, then those for one's own images."""
    cache = shlex.quote(str(demo.cache.path))
    runs = " ".join(shlex.quote(str(run.folder.path)) for run in demo.runs.values())
    return [
        f"landmarkfer inspect {cache}",
        f"landmarkfer train --model gnn --graph knn --cache {cache}",
        f"landmarkfer evaluate {runs}",
        "landmarkfer extract YOUR_PHOTOS     # a folder or .zip with one folder per expression",
    ]


def comparison_table(demo: Demo) -> Table:
    """The one table of a demo: each model on all test images, and on those where a face was found."""
    images = demo.average.subsets["test"].n
    caption = f"percent of {counted(images, 'test image')}; below an accuracy, its 95 % interval"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in ("weights", "trained\nin", "accuracy", "where a\nface is", "macro-\nF1", "lowest\nrecall"):
        table.add_column(heading, justify="right")
    for model, run in demo.runs.items():
        table.add_row(model, f"{run.parameters:,}", f"{run.seconds:.0f} s", *_figures(run.evaluation))
    table.add_row("both, averaged", "", "", *_figures(demo.average))
    return table


def _figures(evaluation: Evaluation) -> list[str]:
    test = evaluation.subsets["test"]
    low, high = test.intervals["accuracy"]
    interval = "" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f}"
    name, recall = test.lowest_recall()
    detected = evaluation.subsets["test_detected"].accuracy
    return [
        f"{100 * test.accuracy:.1f}\n[dim]{interval}[/dim]",
        f"{100 * detected:.1f}",
        f"{100 * test.macro_f1:.1f}",
        f"{100 * recall:.1f}\n[dim]{name}[/dim]",
    ]


def compare(demo: Demo) -> str:
    """One sentence: whether the two models differ on the test images, by McNemar's test."""
    first, second = (read_predictions(run.folder.path / PREDICTIONS_FILE) for run in demo.runs.values())
    test = mcnemar(first.labels, first.predicted, second.predicted)
    names = list(demo.runs)
    verdict = "too few to distinguish them" if test.mid_p >= 0.05 else "hardly by chance"
    return (
        f"{names[0]} alone is correct on {counted(test.only_first, 'image')} and {names[1]} alone on "
        f"{test.only_second}: {verdict} (McNemar, p = {test.mid_p:.2g})."
    )
