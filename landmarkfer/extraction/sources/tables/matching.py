"""From paths as a table spells them to the images of a source.

A table's path may be absolute, relative to another folder, without folder or suffix, with backslashes, and in
another Unicode form. It is matched by its last components; what fits two images is refused.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from landmarkfer.data.split_names import TwoSplits, stated_split
from landmarkfer.errors import SourceError

_DRIVE = re.compile(r"^[a-zA-Z]:/")


def table_path(value: str) -> str:
    """Bring a path of a table to the form of an id: forward slashes, no `./`."""
    text = value.strip().strip("\ufeff").replace("\\", "/")
    return str(PurePosixPath(text)) if text else ""


class PathIndex:
    """The images of a source, by the last components of their paths.

    Args:
        ids: Their ids.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = {_form(image_id): image_id for image_id in ids}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for form in self._ids:
            name = form.rsplit("/", 1)[-1]
            self._by_name[name.casefold()].append(form)
            self._by_stem[_stem(name).casefold()].append(form)

    def match(
        self, paths: Sequence[str], under: str = "", splits: Sequence[str | None] | None = None
    ) -> list[str | None]:
        """The id of the image that each path means, None where there is none.

        Args:
            paths: Paths of a table, in the form of `table_path`.
            under: The folder of the table, which paths are relative to where that fits.
            splits: The split of each path, which decides between images of one name.

        Raises:
            SourceError: A path fits several images, or paths fit images under different folders.
        """
        found: list[str | None] = []
        beside: dict[tuple[str, str], str] = {}
        for path, split in zip(paths, splits or [None] * len(paths), strict=True):
            form = _form(path)
            if form and under and f"{under}/{form}" in self._ids:
                found.append(self._ids[f"{under}/{form}"])
                continue
            if not form or form in self._ids:
                found.append(self._ids.get(form) if form else None)
                continue
            best = self._nearest(form, split)
            if best is None:
                found.append(None)
                continue
            mine, theirs = _heads(form, best)
            if mine and theirs and not _is_absolute(mine):
                found.append(None)  # `train/1.jpg` is not `test/1.jpg`
                continue
            if mine:
                beside.setdefault((mine, theirs), path)
            found.append(self._ids[best])
        return self._consistent(paths, found, beside)

    def _nearest(self, form: str, split: str | None) -> str | None:
        """The image that shares most of the last components of a path."""
        name = form.rsplit("/", 1)[-1]
        candidates = self._by_name.get(name.casefold()) or self._by_stem.get(_stem(name).casefold(), [])
        if not candidates:
            candidates = self._by_stem.get(name.casefold(), [])
        if not candidates:
            return None
        shared = [_shared(form, candidate) for candidate in candidates]
        best = max(shared)
        nearest = [c for c, number in zip(candidates, shared, strict=True) if number == best]
        if len(nearest) > 1 and split is not None:
            nearest = [c for c in nearest if split in _splits_of(c)] or nearest
        if len(nearest) > 1:
            exact = [c for c in nearest if c.rsplit("/", 1)[-1] == name]
            if len(exact) != 1:
                first, second = (self._ids[c] for c in nearest[:2])
                raise SourceError(
                    f"the table's path {form} fits {first} and {second}; give the paths with their folders, "
                    "or the folder that they are relative to."
                )
            nearest = exact
        return nearest[0]

    def _consistent(
        self, paths: Sequence[str], found: list[str | None], beside: dict[tuple[str, str], str]
    ) -> list[str | None]:
        """Accept paths that begin otherwise than the images' only where all begin in one way."""
        if len(beside) <= 1:
            return found
        absolute = {heads for heads in beside if _is_absolute(heads[0])}
        tops = {heads[1] for heads in absolute}
        if len(absolute) == len(beside) and len({heads[0] for heads in absolute}) == 1 and len(tops) == 1:
            return found
        examples = list(beside.items())[:2]
        (first, path), (second, other) = examples
        raise SourceError(
            f"the table's paths begin otherwise than the images': {path} and {other} would be looked for "
            f"without {first[0]} and {second[0]}; give the folder that holds both."
        )


def _splits_of(form: str) -> set[str]:
    """The splits that the folders of a path state."""
    found = set()
    for folder in form.split("/")[:-1]:
        try:
            stated = stated_split(folder)
        except TwoSplits:
            continue
        if stated is not None:
            found.add(stated.split)
    return found


def _heads(form: str, match: str) -> tuple[str, str]:
    """What a path and the image that it means begin with, before the components that they share."""
    mine, theirs = form.split("/"), match.split("/")
    shared = _shared(form, match)
    return "/".join(mine[:-shared]), "/".join(theirs[:-shared])


def _shared(form: str, other: str) -> int:
    """How many of their last components two paths share; the names count as shared."""
    mine, theirs = form.casefold().split("/")[-2::-1], other.casefold().split("/")[-2::-1]
    count = 1
    for a, b in zip(mine, theirs, strict=False):
        if a != b:
            break
        count += 1
    return count


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or bool(_DRIVE.match(path))


def _form(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0] if "." in name[1:] else name
