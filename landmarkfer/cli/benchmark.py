"""`landmarkfer benchmark`: systems side by side, with seeds, tests and costs."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.train_options import numbers


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--seeds", metavar="N,N,...", callback=numbers, help="Seeds, instead of the recipe's.")
@click.option(
    "--only", metavar="ROW,...", help="Train these rows only; the page holds all that are finished."
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings at a time.")
@click.option("--dry-run", is_flag=True, help="Tell what is left to train and how long that takes.")
@click.option("--no-train", is_flag=True, help="Write the page from what is finished or kept beside it.")
@click.option("--latency", is_flag=True, help="Measure the latency of all finished runs again.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("experiments/results"),
    show_default=True,
    help="Folder for the page, the CSV and the picture.",
)
def benchmark(
    recipe: Path,
    seeds: tuple[int, ...],
    only: str | None,
    jobs: int,
    dry_run: bool,
    no_train: bool,
    latency: bool,
    out: Path,
) -> None:
    """Train and compare the systems of RECIPE, each with several seeds, on the same test images.

    Writes a Markdown page, its CSV and a picture, named as RECIPE: mean and SD over seeds, bootstrap
    intervals, paired tests against a baseline with Holm's correction, costs. What is finished is kept, so a
    benchmark that was stopped goes on where it was when the command is given again. What each run said of
    each test image is kept beside the page, from which --no-train makes it again, on any machine.
    Latency is that of one image on one CPU core, the best of 20 calls; --latency takes it again, of all
    systems in a row, on a machine that does nothing else.

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
      set = {"model.name" = "fusion", "branches.image" = "mine-pixels-s{seed}"}
      [[rows]]
      name = "both"
      average = ["pixels", "fused"]
      [other_data]
      raf-db = "cache/raf-db"

    \b
    Examples:
      landmarkfer benchmark experiments/benchmarks/fer2013-comparison.toml --dry-run
      landmarkfer benchmark experiments/benchmarks/fer2013-comparison.toml --jobs 2
      landmarkfer benchmark experiments/benchmarks/fer2013-comparison.toml --no-train
      landmarkfer benchmark mine.toml --no-train --latency
      landmarkfer benchmark mine.toml --seeds 0 --only pixels,fused
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.cli.benchmark_report import plan_table
    from landmarkfer.evaluation.benchmark.run import benchmark as run_benchmark
    from landmarkfer.evaluation.benchmark.run import plan
    from landmarkfer.progress import show_progress

    console = Console()
    rows = only.split(",") if only else []
    with show_progress() as progress:
        if dry_run:
            console.print(plan_table(plan(recipe, seeds=seeds, only=rows, progress=progress)))
            return
        page = run_benchmark(
            recipe,
            seeds=seeds,
            only=rows,
            jobs=jobs,
            train=not no_train,
            latency=latency,
            results_root=out,
            progress=progress,
        )
    console.print(f"Page: {page}; figures: {page.with_suffix('.csv')}", highlight=False, soft_wrap=True)
