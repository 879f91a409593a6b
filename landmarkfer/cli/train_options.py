"""What the options of `landmarkfer train` mean, where it is more than one value, and what comes after it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

if TYPE_CHECKING:
    from landmarkfer.runs.folder import RunFolder

_SETTINGS = {
    **{"model": "model.name", "graph": "model.graph", "fusion": "model.fusion"},
    **{"epochs": "fit.epochs", "per_class": "data.per_class"},
    **{"classes": "data.classes", "merge": "data.merge"},
}
"""Settings that options of another name stand for."""


def overrides(
    *,
    shares: dict[str, float | bool],
    classes: tuple[str, ...],
    caches: tuple[str, ...],
    **options: Any,
) -> dict[str, Any]:
    """The options that are settings, by the settings' names; None where an option is not given."""
    given = {"classes": list(classes) or None, "cache": list(caches) or None, **options}
    return {_SETTINGS.get(name, name): value for name, value in given.items()} | shares


def given_options() -> list[str]:
    """Names of the parameters that stand on the command line."""
    context = get_current_context()
    source = context.get_parameter_source
    return [name for name in context.params if source(name) is ParameterSource.COMMANDLINE]


def distinct(context: click.Context, parameter: click.Parameter, found: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of a repeated option, each given once."""
    if len(set(found)) < len(found):
        raise click.BadParameter("give different numbers")
    return found


def split_shares(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> dict[str, float | bool]:
    """Settings of the split from `train/validation/test`, in percent, tenths or fractions."""
    if text is None:
        return {}
    try:
        train, validation, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise click.BadParameter(f"'{text}' is no split such as 70/10/20") from None
    if min(train, validation, test) <= 0:
        raise click.BadParameter("every part needs a share above 0")
    total = train + validation + test
    if not any(math.isclose(total, whole) for whole in (100, 10, 1)):
        raise click.BadParameter(f"'{text}' adds up to {total:g}; shares add up to 100, as 70/10/20 do")
    return {
        "data.official": False,
        "split.test": test / total,
        "split.validation": validation / (train + validation),
    }


def merged_classes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[str]] | None:
    """Old names by new ones, from texts such as `negative=angry+sad`; None without any."""
    found = {}
    for text in texts:
        new, equals, old = text.partition("=")
        if not (new and equals and old):
            raise click.BadParameter(f"'{text}' is not NEW=OLD+OLD, such as negative=angry+sad")
        found[new] = old.split("+")
    return found or None


def next_commands(runs: Sequence["RunFolder"], folds: int, seeds: int) -> list[str]:
    """What one does with runs that have been trained; those of one seed stand together.

    Args:
        runs: The runs, seed by seed.
        folds: How many folds each seed has; 0 without cross-validation.
        seeds: How many seeds there are.
    """
    names = [run.name for run in runs]
    commands = [f"landmarkfer evaluate {' '.join(names)}"]
    for number in range(seeds) if folds else ():
        own = names[number * folds : (number + 1) * folds]
        out = runs[0].path.parent / f"{own[0].rpartition('-fold')[0]}-folds"
        commands.append(f"landmarkfer evaluate {' '.join(own)} --out-of-fold --out {out}")
    return commands
