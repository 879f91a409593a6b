"""Whatever somebody hands over to be predicted, as a `Source`: files, folders, archives, bytes, pixels.

The order is that of what is handed over; of a folder, an archive or a pattern, that of the sorted names. Ids
are paths as they were given, and `image-N` for the N-th of what has no path.
"""

import glob
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import upright_pixels
from landmarkfer.extraction.open_source import FolderReader, open_source
from landmarkfer.extraction.sources import Entry, Key, Reader, Source

_LISTED = (".zip", ".csv")
_PATTERN = frozenset("*?[")
_EXPECTED = (
    "a path, a folder, a glob pattern, a .zip, bytes of an image file, a PIL image, an array uint8 [H, W], "
    "[H, W, 3] or [N, H, W, 3], or a list of these"
)


@dataclass
class InputReader:
    """Reads what was handed over by its position; made by `open_inputs`."""

    items: list[Any] = field(default_factory=list)

    def read(self, key: Key) -> bytes | np.ndarray:
        """Return an image file's bytes, or pixels; see `Reader.read`."""
        item = self.items[int(key)]
        if isinstance(item, tuple):
            reader, inner = item
            return reader.read(inner)
        return upright_pixels(item) if isinstance(item, Image.Image) else item


_ONE = (bytes, bytearray, io.BufferedIOBase, np.ndarray, Image.Image)
"""Types of one input, though some of them can be iterated over."""


def open_inputs(given: Any) -> Source:
    """List the images that somebody hands over.

    Args:
        given: A path, a folder, a glob pattern, a `.zip` or a CSV of pixels, the bytes of an image file, a
            file opened for reading bytes, a PIL image, an array uint8 `[H, W]`, `[H, W, 3]` or
            `[N, H, W, 3]`, or any iterable of these.

    Returns:
        The source, without labels. A file of a list that is not there is an image that cannot be read.

    Raises:
        SourceError: There is nothing at a path that is given alone, or what is given is none of these.
    """
    listed = _Listed()
    if isinstance(given, str | os.PathLike):
        if not os.path.exists(given) and not _is_pattern(given):
            raise SourceError(f"{os.fspath(given)} does not exist; give {_EXPECTED}.")
        listed.add(given)
    elif isinstance(given, _ONE) or not isinstance(given, Iterable):
        listed.add(given)
    else:
        for item in given:
            listed.add(item)
    return Source("inputs", "inputs", listed.entries, listed.reader)


class _Listed:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.reader = InputReader()

    def add(self, item: Any) -> None:
        """Append all the images of one thing.

        Raises:
            SourceError: It holds none, or is not what can be read.
        """
        if isinstance(item, str | os.PathLike):
            self._add_path(os.fspath(item))
        elif isinstance(item, bytes | bytearray):
            self._append(None, bytes(item))
        elif isinstance(item, io.BufferedIOBase):
            self._append(getattr(item, "name", None), item.read())
        elif isinstance(item, Image.Image):
            self._append(getattr(item, "filename", None), item)
        elif isinstance(item, np.ndarray):
            for pixels in _images_of(item):
                self._append(None, pixels)
        else:
            raise SourceError(f"an input is of type {type(item).__name__}; give {_EXPECTED}.")

    def _append(self, name: str | None, item: Any) -> None:
        position = len(self.reader.items)
        self.entries.append(Entry(name or f"image-{position}", position))
        self.reader.items.append(item)

    def _add_path(self, path: str) -> None:
        if _is_pattern(path) and not os.path.exists(path):
            found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
            if not found:
                raise SourceError(f"no file matches {path}.")
            for name in found:
                self._append(Path(name).as_posix(), (_FILES, name))
        elif os.path.isdir(path) or path.lower().endswith(_LISTED):
            self._add_all_of(open_source(path, layout="unlabelled"), path)
        else:
            self._append(Path(path).as_posix(), (_FILES, path))

    def _add_all_of(self, source: Source, path: str) -> None:
        for entry in source.entries:
            self._append((Path(path) / entry.id).as_posix(), (source.reader, entry.key))


_FILES: Reader = FolderReader("")


def _is_pattern(path: str | os.PathLike[str]) -> bool:
    return not _PATTERN.isdisjoint(os.fspath(path))


def _images_of(array: np.ndarray) -> list[np.ndarray]:
    """The images `[H, W]` or `[H, W, 3]` of an array."""
    shape = array.shape
    if array.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)):
        return [array]
    if array.dtype == np.uint8 and len(shape) == 4 and shape[3] == 3:
        return list(array)
    hint = "; landmarks go to predict_landmarks" if shape[-2:] == (478, 3) else ""
    raise SourceError(
        f"an array of {array.dtype} {list(shape)} is no image: it must be uint8 [H, W], [H, W, 3] or "
        f"[N, H, W, 3]{hint}."
    )
