"""`landmarkfer train`: from a landmark cache to a trained model in a run folder."""

from pathlib import Path
from typing import Any

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.cli.train_options import (
    distinct,
    given_options,
    merged_classes,
    next_commands,
    overrides,
    split_shares,
)
from landmarkfer.models import MODELS


@click.command(cls=Command)
@click.option(
    "--model", type=click.Choice(list(MODELS)), help="Which model; gnn if no recipe says otherwise."
)
@click.option(
    "--cache",
    "caches",
    multiple=True,
    help="Landmark cache, a folder or a name under ./cache, by default the only one there; may be repeated.",
)
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option("--graph", help="Facial graph of a graph model: a name (`landmarkfer graph list`) or a file.")
@click.option("--fusion", help="How the branches of model 'fusion' meet: late, concat, gated, ...")
@click.option("--epochs", type=int, help="Epochs to train.")
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    callback=distinct,
    help="Seed of weights, order and augmentation; repeated, one run for each, and their mean.",
)
@click.option("--folds", type=click.IntRange(min=2), help="One run for each fold of k, and their mean.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    help="Only this class, as named after merging; repeated, these.",
)
@click.option(
    "--merge",
    multiple=True,
    metavar="NEW=OLD+OLD",
    callback=merged_classes,
    help="Make one class of several; may be repeated.",
)
@click.option("--per-class", type=int, help="This many training images of each class.")
@click.option(
    "--split",
    "shares",
    metavar="70/10/20",
    callback=split_shares,
    help="Split all images anew into train, validation and test.",
)
@click.option(
    "--init",
    metavar="RUN",
    help="Initialise from a finished run, or fine-tune a model that ships: shipped, fusion, landmarks.",
)
@click.option("--name", help="Name of the run; made from model, graph and seed by default.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated."
)
@click.option("--resume", "resumed", metavar="RUN", help="Resume an interrupted run; takes no other option.")
def train(
    recipe: Path | None,
    seeds: tuple[int, ...],
    folds: int | None,
    name: str | None,
    assignments: tuple[str, ...],
    resumed: str | None,
    **options: Any,
) -> None:
    """Train a model from a landmark cache.

    \b
    Examples:
      landmarkfer train --model gnn
      landmarkfer train --model gnn --graph knn --seed 1 --epochs 20
      landmarkfer train --recipe experiments/recipes/fer2013-mlp.toml
      landmarkfer train --set model.readout=region --set augment.jitter=0.1
      landmarkfer train --model image --set model.backbone=resnet18
      landmarkfer train --model fusion --fusion gated --set model.encoder=mlp
      landmarkfer train --model mlp --seed 0 --seed 1 --seed 2 --per-class 100
      landmarkfer train --model mlp --folds 5 --class happy --class sad
      landmarkfer train --model mlp --cache fer2013 --cache photos
      landmarkfer train --init shipped --cache photos
      landmarkfer train --resume gnn-tesselation-s0
    """  # noqa: D301 (click wants the character, not a backslash)
    if resumed and given_options() != ["resumed"]:
        raise click.UsageError("--resume takes its settings from the run; give no other option with it.")
    from landmarkfer.config.recipes import changed_settings, load_settings
    from landmarkfer.data.joined import open_cache
    from landmarkfer.errors import check_extra
    from landmarkfer.runs.folder import check_new_name, find_run
    from landmarkfer.training.fine_tuning import with_shipped

    # Before torch is loaded, which takes long: a wrong setting, cache or name is refused at once.
    seed = seeds[0] if len(seeds) == 1 else None
    settings = load_settings(recipe, overrides(name=name, seed=seed, **options), assignments)
    if not resumed:
        check_extra("train")
        open_cache(settings.cache)
        if settings.name and not folds and len(seeds) < 2:
            check_new_name(settings.name)

    from rich.console import Console

    from landmarkfer.progress import show_progress
    from landmarkfer.training.fit import resume
    from landmarkfer.training.fit import train as train_one
    from landmarkfer.training.multirun import (
        read_validation,
        repetitions,
        train_multirun,
        validation_table,
    )

    console = Console()
    if resumed:
        with show_progress() as progress:
            runs = [resume(find_run(resumed), progress=progress)]
    else:
        changed = ", ".join(f"{key}={value}" for key, value in changed_settings(settings).items())
        model = with_shipped(settings).model.name
        console.print(f"model {model}; settings changed: {changed or 'none'}", highlight=False)
        with show_progress() as progress:
            if len(seeds) > 1 or folds:
                base = recipe.stem if recipe and not name else None
                wanted = repetitions(settings, seeds, folds or 0, base)
                try:
                    runs = train_multirun(wanted, progress=progress)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt("The same command resumes.") from None
            else:
                runs = [train_one(settings, progress=progress)]
        if len(runs) > 1:
            console.print(validation_table([read_validation(run) for run in runs]))
            if warned := [run.name for run in runs if run.read_warnings()]:
                line = f"With warnings, see above or their warnings.json: {', '.join(warned)}"
                console.print(line, highlight=False, markup=False)
    console.print(f"Trained {', '.join(str(run.path) for run in runs)}", highlight=False)
    for command in next_commands(runs, folds or 0, len(seeds) or 1):
        console.print(f"Next: {command}", highlight=False, soft_wrap=True)
