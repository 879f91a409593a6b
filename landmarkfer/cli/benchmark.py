"""`landmarkfer benchmark`: systems compared over seeds, with tests and costs."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.cli.train_options import distinct


@click.command(cls=Command)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    callback=distinct,
    help="Train with this seed instead of the recipe's; may be repeated.",
)
@click.option(
    "--only",
    metavar="ROW",
    multiple=True,
    help="Train this row; may be repeated. The report has all rows with figures.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at a time.")
@click.option("--dry-run", is_flag=True, help="Show what remains to train and how long that takes.")
@click.option("--no-train", is_flag=True, help="Write the report from what is finished or archived.")
@click.option("--latency", is_flag=True, help="Measure the latency of all finished runs again.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("experiments/results"),
    show_default=True,
    help="Folder of the report, the CSV and the picture.",
)
def benchmark(
    recipe: Path,
    seeds: tuple[int, ...],
    only: tuple[str, ...],
    jobs: int,
    dry_run: bool,
    no_train: bool,
    latency: bool,
    out: Path,
) -> None:
    """Train and compare the systems of RECIPE, each with several seeds, on the same test images.

    Writes a Markdown report and its CSV, named as RECIPE: mean and SD over seeds, costs, what each choice
    contributed; with a baseline also bootstrap intervals, paired tests with Holm's correction and a picture.
    Finished runs are not trained again, so a benchmark that was interrupted resumes when the command is
    repeated. The predictions of each run on each test image are archived beside the report; --no-train
    computes the report from them on any machine. Rows whose figures are in the CSV alone stay as they are.
    Latency is that of one image on one CPU core, the best of 20 calls; --latency measures that of all
    finished runs again, best on a machine that does nothing else. A row with `weights`, the folder of a
    finished run, is applied and never trained; without the cache that it was trained on, it has the figures
    on [other_data] alone. Rows that were trained on different caches are a table of what they were trained
    on and tested on, over the images that all have in common, with a paired test of each of [[pairs]].

    \b
    RECIPE, with training recipes relative to it:
      title = "Pixels and landmarks"
      seeds = [0, 1, 2]
      baseline = "pixels"
      [[rows]]
      name = "pixels"
      recipe = "image.toml"
      [[rows]]
      name = "fused"
      set = {"model.name"="fusion", "branches.image"="mine-pixels-s{seed}"}
      [[rows]]
      name = "both"
      average = ["pixels", "fused"]
      [[rows]]
      name = "shipped"
      weights = "../weights/fer2013-resnet-fer-16-s{seed}"
      [[contrasts]]
      choice = "landmarks beside pixels"
      row = "fused"
      against = "pixels"
      [other_data]
      raf-db = "cache/raf-db"

    \b
    Trained on one data set or both, tested on each:
      [other_data]
      fer2013 = "fer2013"
      photos = "photos"
      [[rows]]
      name = "both"
      recipe = "mlp.toml"
      set = {cache = ["fer2013", "photos"]}
      [[rows]]
      name = "photos alone"
      base = "both"
      set = {cache = "photos"}
      [[pairs]]
      first = "both"
      second = "photos alone"

    \b
    Examples:
      landmarkfer benchmark mine.toml --dry-run
      landmarkfer benchmark experiments/benchmarks/fer2013-systems.toml --jobs 2
      landmarkfer benchmark experiments/benchmarks/fer2013-systems.toml --no-train
      landmarkfer benchmark mine.toml --no-train --latency
      landmarkfer benchmark mine.toml --seed 0 --only pixels --only fused
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.cli.benchmark_report import plan_table
    from landmarkfer.evaluation.benchmark.plan import plan
    from landmarkfer.evaluation.benchmark.run import benchmark as run_benchmark
    from landmarkfer.progress import show_progress

    console = Console()
    with show_progress() as progress:
        if dry_run:
            console.print(plan_table(plan(recipe, seeds=seeds, only=only, progress=progress)))
            return
        report = run_benchmark(
            recipe,
            seeds=seeds,
            only=only,
            jobs=jobs,
            train=not no_train,
            latency=latency,
            results_root=out,
            progress=progress,
        )
    console.print(f"Report: {report}; figures: {report.with_suffix('.csv')}", highlight=False, soft_wrap=True)
