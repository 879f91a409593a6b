"""Folders of files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import MAX_BYTES, UnreadableImage
from landmarkfer.extraction.sources.containers.listing import Listing, is_image, is_visible, readable
from landmarkfer.extraction.sources.entry import Key

_STREAMS = ("/dev/fd/", "/dev/stdin", "/proc/")
"""Where a shell opens what another process writes."""


@dataclass
class FolderReader:
    """Reads files below a folder; keys are paths relative to it."""

    root: str

    def read(self, key: Key) -> bytes:
        """Return a file's bytes; see `Reader.read`."""
        try:
            path = os.path.join(self.root, str(key))
            if not os.path.isfile(path) and os.path.exists(path) and not path.startswith(_STREAMS):
                raise UnreadableImage("it is no file")  # reading a pipe would wait for ever
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_BYTES:
                    raise UnreadableImage(f"the file is larger than {MAX_BYTES >> 20} MiB")
                return file.read()
        except OSError as error:
            raise UnreadableImage((error.strerror or str(error)).lower()) from error


def list_folder(root: Path) -> Listing:
    """List the visible files of a folder and of all folders in it.

    Raises:
        SourceError: A folder cannot be listed.
    """
    images = []
    others: dict[str, Key] = {}
    for relative in _walk(root):
        key = relative.replace("/", os.sep)
        if is_image(relative):
            images.append((readable(relative), key))
        else:
            others[readable(relative)] = key
    images.sort(key=lambda image: image[0])
    return Listing("folder", root.resolve().name, list(images), others, FolderReader(str(root)))


def _walk(folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield relative paths of visible files, through links to folders but never in circles."""
    try:
        status = folder.stat()
        with os.scandir(folder) as listing:
            found = sorted(
                (entry for entry in listing if is_visible(entry.name)), key=lambda entry: entry.name
            )
    except OSError as error:
        raise SourceError(f"cannot list the folder {folder}: {error.strerror}.") from error
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in found:
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, here))
        elif (
            entry.is_file() or entry.is_symlink()
        ):  # a link to nothing is a row too; pipes and devices are not
            yield prefix + entry.name
