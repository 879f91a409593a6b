"""Settings that version 0.1 had and later versions do not, so that its saved runs can still be read.

A `config.json` states every setting. One that is no longer there is ignored at the value that leaves it out,
and refused at any other.
"""

from collections.abc import Mapping
from typing import Any

REMOVED: dict[str, Any] = {
    "augment.rotation": 0.0,
    "augment.scale": 0.0,
    "augment.image.noise": 0.0,
    "mixing.cutmix": 0.0,
    "distillation.temperature": 1.0,
    "optimiser.momentum": 0.9,
    "optimiser.period": 10.0,
    "optimiser.plateau_patience": 5,
    "optimiser.plateau_factor": 0.3,
    "fit.swa": 0.0,
}
"""The value that leaves a removed setting out, by dotted key."""


def without_removed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings of any version without the removed ones.

    Raises:
        ValueError: A removed setting has a value that no later version can follow.
    """
    return _without(content, "")


def _without(table: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    remaining = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name in REMOVED:
            if value != REMOVED[name]:
                raise ValueError(
                    f"'{name}' = {value} is of version 0.1, and this version has no such setting; "
                    "use version 0.1 for this run, or train a new one"
                )
        else:
            remaining[key] = _without(value, f"{name}.") if isinstance(value, Mapping) else value
    return remaining
