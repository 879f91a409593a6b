r"""Train, evaluate and tabulate the landmark models on FER2013: `experiments/results/fer2013-landmarks.md`.

Runs that are finished are not trained again, and one that was cut off goes on, so the command can be repeated
until all is there. The cache is made once, before:

    landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3
    python experiments/fer2013_landmarks.py
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

RECIPES = Path("experiments/recipes")
RESULTS = Path("experiments/results")
RUNS = Path("experiments/runs")


@dataclass(frozen=True)
class Experiment:
    """One row of the table: a recipe and what is set otherwise."""

    name: str
    recipe: str
    settings: tuple[str, ...] = ()

    def run_name(self, seed: int) -> str:
        """The run's folder."""
        return f"fer2013-{self.name}-s{seed}"


EXPERIMENTS = (
    Experiment("mlp", "fer2013-mlp"),
    Experiment("gnn-tesselation", "fer2013-gnn"),
    Experiment("gnn-anatomical", "fer2013-gnn", ("model.graph=anatomical",)),
    Experiment("gnn-knn", "fer2013-gnn", ("model.graph=knn",)),
    Experiment("gnn-hybrid", "fer2013-gnn", ("model.graph=hybrid",)),
    Experiment("gnn-gcn", "fer2013-gnn", ("model.conv=gcn",)),
    Experiment("gnn-mean-readout", "fer2013-gnn", ("model.readout=mean",)),
    Experiment("gnn-region-readout", "fer2013-gnn", ("model.readout=region",)),
    Experiment("gnn-no-identity", "fer2013-gnn", ("model.identity=0",)),
    Experiment("gnn-mean-no-identity", "fer2013-gnn", ("model.readout=mean", "model.identity=0")),
)


@click.command()
@click.option("--seeds", default="0,1,2", show_default=True, help="Training seeds, comma-separated.")
@click.option("--only", help="Names of experiments, comma-separated; all by default.")
@click.option("--jobs", default=2, show_default=True, help="Trainings at a time, one thread each.")
@click.option("--table-only", is_flag=True, help="Train nothing; tabulate the runs that are finished.")
def main(seeds: str, only: str | None, jobs: int, table_only: bool) -> None:
    """Train what is missing, evaluate, and write the table."""
    wanted = [e for e in EXPERIMENTS if only is None or e.name in only.split(",")]
    pairs = [(experiment, int(seed)) for seed in seeds.split(",") for experiment in wanted]
    if not table_only:
        missing = [
            pair for pair in pairs if not (RUNS / pair[0].run_name(pair[1]) / "model.safetensors").exists()
        ]
        with ThreadPoolExecutor(jobs) as pool:
            for line in pool.map(lambda pair: _train(*pair, threads=1 if jobs > 1 else 2), missing):
                click.echo(line)
    _tabulate(pairs)


def _train(experiment: Experiment, seed: int, threads: int) -> str:
    name = experiment.run_name(seed)
    command = [sys.executable, "-m", "landmarkfer", "train"]
    if (RUNS / name / "config.json").exists():
        command += ["--resume", name]
    else:
        command += [
            "--recipe",
            str(RECIPES / f"{experiment.recipe}.toml"),
            "--seed",
            str(seed),
            "--name",
            name,
        ]
        command += [part for setting in experiment.settings for part in ("--set", setting)]
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / f"{name}.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        code = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    return f"{name}: {'trained' if code == 0 else f'failed, see {log.name}'}"


def _tabulate(pairs: list[tuple[Experiment, int]]) -> None:
    from landmarkfer.evaluation.pages import Contrast, Header, Published, package_versions, render_results
    from landmarkfer.evaluation.report import write_evaluation
    from landmarkfer.evaluation.results import append_results, evaluation_rows, read_results
    from landmarkfer.predict import evaluate_run
    from landmarkfer.training.callbacks import read_epochs
    from landmarkfer.training.run import find_run

    csv = RESULTS / "fer2013-landmarks.csv"
    for experiment, seed in _finished(pairs):
        run = find_run(experiment.run_name(seed))
        evaluation, predictions = evaluate_run(run)
        write_evaluation(run.path, evaluation, predictions)
        config = run.read_config()
        figures = {
            "parameters": config.parameters,
            "train_seconds": float(read_epochs(run.metrics_file)["seconds"].sum()),
        }
        graph = config.graph.name if config.graph else None
        rows = evaluation_rows(
            evaluation,
            experiment=experiment.name,
            model=config.settings.model.name,
            graph=graph,
            seed=seed,
            run=figures,
        )
        append_results(csv, rows)
        click.echo(f"{run.name}: {evaluation.subsets['test'].accuracy:.2%} of all test images")
    there = set(read_results(csv)["experiment"])
    contrasts = [
        Contrast("node-wise read-out instead of the mean", "gnn-tesselation", "gnn-mean-readout"),
        Contrast("node-wise read-out instead of regions", "gnn-tesselation", "gnn-region-readout"),
        Contrast("identity embedding, node-wise read-out", "gnn-tesselation", "gnn-no-identity"),
        Contrast("identity embedding, mean read-out", "gnn-mean-readout", "gnn-mean-no-identity"),
        Contrast("sage instead of gcn", "gnn-tesselation", "gnn-gcn"),
        Contrast("tesselation instead of anatomical", "gnn-tesselation", "gnn-anatomical"),
        Contrast("knn instead of anatomical", "gnn-knn", "gnn-anatomical"),
        Contrast("hybrid instead of anatomical", "gnn-hybrid", "gnn-anatomical"),
        Contrast("gnn on the tesselation instead of the mlp", "gnn-tesselation", "mlp"),
    ]
    published = [
        Published(
            "published MLP",
            "1434-512-256-7 on landmarks, about 850 K parameters",
            {"test.accuracy": 0.452},
            model="mlp",
            beside="mlp",
        ),
        Published(
            "published GCN",
            "157 anatomical edges, 128-256-384-256-128, mean pool, 537 K parameters",
            {"test.accuracy": 0.506},
            model="gnn",
            graph="anatomical",
            beside="gnn-anatomical",
        ),
    ]
    header = Header(
        title="Landmarks alone on FER2013",
        commands=[
            "landmarkfer extract fer2013.zip --cache cache/fer2013 --passes 3",
            "python experiments/fer2013_landmarks.py",
        ],
        versions=package_versions(),
        date=datetime.now(UTC).date().isoformat(),
        machine=(
            f"{os.cpu_count()} CPU cores, two trainings at a time with one thread each, beside other work: "
            "times are upper bounds"
        ),
        introduction=INTRODUCTION,
    )
    render_results(
        csv,
        RESULTS / "fer2013-landmarks.md",
        header,
        published=[p for p in published if p.beside in there],
        contrasts=[c for c in contrasts if {c.variant, c.base} <= there],
    )


INTRODUCTION = (
    "FER2013 as `train/<class>`, `test/<class>` (28,709 and 7,178 images of 48 x 48 pixels). Landmarks are "
    "the mean of three MediaPipe Face Mesh detections. A tenth of the training images, no pixel-identical "
    "ones apart, validates and chooses the epoch; the test images were predicted once per run, with the "
    "prediction for the mirrored face averaged in."
)


def _finished(pairs: list[tuple[Experiment, int]]) -> Iterator[tuple[Experiment, int]]:
    return ((e, s) for e, s in pairs if (RUNS / e.run_name(s) / "model.safetensors").exists())


if __name__ == "__main__":
    main()
