"""What file names state beside the label and the split: the word that a name starts with, the source folder.

Words that name a class or a split are passed over: a name that states its label is no property of the image.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from landmarkfer.data.labels import canonical_label, is_known_label, label_key
from landmarkfer.data.split_names import TwoSplits, class_in_split, stated_split

TOP = "the top"
"""The folder of images that lie in none but those of splits and classes."""
NO_WORD = "no word"
"""The prefix of names without a word, such as `0012.png`."""

_WORD = re.compile(r"[^\W\d_]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DISTINCT = 65536


def name_prefixes(ids: Sequence[str], classes: Collection[str]) -> list[str]:
    """The first word of each file name that names neither a class nor a split: `img` of `img_0012.jpg`.

    Args:
        ids: Paths, with forward slashes.
        classes: The classes of the data.
    """
    states = _reader(classes)
    found = []
    for name in ids:
        words = (word for word in _WORD.findall(_parted(name)[0]) if not all(map(states, _HUMP.split(word))))
        found.append(next((word.casefold() for word in words if not states(word)), NO_WORD))
    return found


def source_folders(ids: Sequence[str], classes: Collection[str]) -> list[str]:
    """The folders of each path that name neither a class nor a split: `film` of `train/film/happy/1.jpg`.

    Args:
        ids: Paths, with forward slashes.
        classes: The classes of the data.
    """
    states = _reader(classes)
    return ["/".join(part for part in name.split("/")[:-1] if not states(part)) or TOP for name in ids]


def file_formats(ids: Sequence[str]) -> list[str | None]:
    """The format that the suffix of each path states, in capitals; None without one."""
    names = {"JPG": "JPEG", "JPE": "JPEG", "JFIF": "JPEG", "TIF": "TIFF"}
    found = [_parted(name)[1].upper() for name in ids]
    return [names.get(text, text) if text.isalnum() and not text.isdigit() else None for text in found]


def _parted(path: str) -> tuple[str, str]:
    """The name of a file without its suffix, and the suffix without its dot."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return (stem, suffix) if dot and stem else (name, "")


class _Reader:
    """Whether a word or the name of a folder names a class or a split."""

    def __init__(self, classes: Collection[str]) -> None:
        self._classes = frozenset(map(label_key, classes))
        self._states = lru_cache(_DISTINCT)(self._read)

    def __call__(self, name: str) -> bool:
        return self._states(name)

    def _read(self, name: str) -> bool:
        if label_key(name) in self._classes or canonical_label(name) in self._classes or is_known_label(name):
            return True
        try:
            return stated_split(name) is not None or class_in_split(name) is not None
        except TwoSplits:
            return True


def _reader(classes: Collection[str]) -> _Reader:
    return _Reader(classes)
