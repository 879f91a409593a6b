"""From labels as a source spells them to class names; what names no class is refused, never dropped."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from landmarkfer.data.labels import ALIASES, canonical_label, label_key
from landmarkfer.errors import SourceError
from landmarkfer.progress import counted

MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "#n/a", "nil", "-"})
"""Values that mean that there is no label."""

_NO_CLASS = frozenset(
    {"?", "unknown", "unlabelled", "unlabeled", "undefined", "uncertain", "unsure", "no label"}
)
"""Values that say that there is no label; they are reported."""

NUMBERS_KEPT = "The labels are numbers, whose meaning differs between data sets; they are stored as they are."

_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$")
_SEVERAL = re.compile(r"\s*(?:[,;|/+&]| and )\s*")


@dataclass(frozen=True)
class ReadLabels:
    """Class names `[N]`, None where there is none, with what was read how, and remarks for the user."""

    labels: list[str | None]
    readings: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_labels(
    raw: Sequence[str | None],
    names: Sequence[str],
    given: Mapping[str, str | None] | None = None,
    meaning: Mapping[str, str | None] | None = None,
    where: str = "the source",
) -> ReadLabels:
    """Read the labels of all images of a source together.

    Args:
        raw: Labels as they are spelt, `[N]`.
        names: The images' ids, for messages.
        given: What the user says that labels mean, by `label_key`; None for no class.
        meaning: What the data set says that labels mean, likewise.
        where: What the labels are of, for messages.

    Returns:
        The classes. Numbers that nobody names are class names where all labels are such numbers.

    Raises:
        SourceError: Numbers name no class where others do; or a number is negative or no whole one.
    """
    given, meaning = given or {}, meaning or {}
    keys = ["" if value is None else label_key(value) for value in raw]
    if any(keys):
        names_there = {*keys, *map(label_key, filter(None, meaning.values()))}
        check_names(given, names_there, "--label-names")
    broken = next((number for number, key in enumerate(keys) if key.startswith(("[", "{"))), None)
    if broken is not None:
        raise SourceError(
            f"{where} has labels that are no text or number: {keys[broken][:40]} ({names[broken]}); give one "
            f"label an "
            "image."
        )
    classes: dict[str, str | None] = {}
    numbers: list[str] = []
    several: list[str] = []
    for key in dict.fromkeys(keys):
        if key in given or key in meaning:
            classes[key] = given[key] if key in given else meaning[key]
        elif key in MISSING or key in _NO_CLASS:
            classes[key] = None
        elif _NUMBER.match(key):
            numbers.append(key)
        else:
            parts = {canonical_label(part) for part in _SEVERAL.split(key)}
            if len(parts) > 1 and parts <= set(ALIASES.values()):
                several.append(key)
                classes[key] = None
            else:
                classes[key] = canonical_label(key)
    remarks: list[str] = []
    if numbers:
        _check_numbers(numbers, keys, names, {*filter(None, classes.values()), *given, *meaning}, where)
        classes |= {key: key for key in numbers}
        remarks.append(NUMBERS_KEPT + f" Name them with --label-names {numbers[0]}=NAME, and so on.")
    count = Counter(keys)
    if several:
        remarks.append(
            f"{counted(sum(count[key] for key in several), 'image')} with two labels in one cell "
            f"('{several[0]}'), stored without any."
        )
    none = [
        key for key in count if key and key not in MISSING and classes[key] is None and key not in several
    ]
    if none:
        shown = ", ".join(f"'{key}' ({count[key]:,})" for key in none)
        remarks.append(f"Labels that mean no class: {shown}; these images are stored without a label.")
    labels = [classes[key] for key in keys]
    remarks += _once(labels, names)
    return ReadLabels(labels, _readings(raw, labels), remarks)


def check_names(given: Mapping[str, str | None], there: Collection[str], option: str) -> None:
    """Refuse names given by the user of which the source has none.

    Args:
        given: The names, by `label_key`.
        there: What the source has, likewise.
        option: The option that gave them.

    Raises:
        SourceError: None of them is there.
    """
    if given and not set(given) & set(there):
        names = sorted(filter(None, there))
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise SourceError(f"{option} names {', '.join(given)}, and the source has {shown or 'no names'}.")


def _check_numbers(
    numbers: Sequence[str], keys: Sequence[str], names: Sequence[str], classes: set[str], where: str
) -> None:
    """Refuse numbers that name no class beside labels that do, and those that can name none."""
    whole = [key for key in numbers if key.isdecimal()]
    wrong = numbers if classes else [key for key in numbers if key not in whole]
    if not wrong:
        return
    count = Counter(keys)
    shown = ", ".join(
        f"{key} ({counted(count[key], 'image')}, such as {names[keys.index(key)]})" for key in wrong
    )
    raise SourceError(
        f"{where} {_has(where)} labels that name no class: {shown}; say what they mean with --label-names "
        f"{wrong[0]}=NAME, "
        f"or --label-names {wrong[0]}= for no class."
    )


def _has(where: str) -> str:
    return "have" if where.split(" of ")[0].endswith("s") else "has"


def _once(labels: Sequence[str | None], names: Sequence[str]) -> list[str]:
    """A remark on classes of a single image, which may be misspelt, where others have several."""
    count = Counter(label for label in labels if label is not None)
    if len(labels) < 10 or max(count.values(), default=0) < 5:
        return []
    rare = sorted(label for label, number in count.items() if number == 1)
    if not rare:
        return []
    shown = ", ".join(f"'{label}' ({names[labels.index(label)]})" for label in rare[:5])
    return [f"{counted(len(rare), 'label')} {'is' if len(rare) == 1 else 'are'} of one image alone: {shown}."]


def _readings(raw: Sequence[str | None], labels: Sequence[str | None]) -> dict[str, str]:
    """Spellings that became another name than their own in lower case."""
    pairs = dict.fromkeys(zip(raw, labels, strict=True))
    return {
        spelt.strip(): label
        for spelt, label in pairs
        if spelt is not None and label is not None and label_key(spelt) != label
    }
