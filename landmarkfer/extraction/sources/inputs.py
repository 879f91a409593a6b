"""Whatever somebody hands over to be predicted, as a `Source`: files, folders, archives, bytes, pixels.

The order is that of what is handed over; of a folder, an archive or a pattern, that of the sorted names. Ids
are paths as they were given, and `image-N` for the N-th of what has no path. A `.txt` file is a list of
paths, one a line, relative to its folder where they are not found from here.
"""

import glob
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from PIL import Image

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage, upright_pixels
from landmarkfer.extraction.sources.containers.folder import FolderReader
from landmarkfer.extraction.sources.entry import Entry, Key, Reader, Source
from landmarkfer.extraction.sources.open import open_images

_LISTED = (".zip", ".csv", ".tar", ".tar.gz", ".tgz")
_PATTERN = frozenset("*?[")
_LIST = ".txt"
_URL = "file:"
_WEB = ("http://", "https://")
_IN_WEB = "lies in the web, and landmarkfer opens no connection"
_EXPECTED = (
    "a path, a folder, a glob pattern, a .zip, a .txt list of paths, bytes of an image file, a PIL image, an "
    "array uint8 [H, W], [H, W, 3] or [N, H, W, 3], a column of paths, or a list of these"
)


@dataclass
class InputReader:
    """Reads what was handed over by its position; made by `open_inputs`."""

    items: list[Any] = field(default_factory=list)

    def read(self, key: Key) -> bytes | np.ndarray:
        """Return an image file's bytes, or pixels; see `Reader.read`."""
        item = self.items[int(key)]
        if isinstance(item, UnreadableImage):
            raise item
        if isinstance(item, tuple):
            reader, inner = item
            return reader.read(inner)
        return upright_pixels(item) if isinstance(item, Image.Image) else item


_PATH_COLUMNS = ("path", "file", "image", "filename", "source", "image_path", "file_path", "filepath")

_ONE = (bytes, bytearray, io.BufferedIOBase, np.ndarray, Image.Image)
"""Types of one input, though some of them can be iterated over."""


def open_inputs(given: Any) -> Source:
    """List the images that somebody hands over.

    Args:
        given: A path or `file:` URL, a folder, a glob pattern, a `.zip`, a CSV of pixels or a `.txt` list of
            paths, the bytes of an image file, a file opened for reading bytes, a PIL image, an array uint8
            `[H, W]`, `[H, W, 3]` or `[N, H, W, 3]`, an array, a Series or a DataFrame's one column of paths,
            or any iterable of these.

    Returns:
        The source, without labels. A file of a list that is not there, and a missing value in a list, is an
        image that cannot be read.

    Raises:
        SourceError: There is nothing at a path that is given alone, or what is given is none of these.
    """
    if isinstance(given, Source):
        return given
    listed = _Listed()
    if hasattr(given, "columns"):
        given = _paths_of(given)
    elif isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "OU":
        given = given.tolist()
    if isinstance(given, str | os.PathLike):
        given = _local_path(given)
        if given.startswith(_WEB):
            raise SourceError(f"{given} {_IN_WEB}; download it first.")
        if not os.path.exists(given) and not _is_pattern(given):
            raise SourceError(f"{os.fspath(given)} does not exist; give {_EXPECTED}.")
        listed.add(given)
    elif isinstance(given, _ONE) or not isinstance(given, Iterable):
        listed.add(given)
    else:
        for item in given:
            listed.add_of_list(item)
    return Source("inputs", "inputs", listed.entries, listed.reader)


class _Listed:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.reader = InputReader()

    def add_of_list(self, item: Any) -> None:
        """As `add`; what is missing, such as NaN in a column of paths, is an image that cannot be read."""
        if item is None or type(item).__name__ == "NAType" or (isinstance(item, float) and item != item):
            self._append(None, UnreadableImage("its path is missing"))
        else:
            self.add(item)

    def add(self, item: Any) -> None:
        """Append all the images of one thing.

        Raises:
            SourceError: It holds none, or is not what can be read.
        """
        if isinstance(item, str | os.PathLike):
            self._add_path(_local_path(item))
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
            every = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
            found = [name for name in every if not _is_in_circle(name)]
            if not found:
                raise SourceError(f"no file matches {path}.")
            for name in found:
                self._append(Path(name).as_posix(), (_FILES, name))
        elif path.startswith(_WEB):
            self._append(path, UnreadableImage(f"it {_IN_WEB}"))
        elif path.lower().endswith(_LIST):
            for name in read_list(path):
                self._add_path(_local_path(name))
        elif os.path.isdir(path) or path.lower().endswith(_LISTED):
            self._add_all_of(open_images(path), path)
        else:
            self._append(Path(path).as_posix(), (_FILES, path))

    def _add_all_of(self, source: Source, path: str) -> None:
        for entry in source.entries:
            self._append((Path(path) / entry.id).as_posix(), (source.reader, entry.key))


_FILES: Reader = FolderReader("")


def _is_in_circle(path: str) -> bool:
    """Whether a path leads through a link to a folder above it, which `**` follows again and again."""
    links = (folder for folder in Path(path).parents if folder.is_symlink())
    return any(link.parent.resolve().is_relative_to(link.resolve()) for link in links)


def _is_pattern(path: str | os.PathLike[str]) -> bool:
    return not _PATTERN.isdisjoint(os.fspath(path))


def _local_path(path: str | os.PathLike[str]) -> str:
    """A path, also of a `file:` URL.

    Raises:
        SourceError: The URL is of another machine.
    """
    text = os.fspath(path)
    if not text.startswith(_URL):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise SourceError(f"{text} lies on another machine; give a file of this one.")
    return url2pathname(parts.path)


def read_list(path: str) -> list[str]:
    """The paths that a text file lists, one a line; empty lines and those that begin with # are left out.

    Raises:
        SourceError: It cannot be read, or lists nothing.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the list {path} cannot be read: {error}.") from error
    lines = [line.strip() for line in text.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise SourceError(f"the list {path} names no image; write one path a line.")
    beside = Path(path).parent
    known = (name if os.path.exists(name) else (beside / name).as_posix() for name in names)
    return [name if name.startswith(_URL) else found for name, found in zip(names, known, strict=True)]


def _paths_of(table: Any) -> list[Any]:
    """The paths in a DataFrame: of its only column, or the one that is named as paths are.

    Raises:
        SourceError: There is no telling which column it is.
    """
    columns = list(table.columns)
    named = [name for name in columns if str(name).lower() in _PATH_COLUMNS]
    if len(columns) != 1 and len(named) != 1:
        raise SourceError(
            f"a table has the columns {', '.join(map(str, columns))}; give the column of paths, as "
            "table['path']."
        )
    return list(table[named[0] if len(named) == 1 else columns[0]])


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
