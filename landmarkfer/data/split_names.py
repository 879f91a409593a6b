"""Names of splits, as folders, columns and file names spell them.

A name states a split where one of its words does (`Train_Aligned_Faces`, `validation-data`, `test2`); the
words `val`, `valid`, `dev` and `eval`, which mean other things too, only beside words that name nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from landmarkfer.data.labels import is_known_label, label_key, without_accents
from landmarkfer.errors import SettingsError

SPLITS: dict[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
    "heldout": "test",
    "unseen": "test",
    "tests": "test",
    "development": "val",
    # Spanish, Portuguese, French, Italian and German, without accents.
    **dict.fromkeys(("entrenamiento", "treino", "treinamento", "entrainement", "apprentissage"), "train"),
    **dict.fromkeys(("addestramento",), "train"),
    **dict.fromkeys(("validacion", "validacao", "validazione", "validierung"), "val"),
    **dict.fromkeys(("prueba", "pruebas", "teste"), "test"),
}
_CLEAR = frozenset(SPLITS) - {"val", "valid", "dev", "eval"}

# FER2013's `Usage`, also found as a prefix of file names: its subset, and the split that goes with it.
FER2013_USAGE: dict[str, tuple[str, str]] = {
    "training": ("train", "train"),
    "publictest": ("public", "test"),
    "privatetest": ("private", "test"),
}

# Words that may stand beside the name of a split without changing what it means.
_NEUTRAL = frozenset(
    """
    set sets data dataset datasets image images img imgs photo photos pic pics face faces file files folder
    dir aligned cropped crop crops resized original raw final new old full all split part subset fold batch
    samples emotion emotions expression expressions class classes label labels labelled labeled the of for my
    and fer ferplus fer2013 ck raf rafdb affectnet sfew afew expw jaffe kdef db v version
    """.split()
)
_DISTINCT = 4096  # names of folders that are remembered
_WORDS = re.compile(r"[a-z]+|\d+")
_JOINED = re.compile(
    r"^(training|train|testing|test|validation|valid|val|dev|evaluation|eval)"
    r"((?:data|dataset|set|images?|imgs?|faces?|split|folder)*)$"
)
_TAIL = re.compile(
    r"^(?:data|dataset|set|images?|imgs?|faces?|fer|rafdb|affectnet)(train|training|testing|test|val)$"
)
_SUSPICIOUS = re.compile("train|test|valid")
_FILE = re.compile(
    r"^(?P<name>training|train|publictest|privatetest|testing|test|validation|valid|val)[\s_.-]*\d",
    re.IGNORECASE,
)


class StatedSplit(NamedTuple):
    """What a name states: a split, and the data set's own name for the part where it has one."""

    split: str
    subset: str | None = None


class TwoSplits(ValueError):
    """A name states more than one split."""


def canonical_split(name: str) -> str | None:
    """Return `train`, `val` or `test` for the name of a split or of a FER2013 usage, None for any other."""
    lowered = label_key(name)
    usage = FER2013_USAGE.get(lowered.replace("_", "").replace(" ", ""))
    return usage[1] if usage else SPLITS.get(lowered)


def stated_split(name: str, given: Mapping[str, str | None] | None = None) -> StatedSplit | None:
    """What the name of a folder, or a value of a split column, states.

    Args:
        name: The name.
        given: Names that the user decided, as `label_key` spells them, and their split or None.

    Returns:
        The split; None where the name states none.

    Raises:
        TwoSplits: It states two, such as `train_test_split`.
    """
    key = label_key(name)
    if given and key in given:
        split = given[key]
        return None if split is None else StatedSplit(split)
    joined = re.sub(r"[^a-z0-9]", "", key)
    if joined in FER2013_USAGE:
        subset, split = FER2013_USAGE[joined]
        return StatedSplit(split, subset)
    name = without_accents(name)
    key = label_key(name)
    if key in SPLITS:
        return StatedSplit(SPLITS[key])
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [_split_word(word) for word in _WORDS.findall(label_key(apart))]
    stated = {SPLITS[word] for word in words if word in SPLITS and (word in _CLEAR or _are_neutral(words))}
    if len(stated) > 1:
        raise TwoSplits(name)
    return StatedSplit(stated.pop()) if stated else None


def file_split(path: str, given: Mapping[str, str | None] | None = None) -> StatedSplit | None:
    """What a file name states that starts with a split and a number, such as `PublicTest_1.jpg`."""
    match = _FILE.match(path.rsplit("/", 1)[-1])
    return stated_split(match["name"], given) if match else None


def make_split_names(given: Mapping[str, str | None] | Sequence[str] | str | None) -> dict[str, str | None]:
    """Names of splits, as a user gives them.

    Args:
        given: Splits by name, or one or more texts `NAME=SPLIT`; an empty split, or None, is none.

    Returns:
        `train`, `val`, `test` or None, by `label_key`.

    Raises:
        SettingsError: A text is no `NAME=SPLIT`, or a split is unknown.
    """
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        texts = [given] if isinstance(given, str) else given or []
        wrong = next((text for text in texts if "=" not in text), None)
        if wrong is not None:
            raise SettingsError(f"'{wrong}' is no NAME=SPLIT, such as Fold5=test.")
        pairs = [(name, split) for name, _, split in (text.partition("=") for text in texts)]
    found: dict[str, str | None] = {}
    for name, split in pairs:
        known = canonical_split(split) if split else None
        if split and known is None:
            raise SettingsError(
                f"'{name}={split}' names no split; a split is train, val or test, or empty for none."
            )
        found[label_key(name)] = known
    return found


@lru_cache(_DISTINCT)
def class_in_split(name: str) -> str | None:
    """The expression that the name of a split folder names besides: `happy` of `train_happy`."""
    words = [
        word for word in _WORDS.findall(label_key(without_accents(name))) if _split_word(word) not in SPLITS
    ]
    rest = " ".join(words)
    return rest if rest and is_known_label(rest) else None


def looks_like_a_split(name: str) -> bool:
    """Whether a name holds the name of a split somewhere, though it states none: `mytest`, `latest`."""
    return bool(_SUSPICIOUS.search(label_key(name)))


def _split_word(word: str) -> str:
    """The split's name of a word that joins one with others: `train` of `trainset`."""
    for pattern in (_JOINED, _TAIL):
        if match := pattern.match(word):
            return match[1]
    return word


def _are_neutral(words: list[str]) -> bool:
    return all(word in SPLITS or word in _NEUTRAL or word.isdecimal() for word in words)
