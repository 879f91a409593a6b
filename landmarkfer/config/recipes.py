"""Settings from a recipe and the command line, and what of them differs from the defaults.

A recipe is a TOML file with the tables of `train.py`. With `base = "other.toml"`, a path relative to it, it
states only what differs from that recipe. Errors name the key, what was given and what was expected.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from landmarkfer.config.faults import reason
from landmarkfer.config.removed import REMOVED
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import SettingsError

_UNKNOWN = object()


def load_settings(
    recipe: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> TrainSettings:
    """Settings from a recipe, then overrides, then `table.key=value` assignments; the last one wins.

    Args:
        recipe: A TOML file; the defaults alone if None.
        overrides: Values by dotted key, such as `{"fit.epochs": 5}`; None values are ignored.
        assignments: Strings such as `augment.jitter=0.1`; values are TOML, bare words are strings.

    Returns:
        The checked settings.

    Raises:
        SettingsError: The file cannot be read, or a key or value is wrong; the message names it.
    """
    content = read_recipe(recipe) if recipe else {}
    if "rows" in content:
        raise SettingsError(
            f"{recipe} is the recipe of a benchmark (it has rows), not of a training; "
            f"run it with `landmarkfer benchmark {recipe}`."
        )
    content.pop("tune", None)  # see `search.py`
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(content, key, value)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise SettingsError(
                f"'{assignment}' is no setting; write it as table.key=value, e.g. fit.epochs=5."
            )
        _assign(content, key.strip(), _toml_value(text.strip()))
    return parse_settings(content, origin=str(recipe) if recipe else "the settings")


def parse_settings(content: Mapping[str, Any], origin: str) -> TrainSettings:
    """Check plain data against the settings.

    Raises:
        SettingsError: Names the first wrong key, what was given, and which keys there are.
    """
    try:
        return TrainSettings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(explain(error, origin, TrainSettings)) from None


def changed_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that differ from the defaults, by dotted key."""
    return changed_keys(settings.model_dump())


def settings_that_differ(settings: TrainSettings, other: TrainSettings) -> list[str]:
    """What two sets of settings differ in: `fit.epochs (12, not 8)`, the first one's value first.

    Args:
        settings: Such as those of a run.
        other: Such as those that are wanted.
    """
    there, here = settings.model_dump(), other.model_dump()
    first, second = (dict(_differences(a, b, "")) for a, b in ((there, here), (here, there)))
    keys = sorted(first.keys() | second.keys())
    return [f"{key} ({first.get(key)!r}, not {second.get(key)!r})" for key in keys]


def stated_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that were stated, by dotted key, also where they are as the defaults.

    What a training takes from a model that ships goes before the defaults, but not before what is stated.
    """
    stated = settings.model_dump(exclude_unset=True)
    return {key: value for key, value in _differences(stated, None, "") if value is not None}


def changed_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """As `changed_settings`, of plain data written by any version: keys that are unknown here differ too."""
    changed = dict(_differences(content, TrainSettings().model_dump(), ""))
    return {key: value for key, value in changed.items() if REMOVED.get(key, _UNKNOWN) != value}


def _differences(given: Mapping[str, Any], default: Any, prefix: str) -> Iterable[tuple[str, Any]]:
    default = default if isinstance(default, dict) else {}
    for key, value in given.items():
        if isinstance(value, dict):
            yield from _differences(value, default.get(key), f"{prefix}{key}.")
        elif key not in default or value != default[key]:
            yield f"{prefix}{key}", value


def read_recipe(path: Path) -> dict[str, Any]:
    """The content of a recipe, merged into that of its `base`, table by table.

    A value of the recipe replaces that of its base; lists and `stages` are values.

    Raises:
        SettingsError: A file cannot be read, `base` is no path, or recipes are each other's base.
    """
    return _read_with_base(path, ())


def _read_with_base(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    place = path.resolve()
    if place in above:
        circle = " -> ".join(one.name for one in (*above[above.index(place) :], place))
        raise SettingsError(f"recipes are each other's base: {circle}; leave out one 'base'.")
    content = _read_toml(path)
    base = content.pop("base", None)
    if base is None:
        return content
    if not isinstance(base, str):
        raise SettingsError(f"{path}: 'base' = {json.dumps(base, default=str)} is no path of a recipe.")
    if not (path.parent / base).exists():
        raise SettingsError(
            f"{path} has base = {json.dumps(base)}, and there is no recipe {path.parent / base}; "
            f"write the path of one, relative to {path.name}, or leave 'base' out."
        )
    return merged(_read_with_base(path.parent / base, (*above, place)), content)


def merged(base: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of `content` on those of `base`; a value of it replaces that of the base."""
    tables = {
        key: merged(base[key], value)
        for key, value in content.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **content, **tables}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no recipe {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} is no readable TOML file: {error}.") from None


def _assign(content: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise SettingsError(f"'{key}' is no setting: '{table}' is a value, not a table.")
    content[last] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def explain(error: ValidationError, origin: str, table: Any) -> str:
    """The first fault, in one sentence; `table` is the model that was checked against."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        for part in first["loc"][:-1]:
            if part in table.model_fields:  # rather than a place in a list, a key, or one of several types
                table = _table_of(table.model_fields[part].annotation)
        known = ", ".join(table.model_fields)
        return f"{origin}: there is no setting '{key}'{_hint(key, table)}; known here: {known}."
    if first["type"] == "missing":
        return f"{origin}: the setting '{key}' is missing; write it."
    if not key:  # all the settings, of which the reason names those that disagree
        return f"{origin}: {reason(first)}."
    given = json.dumps(first["input"], default=str)
    place = f"'{key}' = {given}"
    if first["type"] == "model_type" and key == "model":
        return f"{origin}: {place} is no table; write [model] and below it name = {given}, or set model.name."
    return f"{origin}: {place} does not fit: {reason(first)}."


def _hint(key: str, table: Any) -> str:
    """Where a setting lies that was given without its table."""
    tables = [
        f"{name}.{key}"
        for name, field in table.model_fields.items()
        if key in getattr(field.annotation, "model_fields", {})
    ]
    if tables:
        return f"; did you mean {' or '.join(tables)}"
    return f"; a setting of the model is model.{key}" if "model" in table.model_fields else ""


def _table_of(annotation: Any) -> Any:
    """The settings model in an annotation such as `Model | None` or `tuple[Model, ...]`."""
    found = (_table_of(inner) for inner in get_args(annotation))
    return annotation if hasattr(annotation, "model_fields") else next(filter(None, found), None)
