"""All figures of a benchmark: of runs evaluated now, of archived runs, and of rows that the CSV alone has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from landmarkfer.config.benchmark import (
    BenchmarkSettings,
    RowSettings,
    row_settings,
    run_name,
    weights_folder,
)
from landmarkfer.config.recipes import changed_settings
from landmarkfer.config.removed import same_settings
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.evaluation.benchmark.archive import (
    ArchivedRun,
    archive_file,
    read_archived,
    updated,
    write_archived,
)
from landmarkfer.evaluation.benchmark.matrix import (
    common_figures,
    corrected,
    on_common_images,
    pair_tests,
    standing_pairs,
)
from landmarkfer.evaluation.benchmark.measure import measure_cost_again, measure_run, measure_weights
from landmarkfer.evaluation.benchmark.statistics import compare_with, correct
from landmarkfer.evaluation.systems import ENSEMBLE
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import evaluate_predictions
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.results import (
    ALL_SEEDS,
    NO_GRAPH,
    PAIRED,
    PAIRED_ON,
    RESULT_COLUMNS,
    evaluation_rows,
    read_results,
)
from landmarkfer.runs.folder import RunFolder


@dataclass
class Measured:
    """The rows of a benchmark that are measured.

    Attributes:
        predictions: By row and seed; weights without their cache have none.
        runs: Rows and seeds.
        keys: Experiment, model and graph of each row, for the CSV.
        parts: Parts of the CSV.
        outdated: Rows and seeds whose run was trained with other settings than the recipe has.
        days: When the runs were started, YYYY-MM-DD.
        versions: Of the packages, for each run; empty where they are not known.
        elsewhere: Predictions on other data, by its name, by row and seed, on images that all rows have.
        trained_on: Names of the caches that each row was trained on, where they are known.
        caches: The cache of each row, as its recipe names it, or several; of rows that name any.
    """

    predictions: dict[str, dict[int, Predictions]] = field(default_factory=dict)
    runs: set[tuple[str, int]] = field(default_factory=set)
    keys: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    parts: list[pd.DataFrame] = field(default_factory=list)
    outdated: set[tuple[str, int]] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    versions: list[Mapping[str, str]] = field(default_factory=list)
    elsewhere: dict[str, dict[str, dict[int, Predictions]]] = field(default_factory=dict)
    trained_on: dict[str, Sequence[str]] = field(default_factory=dict)
    caches: dict[str, Sequence[str]] = field(default_factory=dict)


def check_rows(settings: BenchmarkSettings, csv: Path) -> None:
    """Refuse a CSV with rows that the recipe does not name: rewriting it would lose their figures.

    Raises:
        SettingsError: Names the rows.
    """
    if not csv.exists():
        return
    known = {row.name for row in settings.rows}
    names = dict.fromkeys(read_results(csv)["experiment"])
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(
            f"{csv} has figures of {', '.join(unknown)}, which the recipe does not name; add the rows (with "
            'retired = "why" if they can no longer be trained), or delete their lines from the CSV.'
        )


def seeds_of(settings: BenchmarkSettings, seeds: Sequence[int], csv: Path) -> list[int]:
    """The recipe's seeds, those asked for, and those that the CSV has."""
    known = set(read_results(csv)["seed"]) - {ALL_SEEDS} if csv.exists() else set()
    return [*settings.seeds, *sorted({*seeds, *map(int, known)} - set(settings.seeds))]


def measure(
    recipe: Path,
    settings: BenchmarkSettings,
    seeds: Sequence[int],
    runs_root: Path,
    results_root: Path,
    progress: Progress = SILENT,
    *,
    latency: bool = False,
) -> Measured:
    """Evaluate finished runs that are not evaluated yet, archive them, and read the archive.

    Args:
        recipe: The benchmark's file.
        settings: What it holds.
        seeds: Seeds of the rows.
        runs_root: The folder of all runs.
        results_root: The folder of the archive.
        progress: Is given what is evaluated.
        latency: Whether to measure that of each finished run again.

    Raises:
        RunError: A file of the archive is damaged, or the predictions are of different images.
        CacheError: A run cannot be evaluated, and is not archived.
    """
    found = Measured()
    total = sum(len(_seeds_of(row, seeds)) for row in settings.rows)
    number = 0
    for row in settings.rows:
        for seed in _seeds_of(row, seeds):
            weights = weights_folder(recipe, row, seed)
            run = RunFolder(weights or runs_root / run_name(recipe, settings, row, seed))
            archived = archive_file(recipe, row, seed, results_root)
            progress("evaluating", number, total, run.name)
            number += 1
            if weights is not None and run.finished:
                found.caches[row.name] = [one.path for one in run.read_config().cache.each]
            if run.finished:
                try:
                    _archive(run, archived, settings, progress, latency)
                except (CacheError, RunError) as error:  # of another machine's cache, say
                    if not archived.exists():
                        raise
                    progress.say(f"{run.name} cannot be evaluated, so its archived figures stay: {error}")
            if archived.exists():
                _add(read_archived(archived), recipe, settings, row, seed, found, progress)
    progress("evaluating", total, total)
    for name, rows in found.elsewhere.items():
        found.elsewhere[name] = on_common_images(rows, name)
    for row in settings.rows:
        if row.average and all(part in found.predictions for part in row.average):
            _add_average(row, settings.seeds, found)
    found.parts += [common_figures(rows, name, found.keys) for name, rows in found.elsewhere.items()]
    return found


def _seeds_of(row: RowSettings, seeds: Sequence[int]) -> Sequence[int]:
    """Seeds of the runs of a row; weights that do not name one are of the first."""
    if not row.has_runs:
        return ()
    return seeds if row.weights is None or "{seed}" in row.weights else seeds[:1]


def _archive(
    run: RunFolder, archived: Path, settings: BenchmarkSettings, progress: Progress, latency: bool
) -> None:
    """Bring the archive of a finished run up to date."""
    if latency:
        progress.say(f"measuring the latency of {run.name}")
        measure_cost_again(run, archived, settings.other_data)
    if run.metrics_file.exists():
        write_archived(archived, measure_run(run, settings.other_data))
    elif not archived.exists() or _lacks_other_data(archived, settings):
        measured = measure_weights(run, settings.other_data)
        write_archived(
            archived, updated(read_archived(archived), measured) if archived.exists() else measured
        )


def _lacks_other_data(archived: Path, settings: BenchmarkSettings) -> bool:
    """Whether there are no predictions of an archived run on all the other data."""
    return not set(settings.other_data) <= set(read_archived(archived).elsewhere)


def _add(
    archived: ArchivedRun,
    recipe: Path,
    settings: BenchmarkSettings,
    row: RowSettings,
    seed: int,
    found: Measured,
    progress: Progress,
) -> None:
    """Add an archived run, if it was trained as the row says."""
    if row.weights is None:
        wanted = row_settings(recipe, settings, row, seed)
        changed = json.loads(json.dumps(changed_settings(wanted)))
        if not same_settings(archived.changed, archived.created, changed):
            progress.say(f"{wanted.name} was trained with other settings than the row '{row.name}': left out")
            found.outdated.add((row.name, seed))
            return
        if wanted.caches:
            found.caches[row.name] = wanted.caches
    found.days.add(archived.created[:10])
    found.versions.append(archived.versions)
    found.runs.add((row.name, seed))
    key = row.name, archived.model, archived.graph or NO_GRAPH
    found.keys[row.name] = key
    if archived.predictions is not None:
        found.predictions.setdefault(row.name, {})[seed] = archived.predictions
        found.parts.append(_figures(archived.predictions, key, seed))
    if archived.trained_on:
        found.trained_on[row.name] = archived.trained_on
    for name in settings.other_data:
        if name in archived.elsewhere:
            rows = found.elsewhere.setdefault(name, {})
            rows.setdefault(row.name, {})[seed] = archived.elsewhere[name]
    further = [(*key, seed, *figure) for figure in archived.figures]
    found.parts.append(pd.DataFrame(further, columns=RESULT_COLUMNS))


def _figures(predictions: Predictions, key: tuple[str, str, str], seed: int) -> pd.DataFrame:
    """What follows from predictions, for the CSV, which has no intervals of one run."""
    evaluation = evaluate_predictions(predictions, bootstrap=1)
    experiment, model, graph = key
    return evaluation_rows(evaluation, experiment=experiment, model=model, graph=graph, seed=seed)


def _add_average(row: RowSettings, seeds: Sequence[int], found: Measured) -> None:
    """Add an average of rows, for each seed that all its members have, on their test images and other data.

    Rows that were trained on different data sets have different test images, and their average has figures on
    other data alone.
    """
    found.keys[row.name] = (row.name, ENSEMBLE, NO_GRAPH)
    found.trained_on[row.name] = list(
        dict.fromkeys(name for part in row.average for name in found.trained_on.get(part, ()))
    )
    if same_images([found.predictions.get(part, {}) for part in row.average]):
        for seed, average in _averages(row, seeds, found.predictions):
            found.predictions.setdefault(row.name, {})[seed] = average
            found.runs.add((row.name, seed))
            found.parts.append(_figures(average, found.keys[row.name], seed))
    for rows in found.elsewhere.values():
        for seed, average in _averages(row, seeds, rows):
            rows.setdefault(row.name, {})[seed] = average
            found.runs.add((row.name, seed))


def same_images(rows: Sequence[Mapping[int, Predictions]]) -> bool:
    """Whether the predictions of rows, each by seed, are about the same images."""
    return len({frozenset(one.ids) for seeds in rows for one in seeds.values()}) < 2


def _averages(
    row: RowSettings, seeds: Sequence[int], rows: Mapping[str, Mapping[int, Predictions]]
) -> list[tuple[int, Predictions]]:
    """The average of the members of a row, for each seed that all of them have; or one over all `seeds`."""
    members = [rows.get(part, {}) for part in row.average]
    if row.over_seeds:
        runs = [member.get(seed) for member in members for seed in seeds]
        known = [one for one in runs if one is not None]
        return [(seeds[0], average_predictions(known))] if len(known) == len(runs) else []
    common = sorted(set.intersection(*(set(member) for member in members)))
    return [(seed, average_predictions([member[seed] for member in members])) for seed in common]


def standing_figures(settings: BenchmarkSettings, found: Measured, csv: Path) -> pd.DataFrame:
    """The figures of the CSV that stay as they are: of rows and seeds without predictions.

    An average stays where all its members have figures. Paired tests stay where no seed of the row has
    changed; those of a pair where they cannot be computed again, and no figure of either row has changed.

    Returns:
        Rows with `RESULT_COLUMNS`.
    """
    if not csv.exists():
        return pd.DataFrame(columns=RESULT_COLUMNS)
    old = read_results(csv)
    keys = list(zip(old["experiment"], old["seed"], strict=True))
    runs = {key for key in keys if key[1] != ALL_SEEDS}
    standing = runs - found.runs - found.outdated
    for row in settings.rows:
        if row.average:
            there = standing | found.runs
            own = {seed for name, seed in standing if name == row.name}
            members = {seed: settings.seeds if row.over_seeds else [seed] for seed in own}
            lost = {seed for seed in own if not _all(row.average, members[seed], there)}
            standing -= {(row.name, seed) for seed in lost}
    changed = {name for name, _ in runs - standing} | set(found.predictions)
    gone = {name for name, _ in runs - standing - found.runs}
    pairs = standing_pairs(old[~old["experiment"].isin(gone)], found.parts, settings.pairs, found.elsewhere)
    stays = [
        key[0] not in changed
        if subset == PAIRED
        else (key[0], subset) in pairs
        if subset.startswith(PAIRED_ON)
        else key in standing
        for key, subset in zip(keys, old["subset"], strict=True)
    ]
    return old[stays]


def _all(rows: Sequence[str], seeds: Sequence[int], there: set[tuple[str, int]]) -> bool:
    return all((row, seed) in there for row in rows for seed in seeds)


def all_figures(settings: BenchmarkSettings, found: Measured, standing: pd.DataFrame) -> pd.DataFrame:
    """The figures of the CSV, with paired tests of all rows whose every seed has predictions.

    Returns:
        Rows with `RESULT_COLUMNS`, in the order of the recipe.
    """
    of_pairs = standing["subset"].str.startswith(PAIRED_ON)
    standing, pairs = standing[~of_pairs], standing[of_pairs]
    parts = [*found.parts, standing]
    in_csv_alone = set(standing["experiment"])
    tested = [
        row.name for row in settings.rows if row.name in found.predictions and row.name not in in_csv_alone
    ]
    others = {found.keys[name]: found.predictions[name] for name in tested if name != settings.baseline}
    if settings.baseline in tested and others:
        tests = _compare_with_baseline(settings.baseline, found, others)
        earlier = standing[(standing["subset"] == PAIRED) & (standing["metric"] != "p_holm")]
        parts = [*found.parts, standing[standing["metric"] != "p_holm"], tests]
        parts.append(correct(pd.concat([earlier, tests])))
    tested_pairs = pair_tests(settings.pairs, found.elsewhere, found.keys)
    parts.append(corrected(pd.concat([one for one in (pairs, tested_pairs) if len(one)] or [pairs])))
    order = {row.name: number for number, row in enumerate(settings.rows)}
    everything = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return everything.sort_values("experiment", key=lambda column: column.map(order), kind="stable")


def _compare_with_baseline(
    baseline: str, found: Measured, others: Mapping[tuple[str, str, str], Mapping[int, Predictions]]
) -> pd.DataFrame:
    for key, seeds in others.items():
        if not same_images([found.predictions[baseline], seeds]):
            raise SettingsError(
                f"the rows '{baseline}' and '{key[0]}' were tested on different images, and a baseline is "
                "compared on the same; leave 'baseline' out, and name the caches in [other_data] and rows in "
                "[[pairs]], which are tested on each of them. Nothing has to be trained again."
            )
    return compare_with(found.predictions[baseline], others)
