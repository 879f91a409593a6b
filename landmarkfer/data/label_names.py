"""Names for the labels of a data set that numbers its classes, or calls them otherwise: `--label-names`.

Names are given one by one, as `VALUE=NAME`, or in a file of such lines or of a JSON object. `VALUE=` without
a name states that the value is no class. Values are matched by `label_value`, whatever writes them: `3.0`,
` 03 ` and `3` are one, and so are `Überrascht` composed and decomposed.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from landmarkfer.data.labels import canonical_label, label_key
from landmarkfer.errors import SettingsError

LabelNames = Mapping[str, str | None]
"""Class names by `label_value`, None where a value is no class."""

_NUMBER = re.compile(r"-?\d+")
_SEPARATOR = re.compile(r"[=\t;,]")
_HEADINGS = ("value", "label", "class", "id", "number"), ("name", "class", "label", "expression", "emotion")
_FORMS = "VALUE=NAME, such as 1=surprise, or a file of such lines or of a JSON object"


def label_value(value: object) -> str:
    """The form in which values of labels are compared; see `labels.label_key`."""
    return label_key(str(value))


def is_number(value: object) -> bool:
    """Whether a label is a whole number, which names no expression."""
    return _NUMBER.fullmatch(label_value(value)) is not None


def name_of(label: str, names: LabelNames) -> str | None:
    """The name of a label: that in `names`, or itself where there is none; None where it is no class."""
    return names.get(label_value(label), label)


def read_label_names(given: Sequence[str]) -> dict[str, str | None]:
    """Names of labels, as the command line takes them.

    Args:
        given: Each is `VALUE=NAME`, or the path of a file: lines `VALUE=NAME`, `VALUE,NAME`, `VALUE;NAME` or
            with a tab between, or a JSON object of names by value; UTF-8, with or without a byte-order mark.
            Empty lines and those that begin with `#` are passed over, as is a line of headings.

    Returns:
        Canonical names (`labels.canonical_label`) by `label_value`; None where the value is no class.

    Raises:
        SettingsError: An item is neither, a file cannot be read, or a value has two names.
    """
    found: dict[str, str | None] = {}
    for item in given:
        if os.path.isfile(item):
            _add(found, item, _read_file(Path(item)))
        elif "=" in item:
            value, _, name = item.partition("=")
            _add(found, f"'{item}'", [(value, name)])
        else:
            raise SettingsError(f"'{item}' gives no names of labels: it is no file; expected {_FORMS}.")
    return found


def make_label_names(given: Mapping[Any, str | None] | Sequence[str] | str | None) -> dict[str, str | None]:
    """Names of labels, as Python takes them.

    Args:
        given: Names by value; or one or more items of `read_label_names`, such as the path of a file.

    Raises:
        SettingsError: See `read_label_names`.
    """
    if isinstance(given, Mapping):
        found: dict[str, str | None] = {}
        _add(found, "label_names", given.items())
        return found
    return read_label_names([given] if isinstance(given, str) else given or [])


def check_named(labels: Iterable[str], where: str) -> None:
    """Refuse labels that are numbers.

    Args:
        labels: Those that are to be classes.
        where: What has them, for the message.

    Raises:
        SettingsError: Lists the numbers, and states how they are named.
    """
    numbers = sorted({label_value(label) for label in labels if is_number(label)}, key=int)
    if numbers:
        are = (
            "label {} of {} is a number, which names"
            if len(numbers) == 1
            else "labels {} of {} are numbers, which name"
        )
        raise SettingsError(
            f"the {are.format(', '.join(numbers), where)} no class; name each with --label-names, such as "
            f"--label-names {numbers[0]}=surprise, or --label-names {numbers[0]}= where it is no class, or "
            "give a file of such lines."
        )


def _add(found: dict[str, str | None], where: str, pairs: Iterable[tuple[Any, object]]) -> None:
    for value, given in pairs:
        key = label_value(value)
        if not key:
            raise SettingsError(f"the label names in {where} name an empty value; expected {_FORMS}.")
        if given is not None and not isinstance(given, str):
            raise SettingsError(
                f"the label names in {where} give '{key}' the name {given!r}; a name is a text, or null "
                "where the value is no class."
            )
        name = canonical_label(given or "") or None
        if name is not None and is_number(name):
            raise SettingsError(
                f"the label names in {where} give '{key}' the name '{name}', a number; give it the name of "
                "an expression."
            )
        if found.setdefault(key, name) != name:
            raise SettingsError(
                f"the label names call '{key}' both '{found[key] or ''}' and '{name or ''}' (in {where}); "
                "keep one of them."
            )


def _read_file(path: Path) -> list[tuple[str, object]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the label names in {path} cannot be read ({error}); save them as UTF-8."
        ) from None
    if text.lstrip().startswith(("{", "[")):
        return _from_json(path, text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    pairs: list[tuple[str, object]] = []
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        value, *name = (part.strip().strip('"') for part in _SEPARATOR.split(line, maxsplit=1))
        if not name:
            raise SettingsError(f"{path}, line {number}: '{line}' is not VALUE=NAME or VALUE,NAME.")
        pairs.append((value, name[0]))
    if pairs and all(label_value(part) in known for part, known in zip(pairs[0], _HEADINGS, strict=True)):
        del pairs[0]
    if not pairs:
        raise SettingsError(f"the label names in {path} are none: it has no line VALUE=NAME.")
    return pairs


def _from_json(path: Path, text: str) -> list[tuple[str, object]]:
    try:
        # As pairs, so that a value with two names is noticed.
        content = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the label names in {path} are no JSON ({error}).") from None
    if not content or text.lstrip().startswith("["):
        raise SettingsError(f'{path} is no JSON object of names by value, such as {{"1": "surprise"}}.')
    return list(content)
