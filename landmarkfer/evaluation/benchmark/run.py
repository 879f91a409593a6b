"""Train and compare a table of systems over seeds, and leave one report, one CSV and one picture.

What is finished is neither trained nor evaluated again, so a benchmark that was stopped resumes where it was,
and two equal calls leave equal files.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from landmarkfer.config.benchmark import BenchmarkSettings, plain_name, read_benchmark, row_settings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.joined import open_cache
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.benchmark.archive import archive_folder
from landmarkfer.evaluation.benchmark.figures import (
    Measured,
    all_figures,
    check_rows,
    measure,
    same_images,
    seeds_of,
    standing_figures,
)
from landmarkfer.evaluation.benchmark.plan import chosen_rows
from landmarkfer.evaluation.benchmark.report import Making, date_range, merged_versions, render_benchmark
from landmarkfer.evaluation.compare.comparison import compare_predictions
from landmarkfer.evaluation.compare.write import DIFFERENCES_PAGE, write_comparison
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.models import build_model
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.markdown import package_versions
from landmarkfer.reporting.results import write_results
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder
from landmarkfer.training.collapse import repeat_warnings
from landmarkfer.training.fine_tuning import with_shipped
from landmarkfer.training.multirun import train_multirun
from landmarkfer.training.parallel import train_parallel
from landmarkfer.training.resolve import check_settings

RESULTS_ROOT = Path("experiments/results")


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
    """Train what is missing, evaluate it, and write the report.

    The report has all rows of which there are figures: of finished runs, of archived runs
    (`<recipe>-predictions`), or in the CSV alone, whose rows stay as they are where their runs lie on another
    machine.

    Args:
        recipe: TOML file, see `config.benchmark`.
        seeds: Seeds to train, instead of the recipe's.
        only: Names of the rows to train; by default all that are not optional.
        jobs: Trainings at a time.
        train: Whether to train at all, or to write the report from what there is.
        latency: Whether to measure that of every finished run again, one after another.
        runs_root: The folder of all runs.
        results_root: Where `<recipe>.md`, `.csv` and `.png` are written, and `<recipe>-predictions` is.
        progress: Shows how far it is.

    Returns:
        The report.

    Raises:
        LandmarkferError: The recipe, a setting, a cache or a run does not fit, or the CSV has rows that the
            recipe does not name.
    """
    settings = read_benchmark(recipe)
    csv = results_root / f"{recipe.stem}.csv"
    check_rows(settings, csv)
    rows = chosen_rows(settings, only)
    wanted = [row_settings(recipe, settings, row, seed) for row in rows for seed in seeds or settings.seeds]
    for one in map(with_shipped, wanted):  # all that can be found wrong is, before hours of training
        check_settings(one)
        if train and one.seed == wanted[0].seed:
            build_model(one.model.name, 2, **one.model.keywords)
    if train:
        for cache in settings.other_data.values():
            open_cache(cache)
    if train and jobs > 1:
        train_parallel(wanted, jobs, runs_root=runs_root, progress=progress)
    elif train:
        train_multirun(wanted, runs_root=runs_root, progress=progress)
    else:
        for one in wanted:
            repeat_warnings(RunFolder(runs_root / str(one.name)))
    every_seed = seeds_of(settings, seeds, csv)
    found = measure(recipe, settings, every_seed, runs_root, results_root, progress, latency=latency)
    standing = standing_figures(settings, found, csv)
    if not found.parts and standing.empty:
        raise SettingsError(f"no run of {recipe} is finished, so there is nothing to report.")
    write_results(csv, all_figures(settings, found, standing))
    days, versions = set(found.days), list(found.versions)
    if not standing.empty:
        days |= {settings.measured.date} if settings.measured.date else set()
        versions.append({})
    command, date = _command(recipe, settings, every_seed, results_root), date_range(days)
    making = Making(
        command=command,
        date=date,
        versions=merged_versions(one or settings.measured.versions or package_versions() for one in versions),
        archive=archive_folder(recipe, results_root).name if found.predictions else None,
        differences=_write_differences(recipe, settings, found, results_root, command, date),
        trained_on=_trained_on(recipe, settings, found) if _differ(settings, found) else None,
    )
    return render_benchmark(settings, csv, making)


def _differ(settings: BenchmarkSettings, found: Measured) -> bool:
    """Whether rows may be tested on different images, and not on one data set in several caches."""
    return bool(settings.other_data) or not same_images(list(found.predictions.values()))


def _trained_on(recipe: Path, settings: BenchmarkSettings, found: Measured) -> dict[str, str]:
    """The caches that each row was trained on: of its runs, or else of its recipe."""
    names: dict[str, Sequence[str]] = dict(found.trained_on)
    for row in settings.rows:
        if row.trained and row.name not in names:
            wanted = row_settings(recipe, settings, row, settings.seeds[0])
            names[row.name] = [Path(one).name for one in wanted.caches]
    return {row: " + ".join(caches) for row, caches in names.items() if caches}


def _command(recipe: Path, settings: BenchmarkSettings, seeds: Sequence[int], results_root: Path) -> str:
    """The shell line that makes the report again."""
    chosen = "" if list(seeds) == list(settings.seeds) else "".join(f" --seed {seed}" for seed in seeds)
    out = "" if results_root == RESULTS_ROOT else f" --out {results_root.as_posix()}"
    return f"landmarkfer benchmark {recipe.as_posix()}{chosen}{out}"


def _write_differences(
    recipe: Path,
    settings: BenchmarkSettings,
    found: Measured,
    results_root: Path,
    command: str,
    date: str,
) -> dict[str, str]:
    """Compare the rows of each pair; the reports by what they compare, relative to the results.

    The sheets of images are left out, since results are there to be published. Without the cache, which has
    poses and sizes, a report that is there stays as it is.
    """
    reports = {}
    for pair in settings.pairs:
        names = pair.first, pair.second
        if not all(name in found.predictions for name in names):
            continue
        folder = f"{recipe.stem}-{plain_name(pair.first)}-with-{plain_name(pair.second)}"
        report = results_root / folder / DIFFERENCES_PAGE
        first, second = ([one for _, one in sorted(found.predictions[name].items())] for name in names)
        if {frozenset(one.ids) for one in first} != {frozenset(one.ids) for one in second}:
            continue  # trained on different data sets: they are compared on the other data alone
        cache = _cache_of(first[0], found, names)
        if cache is not None or not report.exists():
            comparison = compare_predictions(first, second, names, cache=cache)
            write_comparison(comparison, report.parent, commands=[command], date=date)
        reports[f"{pair.first} and {pair.second}"] = f"{folder}/{DIFFERENCES_PAGE}"
    return reports


def _cache_of(predictions: Predictions, found: Measured, names: Sequence[str]) -> LandmarkCache | None:
    """The cache that has the images: of the first row of all, or of one of these; None if none has them."""
    tried = [*[*found.caches][:1], *names]
    for places in dict.fromkeys(tuple(found.caches[name]) for name in tried if name in found.caches):
        with suppress(CacheError):
            cache = open_cache(places)
            if set(predictions.ids) <= set(cache.frame(["id"])["id"]):
                return cache
    return None
