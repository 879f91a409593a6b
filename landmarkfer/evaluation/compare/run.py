"""Two systems compared by their runs, which are found, checked, and evaluated if need be, or by files."""

import logging
import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.errors import CacheError, RunError
from landmarkfer.evaluation.compare.comparison import Comparison, compare_predictions
from landmarkfer.evaluation.compare.write import write_comparison
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.files import PREDICTIONS_FILE, write_evaluation
from landmarkfer.evaluation.systems import Source, average_seeds, full_name, read_side, source_name
from landmarkfer.metrics.predictions import Predictions, read_predictions
from landmarkfer.progress import SILENT, Progress, counted
from landmarkfer.runs.folder import RUNS_ROOT

logger = logging.getLogger(__name__)


def compare_runs(
    first: Sequence[str],
    second: Sequence[str],
    out: Path | None = None,
    *,
    cache: str | None = None,
    images: bool = True,
    progress: Progress = SILENT,
) -> tuple[Comparison, Path]:
    """Find where two systems differ, and write it.

    Runs that are not evaluated are, and keep the files of their evaluation. A run is read as it was
    evaluated; one that was trained further since has to be evaluated again.

    Args:
        first: One system, see `systems.read_side`.
        second: The other.
        out: Folder for the files; by default one under `experiments/runs` named after both.
        cache: The cache of the images; by default that of the first run which still has its own.
        images: Whether to draw images of the data set.
        progress: Of the resamples and the contact sheets.

    Returns:
        What was found, and the report.

    Raises:
        CacheError: There is no such cache, or it lacks some of the images.
        RunError: A run is given twice, is missing, or is not evaluated and its cache is gone; or the systems
            were tested on different images or know different classes.
    """
    sides = read_side(first), read_side(second)
    sources = [source for side in sides for source in side.runs]
    files = [predictions_file(source) for source in sources]
    paths = [file.resolve() for file in files]
    if twice := next((source for source, p in zip(sources, paths, strict=True) if paths.count(p) > 1), None):
        raise RunError(f"run '{source_name(twice)}' is given twice; compare a run with others than itself.")
    images_of = LandmarkCache.open(find_cache(cache)) if cache else _cache_of(sources)
    systems = tuple(
        side.map(lambda source: (source_name(source), _predictions(source, progress))) for side in sides
    )
    _check_alike([one for system in systems for one in system.runs])
    one, other = (list(average_seeds(system.map(lambda named: named[1])).values()) for system in systems)
    names = sides[0].name, sides[1].name
    if names[0] == names[1]:
        names = full_name(sides[0]), full_name(sides[1])
    target = out or RUNS_ROOT / f"compare-{_plain(names[0])}-with-{_plain(names[1])}"
    command = [*first, "--with", *second, *(["--cache", cache] if cache else [])]
    evaluated = max(file.stat().st_mtime for file in files)
    comparison = compare_predictions(one, other, names, cache=images_of, progress=progress)
    page = write_comparison(
        comparison,
        target,
        commands=[f"landmarkfer compare {shlex.join(command)}"],
        date=datetime.fromtimestamp(evaluated, UTC).date().isoformat(),
        images=images_of if images else None,
        progress=progress,
    )
    return comparison, page


def predictions_file(source: Source) -> Path:
    """The file of a source's predictions."""
    return source if isinstance(source, Path) else source.path / PREDICTIONS_FILE


def _predictions(source: Source, progress: Progress) -> Predictions:
    """Predictions on the test images; a run is evaluated now if that was not done."""
    file = predictions_file(source)
    if isinstance(source, Path):
        return read_predictions(file)
    run = source
    if not file.is_file():
        try:
            evaluation, predictions = evaluate_run(run, progress=progress)
        except CacheError as error:
            raise RunError(
                f"run '{run.name}' is not evaluated, and cannot be without its cache: {error}"
            ) from error
        write_evaluation(run.path, evaluation, predictions)
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


def _check_alike(several: Sequence[tuple[str, Predictions]]) -> None:
    """Refuse predictions on other images or of other classes than the first, by name."""
    one, first = several[0]
    for other, second in several[1:]:
        if set(first.classes) != set(second.classes):
            here, there = (", ".join(sorted(predictions.classes)) for predictions in (first, second))
            raise RunError(
                f"'{one}' distinguishes {here}, and '{other}' distinguishes {there}; compare runs of "
                "the same classes."
            )
        ids = set(first.ids), set(second.ids)
        if ids[0] != ids[1]:
            raise RunError(
                f"'{one}' was tested on {counted(len(ids[0]), 'image')} and '{other}' on {len(ids[1]):,}, of "
                f"which {len(ids[0] & ids[1]):,} are the same; compare runs that were tested on the same "
                "images."
            )


def _cache_of(sources: Sequence[Source]) -> LandmarkCache | None:
    """The cache of the first run that still has its own; without one, a warning says what is left out."""
    reasons = []
    for run in sources:
        if isinstance(run, Path) or not run.config_file.is_file():
            continue
        known = run.read_config().cache
        try:
            cache = known.open()
        except CacheError as error:
            reasons.append(str(error))
            continue
        if cache.fingerprint == known.fingerprint:
            return cache
        reasons.append(f"{cache.path} is no longer the cache that '{run.name}' was trained on.")
    why = reasons[0] if reasons else "none of these is a run with a cache; name it with --cache."
    logger.warning("no slices by pose, size and detections, and no images: %s", why)
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)
