"""The page of a benchmark: what is finished is evaluated and kept, what is kept is compared and rendered."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from landmarkfer.config.benchmark import BenchmarkSettings, RowSettings, plain_name, row_settings, run_name
from landmarkfer.config.recipes import changed_settings
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.evaluation.benchmark.archive import Kept, read_kept, write_kept
from landmarkfer.evaluation.benchmark.measure import kept_of, measure_again
from landmarkfer.evaluation.benchmark.statistics import compare_with
from landmarkfer.evaluation.compare.write import DIFFERENCES_PAGE, write_differences
from landmarkfer.files import replacing
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import evaluate_predictions
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.figures import draw_comparison
from landmarkfer.reporting.markdown import Header, package_versions
from landmarkfer.reporting.results import (
    NO_GRAPH,
    RESULT_COLUMNS,
    append_results,
    evaluation_rows,
    read_results,
)
from landmarkfer.reporting.results_page import COSTS, PROTOCOL, Published, render_results
from landmarkfer.runs.folder import RunFolder

ENSEMBLE = "ensemble"
PREDICTIONS = "predictions"
"""Ending of the folder with what runs said of each image."""


@dataclass
class Measured:
    """What is known of the rows of a benchmark.

    Attributes:
        predictions: By row and seed.
        keys: Experiment, model and graph of each row, for the CSV.
        parts: Parts of the CSV.
        days: When the runs were begun, YYYY-MM-DD.
        cache: The cache of the first run, as its recipe names it.
    """

    predictions: dict[str, dict[int, Predictions]] = field(default_factory=dict)
    keys: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    parts: list[pd.DataFrame] = field(default_factory=list)
    days: set[str] = field(default_factory=set)
    cache: str | None = None

    @property
    def date(self) -> str:
        """The day of the runs, or the first and the last."""
        first, last = min(self.days), max(self.days)
        return first if first == last else f"{first} to {last}"


def write_page(
    recipe: Path,
    settings: BenchmarkSettings,
    seeds: Sequence[int],
    runs_root: Path,
    results_root: Path,
    progress: Progress = SILENT,
    *,
    latency: bool = False,
) -> Path:
    """Evaluate what is finished and not yet evaluated, and write the page, the CSV and the picture.

    What runs said is kept in `<recipe>-predictions` beside the page, which is about all that is kept there,
    whether its run is at hand or not. With `latency`, that of each run at hand is measured again.

    Returns:
        The page.

    Raises:
        RunError: A file of predictions is damaged, or they are about different images.
        SettingsError: Nothing is finished or kept.
    """
    found = Measured()
    for row in settings.rows:
        for seed in () if row.average else seeds:
            run = RunFolder(runs_root / run_name(recipe, row, seed))
            kept = kept_file(recipe, row, seed, results_root)
            if run.finished:
                try:
                    _evaluate(run, kept, settings, progress, latency)
                except (CacheError, RunError) as error:  # of another machine's cache, say
                    if not kept.exists():
                        raise
                    progress.say(f"what is kept of {run.name} stands, since it cannot be evaluated: {error}")
            if kept.exists():
                _add(read_kept(kept), recipe, settings, row, seed, found, progress)
    for row in settings.rows:
        if row.average and all(part in found.predictions for part in row.average):
            _measure_average(row, found)
    if not found.parts:
        raise SettingsError(f"no run of {recipe} is finished, so there is nothing to tell of.")
    ordered = [row.name for row in settings.rows if row.name in found.predictions]
    if settings.base in found.predictions:
        others = {found.keys[name]: found.predictions[name] for name in ordered if name != settings.base}
        if others:
            found.parts.append(compare_with(found.predictions[settings.base], others))
    csv, page, picture = (results_root / f"{recipe.stem}.{kind}" for kind in ("csv", "md", "png"))
    order = {name: number for number, name in enumerate(ordered)}
    everything = pd.concat(found.parts, ignore_index=True)
    everything = everything.sort_values("experiment", key=lambda column: column.map(order), kind="stable")
    with replacing(csv) as path:
        path.unlink(missing_ok=True)  # of a process that was killed
        append_results(path, everything)
    with replacing(picture) as path:
        draw_comparison(path, read_results(csv), settings.base)
    command = _command(recipe, settings, seeds)
    apart = _tell_apart(recipe, settings, found, results_root, command)
    _render(settings, csv, page, found.date, ordered, apart, command)
    return page


def kept_file(recipe: Path, row: RowSettings, seed: int, results_root: Path) -> Path:
    """Where the predictions of a row and a seed are kept."""
    return results_root / f"{recipe.stem}-{PREDICTIONS}" / f"{plain_name(row.name)}-s{seed}.parquet"


def _evaluate(
    run: RunFolder, kept: Path, settings: BenchmarkSettings, progress: Progress, latency: bool
) -> None:
    """Bring what is kept of a finished run up to date."""
    if latency:
        progress.say(f"measuring the latency of {run.name}")
        measure_again(run, kept)
    if run.metrics_file.exists() or not kept.exists():  # weights alone tell no times
        progress.say(f"evaluating {run.name}")
        write_kept(kept, kept_of(run, settings.other_data))


def _add(
    kept: Kept,
    recipe: Path,
    settings: BenchmarkSettings,
    row: RowSettings,
    seed: int,
    found: Measured,
    progress: Progress,
) -> None:
    """Add what is kept of a run, if it was trained as the row says."""
    wanted = row_settings(recipe, settings, row, seed)
    if kept.changed != json.loads(json.dumps(changed_settings(wanted))):
        progress.say(f"{wanted.name} was trained with other settings than the row '{row.name}': left out")
        return
    found.days.add(kept.created[:10])
    found.cache = found.cache or wanted.cache
    key = row.name, kept.model, kept.graph or NO_GRAPH
    found.keys[row.name] = key
    found.predictions.setdefault(row.name, {})[seed] = kept.predictions
    found.parts.append(_figures(kept.predictions, key, seed))
    further = [(*key, seed, *figure) for figure in kept.figures]
    found.parts.append(pd.DataFrame(further, columns=RESULT_COLUMNS))


def _figures(predictions: Predictions, key: tuple[str, str, str], seed: int) -> pd.DataFrame:
    """What follows from predictions, for the CSV, which has no intervals of one run."""
    evaluation = evaluate_predictions(predictions, bootstrap=1)
    experiment, model, graph = key
    return evaluation_rows(evaluation, experiment=experiment, model=model, graph=graph, seed=seed)


def _measure_average(row: RowSettings, found: Measured) -> None:
    """Add an average of rows, for each seed that all its members have."""
    members = [found.predictions[part] for part in row.average]
    found.keys[row.name] = (row.name, ENSEMBLE, NO_GRAPH)
    for seed in sorted(set.intersection(*(set(member) for member in members))):
        average = average_predictions([member[seed] for member in members])
        found.predictions.setdefault(row.name, {})[seed] = average
        found.parts.append(_figures(average, found.keys[row.name], seed))


def _tell_apart(
    recipe: Path, settings: BenchmarkSettings, found: Measured, results_root: Path, command: str
) -> dict[str, str]:
    """Write where the rows of each pair differ; the pages by what they are about, relative to the results.

    The sheets of images are left out, since results are there to be shown. Without the cache, which tells of
    poses and sizes, a page that is there stays as it is.
    """
    pages = {}
    cache: LandmarkCache | None = None
    with suppress(CacheError):
        cache = LandmarkCache.open(find_cache(found.cache))
    for pair in settings.pairs:
        names = pair.first, pair.second
        if not all(name in found.predictions for name in names):
            continue
        folder = f"{recipe.stem}-{plain_name(pair.first)}-with-{plain_name(pair.second)}"
        page = results_root / folder / DIFFERENCES_PAGE
        first, second = ([one for _, one in sorted(found.predictions[name].items())] for name in names)
        if cache is not None or not page.exists():
            write_differences(
                first,
                second,
                page.parent,
                cache=cache,
                names=names,
                commands=[command],
                date=found.date,
                images=False,
            )
        pages[f"{pair.first} and {pair.second}"] = f"{folder}/{DIFFERENCES_PAGE}"
    return pages


def _command(recipe: Path, settings: BenchmarkSettings, seeds: Sequence[int]) -> str:
    """The shell line that makes the page again."""
    chosen = "" if list(seeds) == list(settings.seeds) else f" --seeds {','.join(map(str, seeds))}"
    return f"landmarkfer benchmark {recipe.as_posix()}{chosen}"


def _render(
    settings: BenchmarkSettings,
    csv: Path,
    page: Path,
    date: str,
    ordered: Sequence[str],
    apart: Mapping[str, str],
    command: str,
) -> None:
    missing = [row.name for row in settings.rows if row.name not in ordered]
    notes = f"![Test accuracy of each system]({csv.with_suffix('.png').name})"
    notes += (
        f"\n\nWhat each run said of each image is in [{csv.stem}-{PREDICTIONS}]({csv.stem}-{PREDICTIONS}); "
        "with `--no-train`, the page is made from that again."
    )
    if apart:
        links = ", ".join(f"[{what}]({path})" for what, path in apart.items())
        notes += f"\n\nWhere they differ, by expression, confusion and face: {links}."
    if missing:
        notes += f"\n\nNot measured yet: {', '.join(missing)}."
    header = Header(
        title=settings.title,
        commands=[command],
        versions=package_versions(),
        date=date,
        introduction=settings.introduction,
        notes=notes,
    )
    published = [Published(**p.model_dump()) for p in settings.published if p.beside in (None, *ordered)]
    render_results(
        csv, page, header, published=published, columns=(*PROTOCOL, *COSTS), baseline=settings.base
    )
