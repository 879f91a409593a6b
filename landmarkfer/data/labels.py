"""Names of expressions: one table of aliases, one canonical order.

Label orders and spellings differ in every data set (`angry`, `anger`, `0_Angry`), so classes travel by name.
`canonical_label` brings a name to the one used here; `sort_classes` brings a set of names to one order: the
seven of FER2013 in its order, then contempt, then all others sorted.
"""

import re
from collections.abc import Iterable

FER2013_CLASSES: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's classes in the order of its `emotion` column: index 0 is angry, index 6 is neutral."""

RAFDB_CLASSES: tuple[str, ...] = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
"""RAF-DB's classes in the order of its numbers, which begin at 1."""

CLASS_ORDER: tuple[str, ...] = (*FER2013_CLASSES, "contempt")

ALIASES: dict[str, str] = {
    "anger": "angry",
    "angry": "angry",
    "disgust": "disgust",
    "disgusted": "disgust",
    "fear": "fear",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "happy": "happy",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sad": "sad",
    "sadness": "sad",
    "surprise": "surprise",
    "surprised": "surprise",
    "neutral": "neutral",
    "neutrality": "neutral",
    "contempt": "contempt",
    "contemptuous": "contempt",
}

_NUMBERED = re.compile(r"^(?:class)?\d+[\s_.-]+(?P<name>.+)$")


def canonical_label(name: str) -> str:
    """Return the canonical spelling of a class name.

    Args:
        name: A label in any case, with or without a number before it (`Happiness`, `3_happy`).

    Returns:
        The canonical name where the alias table knows it, else the name itself in lower case.
    """
    lowered = name.strip().lower()
    if lowered in ALIASES:
        return ALIASES[lowered]
    numbered = _NUMBERED.match(lowered)
    return ALIASES.get(numbered["name"], lowered) if numbered else lowered


def is_known_label(name: str) -> bool:
    """Return whether a name is one of the expressions of the alias table."""
    return canonical_label(name) in CLASS_ORDER


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sort distinct class names: those of `CLASS_ORDER` first and in its order, then the others by name."""
    rank = {name: position for position, name in enumerate(CLASS_ORDER)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))
