"""Train and compare a table of systems x seeds, and leave one page, one CSV and one picture.

What is finished is neither trained nor evaluated again, so a benchmark that was stopped goes on where it was,
and two equal calls leave equal files.
"""

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
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.images import natural_size
from landmarkfer.errors import SettingsError
from landmarkfer.evaluation.benchmark.report import write_page
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.device import accelerator, precision
from landmarkfer.models import build_model
from landmarkfer.models.base import is_network
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.multirun import train_multirun
from landmarkfer.training.parallel import train_parallel
from landmarkfer.training.resolve import check_settings

RESULTS_ROOT = Path("experiments/results")

# In a timed step on the CPU, where a step takes as long as its faces together.
_TIMED_FACES = 32


@dataclass(frozen=True)
class Planned:
    """A run of a benchmark: how far it is, and what is left of it in seconds (None where it is not known)."""

    row: RowSettings
    seed: int
    run: RunFolder
    state: str
    seconds: float | None


def benchmark(
    recipe: Path,
    *,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    jobs: int = 1,
    train: bool = True,
    latency: bool = False,
    runs_root: Path = RUNS_ROOT,
    results_root: Path = RESULTS_ROOT,
    progress: Progress = SILENT,
) -> Path:
    """Train what is missing, evaluate it, and write the page.

    Args:
        recipe: TOML file, see `benchmark_settings`.
        seeds: Instead of the recipe's.
        only: Names of the rows that are trained; the page holds all that are finished, or kept beside it.
        jobs: Trainings at a time.
        train: Whether to train at all, or to write the page from what there is.
        latency: Whether to measure that of every finished run again, one after another.
        runs_root: The folder of all runs.
        results_root: Where `<recipe>.md`, `.csv` and `.png` are written, and `<recipe>-predictions` is.
        progress: Told how far it is.

    Returns:
        The page.

    Raises:
        LandmarkferError: The recipe, a setting, a cache or a run does not fit.
    """
    settings = read_benchmark(recipe)
    chosen = _chosen(settings, only)
    seeds = seeds or settings.seeds
    wanted = [row_settings(recipe, settings, row, seed) for row in chosen for seed in seeds]
    for one in wanted:  # all that can be found wrong is, before hours of training
        check_settings(one)
        if train and one.seed == seeds[0]:
            build_model(one.model.name, 2, **one.model.keywords)
    if train and jobs > 1:
        train_parallel(wanted, jobs, runs_root=runs_root, progress=progress)
    elif train:
        train_multirun(wanted, runs_root=runs_root, progress=progress)
    return write_page(recipe, settings, seeds, runs_root, results_root, progress, latency=latency)


def _chosen(settings: BenchmarkSettings, only: Sequence[str]) -> list[RowSettings]:
    """The rows that are trained."""
    names = [row.name for row in settings.rows]
    if unknown := [name for name in only if name not in names]:
        raise SettingsError(f"there is no row '{unknown[0]}'; the rows are {', '.join(names)}.")
    return [row for row in settings.rows if not row.average and (not only or row.name in only)]


def plan(
    recipe: Path,
    *,
    seeds: Sequence[int] = (),
    only: Sequence[str] = (),
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
) -> list[Planned]:
    """What a benchmark would still train, and how long that takes.

    The time is that of a finished seed of the same row, else that of a few steps on made-up faces, times the
    steps that are left. The progress is told which rows are timed.
    """
    settings = read_benchmark(recipe)
    found = []
    rows = _chosen(settings, only)
    for row in progress.track(rows, "timing the rows", len(rows)):
        measured: float | None = None
        for seed in seeds or settings.seeds:
            run = RunFolder(runs_root / run_name(recipe, row, seed))
            wanted = row_settings(recipe, settings, row, seed)
            if run.finished:
                found.append(Planned(row, seed, run, "finished", 0.0))
                continue
            done = len(read_epochs(run.metrics_file)) if run.metrics_file.exists() else 0
            if measured is None:
                measured = _sibling_seconds(recipe, row, settings, runs_root) or _estimated_seconds(wanted)
            left = None if measured is None else measured * (1 - done / wanted.epochs)
            state = f"after epoch {done}" if done else "begun" if run.config_file.exists() else "missing"
            found.append(Planned(row, seed, run, state, left))
    return found


def _sibling_seconds(
    recipe: Path, row: RowSettings, settings: BenchmarkSettings, runs_root: Path
) -> float | None:
    for seed in settings.seeds:
        run = RunFolder(runs_root / run_name(recipe, row, seed))
        if run.finished and run.metrics_file.exists():
            return float(read_epochs(run.metrics_file)["seconds"].sum())
    return None


def _estimated_seconds(settings: TrainSettings) -> float | None:
    """Seconds of a whole training, from three steps on made-up faces; None of models that are no networks."""
    from landmarkfer.training.augmentation import augment_batch

    check_settings(settings)
    cache = LandmarkCache.open(find_cache(settings.cache))
    frame = cache.frame(["label", "split"])
    images = int(((frame["split"] == "train") & frame["label"].notna()).sum()) or len(frame)
    steps = settings.epochs * max(1, int(images * (1 - settings.split.validation)) // settings.fit.batch_size)
    model = build_model(settings.model.name, len(cache.manifest.classes), **settings.model.keywords)
    if not is_network(model):
        return None
    device = accelerator(settings.fit.device)
    whole = settings.fit.batch_size
    faces = min(whole, _TIMED_FACES) if device == "cpu" else whole
    batch = made_up_faces(faces, natural_size(cache), settings).to(device)
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


def made_up_faces(count: int, side: int, settings: TrainSettings) -> FaceBatch:
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
