"""Names of expressions: one table of aliases, one canonical order.

Label orders and spellings differ in every data set (`angry`, `anger`, `0_Angry`, `Wut`), so classes travel by
name. `canonical_label` brings a name to the one used here; `sort_classes` brings a set of names to one order:
the seven of FER2013 in its order, then contempt, then all others sorted.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

FER2013_CLASSES: tuple[str, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's classes in the order of its `emotion` column: index 0 is angry, index 6 is neutral."""

RAFDB_CLASSES: tuple[str, ...] = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
"""RAF-DB's classes in the order of its numbers, which begin at 1."""

CLASS_ORDER: tuple[str, ...] = (*FER2013_CLASSES, "contempt")

# English first, then Spanish, French, Portuguese, Italian and German; accents do not matter.
_SPELLINGS: dict[str, str] = {
    "angry": "anger angry enojo enfado enojado enfadado colere raiva rabbia arrabbiato wut aerger wuetend",
    "disgust": "disgust disgusted asco disgusto disgustado degout nojo ekel angeekelt",
    "fear": "fear fearful afraid scared miedo temor peur medo paura angst aengstlich",
    "happy": "happy happiness joy joyful alegria felicidad feliz joie heureux felicidade felice gioia freude "
    "gluecklich froehlich",
    "sad": "sad sadness tristeza triste tristesse tristezza trauer traurig",
    "surprise": "surprise surprised suprise suprised sorpresa sorprendido surpresa surpreso sorpreso "
    "ueberraschung "
    "ueberrascht",
    "neutral": "neutral neutrality neutro neutre neutrale",
    "contempt": "contempt contemptuous desprecio mepris desprezo disprezzo verachtung",
}
ALIASES: dict[str, str] = {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()
}

_DISTINCT = 4096
"""Spellings that are remembered: a data set has few, on each of its images."""

_NUMBERED = re.compile(r"^(?:(?:class|label|emotion|expression)[\s_.=-]*\d*|\d+)[\s_.=-]+(?P<name>.+)$")
_NUMBER = re.compile(r"^[+-]?\d{1,18}(?:\.0*)?$")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_AROUND = re.compile(r"[\s_.-]+(?:faces?|expressions?|emotions?|images?|imgs?)$")
"""Words after an expression that say nothing: `happy_faces`."""


@lru_cache(_DISTINCT)
def label_key(text: str) -> str:
    """What two spellings of one label have in common.

    Args:
        text: A label as a table or a folder spells it.

    Returns:
        The text in composed Unicode and lower case, without invisible characters and surrounding space, and
        whole numbers as such: `3` for ` 3.0 ` and `03`.
    """
    visible = "".join(
        " " if unicodedata.category(sign) == "Zs" else sign
        for sign in unicodedata.normalize("NFKC", text)
        if unicodedata.category(sign) not in ("Cf", "Cc") or sign in "\t\n\r"
    )
    key = " ".join(visible.split()).casefold()
    return str(int(key.partition(".")[0])) if _NUMBER.match(key) else key


@lru_cache(_DISTINCT)
def canonical_label(name: str) -> str:
    """Return the canonical spelling of a class name.

    Args:
        name: A label in any case, with or without a number before it (`Happiness`, `3_happy`).

    Returns:
        The canonical name where the alias table knows it, else the name itself in lower case.
    """
    key = label_key(name)
    for candidate in _readings(key):
        for spelling in (candidate, candidate.translate(_UMLAUTS)):
            folded = without_accents(spelling)
            if folded in ALIASES:
                return ALIASES[folded]
    return key


def is_known_label(name: str) -> bool:
    """Return whether a name is one of the expressions of the alias table."""
    return canonical_label(name) in CLASS_ORDER


def sort_classes(names: Iterable[str]) -> list[str]:
    """Sort distinct class names: those of `CLASS_ORDER` first and in its order, then the others by name.

    Numbers come in the order of their values.
    """
    rank = {name: position for position, name in enumerate(CLASS_ORDER)}

    def place(name: str) -> tuple[int, int, str]:
        return rank.get(name, len(rank)), int(name) if name.isdecimal() else -1, name

    return sorted(set(names), key=place)


def _readings(key: str) -> Iterable[str]:
    """A name, and what is left of it without a number before it and a word like `faces` behind it."""
    yield key
    numbered = _NUMBERED.match(key)
    plain = numbered["name"] if numbered else key
    yield plain
    yield _AROUND.sub("", plain)


def without_accents(text: str) -> str:
    """The letters of a text alone: `e` for `é`."""
    apart = unicodedata.normalize("NFD", text)
    return "".join(sign for sign in apart if not unicodedata.combining(sign))
