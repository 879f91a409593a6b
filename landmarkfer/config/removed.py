"""Settings that earlier versions had otherwise or later ones do not have, so that their runs can be read.

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
    "model.learned": 0,
}
"""The value that leaves a removed setting out, by dotted key."""


CHANGED_DEFAULTS: dict[str, tuple[str, Any, Any]] = {
    "augment.shape_jitter": ("2026-11-30T02:30", 0.3, 0.0),
}
"""Settings whose default has changed, by dotted key: until when (UTC), the default then, and today's."""


def same_settings(then: Mapping[str, Any], created: str, now: Mapping[str, Any]) -> bool:
    """Whether two trainings differ from the defaults of their days so that they are the same.

    Args:
        then: The settings that differed from the defaults when a run was created, by dotted key.
        created: When that was, ISO 8601, UTC.
        now: Those that differ from the defaults of today.
    """
    then, now = dict(then), dict(now)
    for key, (until, former, today) in CHANGED_DEFAULTS.items():
        if key in then and key not in now:
            now[key] = today
        elif key in now and key not in then:
            then[key] = former if created < until else today
    return then == now


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
        of_model = name.replace("model.encoder_settings.", "model.")  # those of a landmark branch
        if of_model in REMOVED:
            if value != REMOVED[of_model]:
                raise ValueError(
                    f"'{name}' = {value} is of an earlier version, and this one has no such setting; "
                    "use that version for this run, or train a new one"
                )
        else:
            remaining[key] = _without(value, f"{name}.") if isinstance(value, Mapping) else value
    return remaining
