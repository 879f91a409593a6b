"""The whole path on faces that it makes itself: make, extract, train, evaluate, compare, draw.

Every step calls what the command of that name calls. The faces are warps of one portrait, so the figures show
that the path works, and say nothing of how well expressions of people are recognised.
"""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import landmarkfer
from landmarkfer.errors import SettingsError
from landmarkfer.progress import SILENT, Progress, counted

if TYPE_CHECKING:
    from rich.console import Console

    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.extraction.pipeline import ExtractionSummary
    from landmarkfer.metrics.report import Evaluation
    from landmarkfer.runs.folder import RunFolder

# Epochs of each model, for a thousand faces on two cores within four minutes.
EPOCHS = {"mlp": 30, "gnn": 20}
# Faces per class from which on a tenth of the training faces, for validation, holds some of each class.
FEWEST = 16
_BATCH = 64
_UPPER_LIP, _LOWER_LIP = 13, 14  # where the lips meet, in the middle


@dataclass(frozen=True)
class DemoRun:
    """A trained and evaluated model: its run, the wall time of its training in seconds, and its figures."""

    folder: "RunFolder"
    seconds: float
    evaluation: "Evaluation"

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return self.folder.read_config().parameters or 0


@dataclass(frozen=True)
class Demo:
    """What a demo leaves behind.

    Attributes:
        cache: the landmarks of the synthetic faces.
        runs: model name -> its run.
        average: figures of the average of all runs' probabilities.
        pictures: what is shown -> file.
        seconds: wall time of everything.
    """

    cache: "LandmarkCache"
    runs: dict[str, DemoRun]
    average: "Evaluation"
    pictures: dict[str, Path]
    seconds: float


def run_demo(
    out: Path,
    console: "Console",
    *,
    per_class: int = 150,
    seed: int = 0,
    epochs: int | None = None,
    workers: int | None = None,
    landmarker: Path | None = None,
    progress: Progress = SILENT,
    summarise: "Callable[[ExtractionSummary], None] | None" = None,
) -> Demo:
    """Make synthetic faces, extract landmarks, train and evaluate an `mlp` and a `gnn`, and draw pictures.

    Called again on the same folder, it takes the faces and the landmarks that are there and trains anew.

    Args:
        out: Folder for everything; made if need be.
        console: Where it prints what it does.
        per_class: Faces of each of the seven expressions; a quarter of them is for testing.
        seed: Of the faces and of the training.
        epochs: Of both models; `EPOCHS` if None.
        workers: Processes that make faces and find landmarks; one per core if None.
        landmarker: The model file of the `landmarker` detector, where that is the default.
        progress: Reports how far each step is.
        summarise: Shows what the detection gave.

    Returns:
        What it made.

    Raises:
        DetectorError: MediaPipe's detector needs a model file that is not to be had; known before any work.
        SourceError: The folder holds faces made with other settings.
        LandmarkferError: See the steps.
    """
    if per_class < FEWEST:
        raise SettingsError(f"the demo needs at least {FEWEST} faces per class, not {per_class}.")
    from landmarkfer.extraction.detectors import detector_identity

    started = time.monotonic()
    identity = detector_identity(None, landmarker)
    workers = workers or os.cpu_count() or 1

    _headline(console, f"1. Make {7 * per_class:,} labelled faces: {out / 'faces'}")
    _make_faces(out / "faces", per_class, seed, workers, progress)
    _headline(console, f"2. Find 478 landmarks in each with {identity.name} of {identity.version}")
    summary = _extract(out / "faces", out / "cache" / "synthetic-faces", workers, landmarker, progress)
    if summarise is not None:
        summarise(summary)
    cache = summary.cache
    trained = {}
    for number, model in enumerate(EPOCHS, start=3):
        _headline(console, f"{number}. Train a model: {model}")
        trained[model] = _train(model, cache, out / "runs", seed, epochs or EPOCHS[model], console, progress)
    _headline(console, "5. Evaluate on the test images, and draw pictures")
    *each, average = _evaluate([run for run, _ in trained.values()])
    runs = {
        model: DemoRun(run, seconds, evaluation)
        for (model, (run, seconds)), evaluation in zip(trained.items(), each, strict=True)
    }
    pictures = _draw(out, cache, runs)
    return Demo(cache, runs, average, pictures, time.monotonic() - started)


def _headline(console: "Console", text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]", highlight=False, soft_wrap=True)


def _make_faces(folder: Path, per_class: int, seed: int, workers: int, progress: Progress) -> None:
    from landmarkfer.data.synthetic import write_dataset

    images = write_dataset(folder, per_class, seed, workers=workers, progress=progress)
    progress.say(counted(images, "image"))


def _extract(
    faces: Path, folder: Path, workers: int, landmarker: Path | None, progress: Progress
) -> "ExtractionSummary":
    from landmarkfer.extraction import extract

    return extract(faces, folder, workers=workers, landmarker=landmarker, progress=progress)


def _train(
    model: str,
    cache: "LandmarkCache",
    root: Path,
    seed: int,
    epochs: int,
    console: "Console",
    progress: Progress,
) -> tuple["RunFolder", float]:
    """Train a run named like its model, in place of the one an earlier demo left; and its wall time."""
    if (root / model).exists():
        shutil.rmtree(root / model)
        console.print(f"(in place of the earlier run {root / model})", highlight=False)
    started = time.monotonic()
    run = landmarkfer.train(
        model, cache, name=model, seed=seed, epochs=epochs, batch_size=_BATCH, out=root, progress=progress
    )
    return run, time.monotonic() - started


def _evaluate(runs: "list[RunFolder]") -> "list[Evaluation]":
    """Figures of each run, with its files written, and of their average."""
    from landmarkfer.evaluation.evaluate import evaluate_runs

    return [evaluation for _, evaluation in evaluate_runs(runs)]


def _draw(out: Path, cache: "LandmarkCache", runs: dict[str, DemoRun]) -> dict[str, Path]:
    """Draw faces and graph, and name the pictures that training and evaluation have left."""
    from landmarkfer.data.synthetic import write_expression_sheet
    from landmarkfer.reporting.contact_sheet import write_contact_sheet

    pictures = {
        "the seven expressions": out / "expressions.png",
        "synthetic faces and landmarks": out / "synthetic_faces.png",
        "the graph on a face": out / "graph_on_face.png",
    }
    expressions, sheet, graph = pictures.values()
    write_expression_sheet(expressions)
    write_contact_sheet(cache, sheet)
    _draw_graph(cache, runs["gnn"].folder, graph)
    for model, run in runs.items():
        pictures[f"learning curves, {model}"] = run.folder.curves_file
        pictures[f"confusion, {model}"] = run.folder.path / "confusion.png"
    return pictures


def _draw_graph(cache: "LandmarkCache", run: "RunFolder", path: Path) -> None:
    """Draw the run's graph on the test face whose mouth is open widest."""
    import io

    import numpy as np
    from PIL import Image

    from landmarkfer.face.geometry import to_pixels
    from landmarkfer.reporting.graph import graph_figure, save_figure

    frame, landmarks = cache.frame(["split", "width", "height"]), cache.landmarks()
    opening = landmarks[:, _LOWER_LIP, 1] - landmarks[:, _UPPER_LIP, 1]  # NaN where there is no face
    row = int(np.nanargmax(np.where(frame["split"] == "test", opening, np.nan)))
    stored = cache.faces([row])[0]
    assert stored is not None, "a face that was found has its image"
    points = to_pixels(landmarks[row], frame["width"][row], frame["height"][row])
    graph = run.load().model.face_graph
    assert graph is not None
    with Image.open(io.BytesIO(stored)) as image:
        figure = graph_figure(graph, landmarks=points, image=image.convert("RGB"))
    save_figure(figure, path)
