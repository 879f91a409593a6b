"""Two systems told apart by their runs, which are found, checked, and evaluated if need be, or by files."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.errors import CacheError, RunError
from landmarkfer.evaluation.compare.disagreements import image_outcomes
from landmarkfer.evaluation.compare.statistics import pair_systems
from landmarkfer.evaluation.compare.write import write_differences
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.files import PREDICTIONS_FILE, write_evaluation
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions, read_predictions
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder, find_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compared:
    """What `compare_runs` found: `rows` as in `write_differences`, `outcomes` of each image."""

    names: tuple[str, str]
    rows: pd.DataFrame
    outcomes: pd.DataFrame
    out: Path


@dataclass(frozen=True)
class Told:
    """Where predictions are: in the folder of a run or an evaluation (`run`), or in a file of their own."""

    name: str
    file: Path
    run: RunFolder | None = None


def compare_runs(
    first: Sequence[str],
    second: Sequence[str],
    out: Path | None = None,
    *,
    average: bool = False,
    cache: str | None = None,
    images: bool = True,
    progress: Progress = SILENT,
) -> Compared:
    """Tell two systems apart, each given by its runs.

    Runs that are not evaluated are, and keep the files of their evaluation. A run is read as it was
    evaluated; one that was trained further since has to be evaluated again.

    Args:
        first: Runs of one system, by name or folder, one for each seed; or evaluations such as
            `landmarkfer evaluate --out` leaves; or prediction tables, see `predictions.read_predictions`.
        second: Those of the other.
        out: Folder for the files; by default one under `experiments/runs` named after both.
        average: Take the average of a system's runs as one system, not the runs as its seeds.
        cache: The cache of the images; by default that of the first run which still has its own.
        images: Whether to draw images of the data set.
        progress: Told of the tasks `slices`, `classes and confusions` and `images`.

    Raises:
        CacheError: There is no such cache, or it lacks some of the images.
        RunError: A run is given twice, is missing, or is not evaluated and its cache is gone; or the systems
            were tested on different images or know different classes.
    """
    sides = [[_find(name) for name in side] for side in (first, second)]
    everything = [told for side in sides for told in side]
    paths = [told.file.resolve() for told in everything]
    if twice := next(
        (told.name for told, path in zip(everything, paths, strict=True) if paths.count(path) > 1), None
    ):
        raise RunError(f"run '{twice}' is given twice; compare a run with others than itself.")
    images_of = LandmarkCache.open(find_cache(cache)) if cache else _cache_of(everything)
    tables = {told.file: _predictions(told) for told in everything}
    for told in everything[1:]:
        _check_alike(everything[0].name, tables[everything[0].file], told.name, tables[told.file])
    one, other = ([tables[told.file] for told in side] for side in sides)
    if average:
        one, other = [average_predictions(one)], [average_predictions(other)]
    names = _names(sides, average)
    target = out or RUNS_ROOT / f"compare-{_plain(names[0])}-with-{_plain(names[1])}"
    command = [*first, "--with", *second, *(["--average"] if average else [])]
    command += ["--cache", cache] if cache else []
    evaluated = max(told.file.stat().st_mtime for told in everything)
    rows = write_differences(
        one,
        other,
        target,
        cache=images_of,
        names=names,
        images=images,
        commands=[f"landmarkfer compare {' '.join(command)}"],
        date=datetime.fromtimestamp(evaluated, UTC).date().isoformat(),
        progress=progress,
    )
    return Compared(names, rows, image_outcomes(pair_systems(one, other)), target)


def _find(name: str) -> Told:
    """A run, an evaluation that is no run (a folder with predictions but no settings), or a file."""
    if Path(name).is_file():
        return Told(Path(name).stem, Path(name))
    for candidate in (Path(name), RUNS_ROOT / name):
        if (candidate / PREDICTIONS_FILE).is_file():
            return Told(candidate.name, candidate / PREDICTIONS_FILE, RunFolder(candidate))
    run = find_run(name)
    return Told(run.name, run.path / PREDICTIONS_FILE, run)


def _predictions(told: Told) -> Predictions:
    """What was said of the test images; a run is evaluated now if that was not done."""
    run, file = told.run, told.file
    if run is None:
        return read_predictions(file)
    if not file.is_file():
        try:
            evaluation, table = evaluate_run(run)
        except CacheError as error:
            raise RunError(
                f"run '{run.name}' is not evaluated, and cannot be without its cache: {error}"
            ) from error
        write_evaluation(run.path, evaluation, table)
    elif run.weights_file.is_file() and run.weights_file.stat().st_mtime > file.stat().st_mtime:
        logger.warning(
            "%s is older than the run's weights; if it was trained on, `landmarkfer evaluate %s`",
            file,
            run.address,
        )
    try:
        return read_predictions(file)
    except RunError as error:
        raise RunError(f"{file} is damaged ({error}); `landmarkfer evaluate {run.address}` again.") from error


def _check_alike(one: str, first: Predictions, other: str, second: Predictions) -> None:
    if set(first.classes) != set(second.classes):
        here, there = (", ".join(sorted(predictions.classes)) for predictions in (first, second))
        raise RunError(
            f"'{one}' distinguishes {here}, and '{other}' distinguishes {there}; compare runs of the same "
            "classes."
        )
    ids = set(first.ids), set(second.ids)
    if ids[0] != ids[1]:
        raise RunError(
            f"'{one}' was tested on {len(ids[0]):,} images and '{other}' on {len(ids[1]):,}, of which "
            f"{len(ids[0] & ids[1]):,} are the same; compare runs that were tested on the same images."
        )


def _cache_of(systems: Sequence[Told]) -> LandmarkCache | None:
    """The cache of the first run that still has its own; without one, a warning says what is left out."""
    reasons = []
    for run in (told.run for told in systems):
        if run is None or not run.config_file.is_file():
            continue
        known = run.read_config().cache
        try:
            cache = LandmarkCache.open(find_cache(known.path))
        except CacheError as error:
            reasons.append(str(error))
            continue
        if cache.fingerprint == known.fingerprint:
            return cache
        reasons.append(f"{cache.path} is no longer the cache that '{run.name}' was trained on.")
    why = reasons[0] if reasons else "none of these is a run with a cache; name it with --cache."
    logger.warning("no slices by pose, size and detections, and no images: %s", why)
    return None


def _names(sides: Sequence[Sequence[Told]], average: bool) -> tuple[str, str]:
    """What the systems are called: the runs' names without seeds, or with them where those are equal."""
    glue = " + " if average else ", "
    first, second = (
        glue.join(dict.fromkeys(re.sub(r"-s\d+$", "", told.name) for told in side)) for side in sides
    )
    if first == second:
        first, second = (glue.join(told.name for told in side) for side in sides)
    return first, second


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
