"""What the scripts share that train a table of experiments and render it as a page of `results/`.

A script states its `Table` and calls `table_command(table)`. Runs that are finished are not trained again,
and one that was cut off goes on, so a script can be repeated until all is there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click

from landmarkfer.reporting.markdown import Header, package_versions
from landmarkfer.reporting.results_page import PROTOCOL, Column, Contrast, Published, render_results

RECIPES = Path("experiments/recipes")
RESULTS = Path("experiments/results")
RUNS = Path("experiments/runs")
MODEL_FILES = ("model.safetensors", "model.skops")


@dataclass(frozen=True)
class Experiment:
    """One row of a table: a recipe and what is set otherwise."""

    name: str
    recipe: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A page of results.

    Attributes:
        name: Of the page and its CSV, without extension.
        runs: What the names of the runs begin with.
        title: Of the page.
        introduction: Markdown before the table.
        commands: Shell lines that make it.
        experiments: Its rows.
        ensembles: Rows that average the probabilities of other rows, seed by seed.
        columns: Of the table.
        published: Rows of other people's figures.
        contrasts: Pairs of rows to be compared.
        notes: Markdown after the tables.
        default_rows: Those that are trained where none is named; all if empty.
    """

    name: str
    runs: str
    title: str
    introduction: str
    commands: Sequence[str]
    experiments: Sequence[Experiment]
    ensembles: Mapping[str, Sequence[str]] = field(default_factory=dict)
    columns: Sequence[Column] = PROTOCOL
    published: Sequence[Published] = ()
    contrasts: Sequence[Contrast] = ()
    notes: str = ""
    default_rows: Sequence[str] = ()

    def run_name(self, experiment: Experiment, seed: int) -> str:
        """The folder of a run."""
        return f"{self.runs}-{experiment.name}-s{seed}"


def table_command(table: Table) -> click.Command:
    """The command line of a script."""

    @click.command(help=f"Train what is missing, evaluate, and write {RESULTS / table.name}.csv and .md.")
    @click.option("--seeds", default="0,1,2", show_default=True, help="Training seeds, comma-separated.")
    @click.option("--only", help="Names of experiments, comma-separated.", default=_default_rows(table))
    @click.option("--jobs", default=2, show_default=True, help="Trainings at a time, one thread each.")
    @click.option("--table-only", is_flag=True, help="Train nothing; tabulate the runs that are finished.")
    def main(seeds: str, only: str, jobs: int, table_only: bool) -> None:
        names = [e.name for e in table.experiments]
        chosen = only.split(",")
        if unknown := sorted(set(chosen) - set(names)):
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(names)}.", param_hint="--only")
        wanted = [e for e in table.experiments if e.name in chosen]
        pairs = [(experiment, int(seed)) for seed in seeds.split(",") for experiment in wanted]
        if not table_only:
            missing = [pair for pair in pairs if not _finished(table, *pair)]
            with ThreadPoolExecutor(jobs) as pool:
                threads = 1 if jobs > 1 else 2
                for line in pool.map(lambda pair: _train(table, pair[0], pair[1], threads), missing):
                    click.echo(line)
        for line in _evaluate(table, pairs):
            click.echo(line)
        _render(table)

    return main


def _default_rows(table: Table) -> str:
    return ",".join(table.default_rows or [experiment.name for experiment in table.experiments])


def _finished(table: Table, experiment: Experiment, seed: int) -> bool:
    run = RUNS / table.run_name(experiment, seed)
    return any((run / name).exists() for name in MODEL_FILES)


def _train(table: Table, experiment: Experiment, seed: int, threads: int) -> str:
    name = table.run_name(experiment, seed)
    command = [sys.executable, "-m", "landmarkfer", "train"]
    if (RUNS / name / "config.json").exists():
        command += ["--resume", name]
    else:
        recipe = RECIPES / f"{experiment.recipe}.toml"
        command += ["--recipe", str(recipe), "--seed", str(seed), "--name", name]
        command += [part for setting in experiment.settings for part in ("--set", setting)]
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / f"{name}.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        code = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    return f"{name}: {'trained' if code == 0 else f'failed, see {log.name}'}"


def _evaluate(table: Table, pairs: Sequence[tuple[Experiment, int]]) -> Iterator[str]:
    """Put the figures of all finished runs into the CSV."""
    from landmarkfer.evaluation.evaluate import evaluate_run
    from landmarkfer.evaluation.files import write_evaluation
    from landmarkfer.reporting.results import append_results, evaluation_rows
    from landmarkfer.runs.folder import find_run
    from landmarkfer.runs.metrics_table import read_epochs

    for experiment, seed in pairs:
        if not _finished(table, experiment, seed):
            continue
        run = find_run(table.run_name(experiment, seed))
        evaluation, predictions = evaluate_run(run)
        write_evaluation(run.path, evaluation, predictions)
        config = run.read_config()
        figures = {"train_seconds": float(read_epochs(run.metrics_file)["seconds"].sum())}
        if config.parameters is not None:
            figures = {"parameters": config.parameters} | figures
        rows = evaluation_rows(
            evaluation,
            experiment=experiment.name,
            model=config.settings.model.name,
            graph=config.graph.name if config.graph else None,
            seed=seed,
            run=figures,
        )
        append_results(RESULTS / f"{table.name}.csv", rows)
        yield f"{run.name}: {evaluation.subsets['test'].accuracy:.2%} of all test images"
    seeds = sorted({seed for _, seed in pairs})
    for name, members in table.ensembles.items():
        for seed in seeds:
            yield from _evaluate_ensemble(table, name, members, seed)


def _evaluate_ensemble(table: Table, name: str, members: Sequence[str], seed: int) -> Iterator[str]:
    """Put the figures of an ensemble into the CSV, if all its members of a seed are evaluated."""
    from landmarkfer.evaluation.files import PREDICTIONS_FILE
    from landmarkfer.metrics.combine import average_predictions
    from landmarkfer.metrics.predictions import read_predictions
    from landmarkfer.metrics.report import evaluate_predictions
    from landmarkfer.reporting.results import append_results, evaluation_rows
    from landmarkfer.runs.folder import RunFolder

    known = {experiment.name: experiment for experiment in table.experiments}
    runs = [RunFolder(RUNS / table.run_name(known[member], seed)) for member in members]
    if not all((run.path / PREDICTIONS_FILE).exists() for run in runs):
        return
    average = average_predictions([read_predictions(run.path / PREDICTIONS_FILE) for run in runs])
    evaluation = evaluate_predictions(average)
    rows = evaluation_rows(evaluation, experiment=name, model="ensemble", graph=None, seed=seed)
    append_results(RESULTS / f"{table.name}.csv", rows)
    yield f"{name}, seed {seed}: {evaluation.subsets['test'].accuracy:.2%} of all test images"


def _render(table: Table) -> None:
    """Write the page of what the CSV holds."""
    from landmarkfer.reporting.results import read_results

    csv = RESULTS / f"{table.name}.csv"
    there = set(read_results(csv)["experiment"])
    header = Header(
        title=table.title,
        commands=table.commands,
        versions=package_versions(),
        date=datetime.now(UTC).date().isoformat(),
        machine=(
            f"{os.cpu_count()} CPU cores, two trainings at a time with one thread each, beside other work: "
            "times are upper bounds"
        ),
        introduction=table.introduction,
        notes="\n\n".join(filter(None, [table.notes, _pending(table, there)])),
    )
    render_results(
        csv,
        RESULTS / f"{table.name}.md",
        header,
        published=[p for p in table.published if p.beside is None or p.beside in there],
        contrasts=[c for c in table.contrasts if {c.variant, c.base} <= there],
        columns=table.columns,
    )


def _pending(table: Table, there: set[str]) -> str:
    """Which rows have not been measured yet, and with what command each would be."""
    missing = [e.name for e in table.experiments if e.name not in there]
    if not missing:
        return ""
    script = table.commands[-1]
    lines = [f"- {name}: `{script} --only {name}`" for name in missing]
    return "\n".join(["## Not measured yet", "", "Each with its one command:", "", *lines])
