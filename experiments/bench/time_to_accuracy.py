"""Time to accuracy: the test accuracy of landmark models on FER2013 over the time of training.

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/bench/time_to_accuracy.py

The clock runs from the call of `train`: it counts reading the cache, the statistics of the faces, training
and validation, but not detection, and not the test accuracy that is measured after each epoch. All 7,178 test
images count, those without a face too; the prediction for the mirrored face is averaged in. The test images
choose nothing here: every epoch is shown.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import lightning.pytorch as pl
import numpy as np
import torch
from _bench import Rows, write_page
from matplotlib.figure import Figure

from landmarkfer.config.recipes import load_settings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.splits import make_splits
from landmarkfer.inference.predict import predict_faces
from landmarkfer.reporting.graph import save_figure
from landmarkfer.training.fit import train

RESULTS = Path("experiments/results")
RECIPES = Path("experiments/recipes")
MARKS = {50.6: "published GCN", 53.6: "published transformer", 58.2: "published MLP"}


class Course(pl.Callback):
    """Seconds and test accuracy after each epoch; the clock stops while the test images are predicted."""

    def __init__(self, test: FaceBatch, prediction: Any) -> None:
        self._test = test
        self._prediction = prediction
        self._started = time.perf_counter()
        self._spent = 0.0
        self.points: list[tuple[float, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the epoch."""
        now = time.perf_counter()
        model = pl_module.model
        training = model.training
        predicted = predict_faces(model.eval(), self._test, self._prediction).predicted
        model.train(training)
        accuracy = float((predicted == self._test.labels.numpy()).mean())
        self.points.append((now - self._started - self._spent, 100 * accuracy))
        self._spent += time.perf_counter() - now


def course(recipe: str, epochs: int | None, cache: str | None) -> tuple[str, int, list[tuple[float, float]]]:
    """The name of a curve, its batch size and its points."""
    settings = load_settings(
        RECIPES / f"{recipe}.toml", {"fit.epochs": epochs, "cache": cache, "name": "run"}
    )
    source = LandmarkCache.open(find_cache(settings.cache))
    labels = label_images(source, settings.data)
    rows = make_splits(labels[0], settings.split).test
    test = load_dataset(source, settings.normalisation, labels).faces.rows(torch.from_numpy(rows))
    watch = Course(test, settings.prediction)
    with tempfile.TemporaryDirectory() as folder:
        train(settings, runs_root=Path(folder), callbacks=[watch])
    return f"{recipe}, {settings.epochs} epochs", settings.fit.batch_size, watch.points


def figures(name: str, batch: int, points: list[tuple[float, float]]) -> Rows:
    """Rows of the CSV: each epoch, and when each mark was passed."""
    named = {f"epoch {epoch}": point for epoch, point in enumerate(points, start=1)}
    for mark, meaning in MARKS.items():
        passed = [point for point in points if point[1] >= mark]
        if passed:
            named[f"past {mark} % ({meaning})"] = passed[0]
    return [
        (name, variant, "cpu", batch, metric, value)
        for variant, point in named.items()
        for metric, value in zip(("seconds", "test_accuracy"), point, strict=True)
    ]


def draw(path: Path, curves: dict[str, list[tuple[float, float]]]) -> None:
    """Test accuracy over minutes."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        seconds, accuracy = np.array(points).T
        axes.plot(seconds / 60, accuracy, "o-", markersize=3.5, linewidth=1.5, label=name)
    for mark, meaning in MARKS.items():
        axes.axhline(mark, color="#8a8f98", linewidth=1, linestyle="--")
        axes.annotate(
            f"{meaning}: {mark} %",
            (1, mark),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color="#4a5568",
        )
    axes.set_xlabel("minutes of training, detection excluded")
    axes.set_ylabel("accuracy of all test images, %")
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.06))
    save_figure(figure, path, dpi=120)


@click.command()
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    default=("fer2013-mlp-whitened", "fer2013-gnn:5"),
    show_default=True,
    help="Name of a recipe, with other epochs than the recipe's behind a colon; may be repeated.",
)
@click.option("--cache", help="Landmark cache; the recipe's by default.")
@click.option("--threads", default=os.cpu_count(), show_default=True, help="Of torch.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(recipes: tuple[str, ...], cache: str | None, threads: int, out: Path) -> None:
    """Train, print, and write the CSV, the report and the curve."""
    torch.set_num_threads(threads)
    picture = out / "bench-time-to-accuracy.png"
    curves = {}
    rows: Rows = []
    for text in recipes:
        recipe, _, epochs = text.partition(":")
        name, batch, points = course(recipe, int(epochs) if epochs else None, cache)
        curves[name] = points
        rows += figures(name, batch, points)
        for epoch, (seconds, accuracy) in enumerate(points, start=1):
            click.echo(f"{name}: epoch {epoch}, {seconds:.1f} s, {accuracy:.2f} %")
    write_page(
        out / "bench-time-to-accuracy.csv",
        rows,
        title="Time to accuracy of the landmark models on FER2013",
        introduction=(
            f"![Test accuracy over time]({picture.name})\n\n"
            "Seconds from the start of training: reading the cache, statistics, training and validation "
            "count, detection and the measuring of the test accuracy do not. All test images count, those "
            "without a face too. The test images choose nothing: every epoch is shown. Seed 0."
        ),
        packages=("torch", "numpy"),
        threads=f"{threads} threads",
    )
    draw(picture, curves)


if __name__ == "__main__":
    main()
