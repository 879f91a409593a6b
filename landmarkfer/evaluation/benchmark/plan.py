"""What remains to train of a benchmark, and how long that takes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from landmarkfer.config.benchmark import (
    BenchmarkSettings,
    RowSettings,
    read_benchmark,
    row_settings,
    run_name,
)
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.images import natural_size
from landmarkfer.data.joined import open_cache
from landmarkfer.errors import SettingsError
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.device import accelerator, precision
from landmarkfer.models import build_model
from landmarkfer.models.base import is_network
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.augmentation import augment_batch
from landmarkfer.training.fine_tuning import with_shipped
from landmarkfer.training.resolve import check_settings, resolve

# In a timed step on the CPU, where a step takes as long as its faces together.
_TIMED_FACES = 32


@dataclass(frozen=True)
class Planned:
    """A run of a benchmark: its state, and the seconds that remain (None where they are not known)."""

    row: RowSettings
    seed: int
    run: RunFolder
    state: str
    seconds: float | None


def chosen_rows(settings: BenchmarkSettings, only: Sequence[str]) -> list[RowSettings]:
    """The rows that are trained: those that are named, or all that are not optional.

    Raises:
        SettingsError: A name is none of a row that can be trained.
    """
    names = [row.name for row in settings.rows]
    if unknown := [name for name in only if name not in names]:
        raise SettingsError(f"there is no row '{unknown[0]}'; the rows are {', '.join(names)}.")
    for row in settings.rows:
        if row.name in only and not row.trained:
            reason = "is given by its weights" if row.weights else "is an average"
            reason = f"can no longer be trained: {row.retired}" if row.retired else reason
            raise SettingsError(f"the row '{row.name}' {reason}.")
    return [row for row in settings.rows if row.trained and (row.name in only if only else not row.optional)]


def plan(
    recipe: Path,
    *,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
) -> list[Planned]:
    """What a benchmark would still train, and how long that takes.

    The time is that of a finished seed of the same row, else that of a few steps on synthetic faces, times
    the steps that remain.
    """
    settings = read_benchmark(recipe)
    found = []
    rows = chosen_rows(settings, only)
    for row in progress.track(rows, "timing the rows", len(rows)):
        measured: float | None = None
        for seed in seeds or settings.seeds:
            run = RunFolder(runs_root / run_name(recipe, settings, row, seed))
            wanted = row_settings(recipe, settings, row, seed)
            if run.config_file.exists() and run.read_config().settings != resolve(with_shipped(wanted)):
                found.append(Planned(row, seed, run, "has other settings", None))
                continue
            if run.finished:
                found.append(Planned(row, seed, run, "finished", 0.0))
                continue
            done = len(read_epochs(run.metrics_file)) if run.metrics_file.exists() else 0
            if measured is None:
                measured = _sibling_seconds(recipe, row, settings, runs_root) or _estimated_seconds(wanted)
            remaining = None if measured is None else measured * (1 - done / wanted.epochs)
            state = f"after epoch {done}" if done else "begun" if run.config_file.exists() else "missing"
            found.append(Planned(row, seed, run, state, remaining))
    return found


def _sibling_seconds(
    recipe: Path, row: RowSettings, settings: BenchmarkSettings, runs_root: Path
) -> float | None:
    for seed in settings.seeds:
        run = RunFolder(runs_root / run_name(recipe, settings, row, seed))
        if run.finished and run.metrics_file.exists():
            return float(read_epochs(run.metrics_file)["seconds"].sum())
    return None


def _estimated_seconds(settings: TrainSettings) -> float | None:
    """Seconds of a whole training, from three steps on synthetic faces; None if the model is no network."""
    settings = with_shipped(settings)
    check_settings(settings)
    cache = open_cache(settings.cache)
    frame = cache.frame(["label", "split"])
    images = int(((frame["split"] == "train") & frame["label"].notna()).sum()) or len(frame)
    steps = settings.epochs * max(1, int(images * (1 - settings.split.validation)) // settings.fit.batch_size)
    model = build_model(settings.model.name, len(cache.manifest.classes), **settings.model.keywords)
    if not is_network(model):
        return None
    device = accelerator(settings.fit.device)
    whole = settings.fit.batch_size
    faces = min(whole, _TIMED_FACES) if device == "cpu" else whole
    side = natural_size(cache) if "image" in model.inputs else 1
    batch = synthetic_faces(faces, side, settings).to(device)
    model.to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=precision(settings.fit) == "bf16-mixed"):
            logits = model(augment_batch(batch, model, settings.augment)).float()
        loss = logits.logsumexp(dim=1).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        loss.item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return steps * min(seconds) * whole / faces


def synthetic_faces(count: int, side: int, settings: TrainSettings) -> FaceBatch:
    """Faces of noise, for timing."""
    generator = torch.Generator().manual_seed(0)
    yes = torch.ones(count, dtype=torch.bool)
    channels = settings.model.keywords.get("channels", 1)
    return FaceBatch(
        torch.tensor(CANONICAL) + 0.1 * torch.randn(count, 478, 3, generator=generator),
        yes,
        image=torch.randint(256, (count, channels, side, side), generator=generator, dtype=torch.uint8),
        has_image=yes,
        keypoints=torch.rand(count, 478, 2, generator=generator),
        blendshapes=torch.rand(count, 52, generator=generator),
    )
