"""`landmarkfer train`: from a landmark cache to a trained model in a run folder."""

from pathlib import Path

import rich_click as click

from landmarkfer.models import MODELS


@click.command()
@click.option(
    "--model", type=click.Choice(list(MODELS)), help="Which model; gnn if no recipe says otherwise."
)
@click.option(
    "--cache", help="Landmark cache, a folder or a name under ./cache; the only one there by default."
)
@click.option("--recipe", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option("--graph", help="Facial graph of a graph model: a name (`landmarkfer graph list`) or a file.")
@click.option("--epochs", type=int, help="Epochs to train.")
@click.option("--seed", type=int, help="Seed of weights, order and augmentation.")
@click.option("--name", help="Name of the run; made from model, graph and seed by default.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; may be repeated."
)
@click.option(
    "--resume", "resumed", metavar="RUN", help="Go on with a run that was cut off; takes no other option."
)
def train(
    model: str | None,
    cache: str | None,
    recipe: Path | None,
    graph: str | None,
    epochs: int | None,
    seed: int | None,
    name: str | None,
    assignments: tuple[str, ...],
    resumed: str | None,
) -> None:
    """Train a model from a landmark cache.

    \b
    Examples:
      landmarkfer train --model gnn
      landmarkfer train --model gnn --graph knn --seed 1 --epochs 20
      landmarkfer train --recipe experiments/recipes/fer2013-mlp.toml
      landmarkfer train --model gnn --set model.readout=region --set augment.jitter=0.1
      landmarkfer train --resume gnn-tesselation-s0
    """  # noqa: D301 (click wants the character, not a backslash)
    if resumed and any(
        [model, cache, recipe, graph, epochs is not None, seed is not None, name, assignments]
    ):
        raise click.UsageError("--resume takes its settings from the run; give no other option with it.")
    from rich.console import Console

    from landmarkfer.config import changed_settings, load_settings
    from landmarkfer.training import fit
    from landmarkfer.training.run import find_run

    console = Console()
    if resumed:
        run = fit.resume(find_run(resumed), console=console)
    else:
        overrides = {"model.name": model, "model.graph": graph, "cache": cache, "name": name, "seed": seed}
        settings = load_settings(recipe, overrides | {"fit.epochs": epochs}, assignments)
        changed = ", ".join(f"{key}={value}" for key, value in changed_settings(settings).items())
        console.print(f"model {settings.model.name}; settings changed: {changed or 'none'}", highlight=False)
        run = fit.train(settings, console=console)
    console.print(f"Trained {run.path}", highlight=False)
    console.print(f"Next: landmarkfer evaluate {run.name}", highlight=False)
