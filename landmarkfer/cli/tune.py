"""`landmarkfer tune`: search a recipe's ranges for the settings that validate best."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(min=1), help="Trainings in all; as the recipe says if unset.")
@click.option(
    "--cache",
    "caches",
    multiple=True,
    help="Landmark cache, a folder or a name under ./cache; as the recipe says if unset; may be repeated.",
)
@click.option("--epochs", type=int, help="Epochs of each training.")
@click.option("--name", help="Of the study's folder under experiments/tuning; the recipe's name by default.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated."
)
def tune(
    recipe: Path,
    trials: int | None,
    caches: tuple[str, ...],
    epochs: int | None,
    name: str | None,
    assignments: tuple[str, ...],
) -> None:
    """Search the ranges that RECIPE states in its [tune] table, by validation alone.

    Trainings that are worse than the median at the same epoch are stopped early. Interrupted, the same
    command resumes; with more --trials, it continues a finished search.

    \b
    In the recipe, besides what `train` reads:
      [tune]
      trials = 30
      [tune.ranges]
      "optimiser.lr" = {low = 5e-4, high = 1e-2, log = true}
      "model.dropout" = {low = 0.2, high = 0.7}
      "model.graph" = ["tesselation", "anatomical", "knn"]

    \b
    Examples:
      landmarkfer tune experiments/recipes/fer2013-gnn-tune.toml
      landmarkfer tune mine.toml --trials 100 --cache faces
      landmarkfer train --recipe experiments/tuning/mine/best.toml --seed 0
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.progress import show_progress
    from landmarkfer.training.tune import tune as search

    console = Console()
    with show_progress() as progress:
        folder = search(
            recipe,
            name=name,
            trials=trials,
            overrides={"cache": list(caches) or None, "fit.epochs": epochs},
            assignments=assignments,
            progress=progress,
        )
    console.print(f"Trials: {folder / 'trials.csv'}; picture: {folder / 'tuning.png'}", highlight=False)
    console.print(
        f"Next: landmarkfer train --recipe {folder / 'best.toml'} --seed 0 --seed 1 --seed 2", highlight=False
    )
