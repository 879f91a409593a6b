"""List a source of images: a folder, a `.zip`, a CSV of pixels, or images with a table of labels."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import IMAGE_SUFFIXES, MAX_BYTES, UnreadableImage
from landmarkfer.extraction.layouts import Layout, read_layout
from landmarkfer.extraction.sources import Entry, Key, Source
from landmarkfer.progress import counted


def open_source(
    path: str | os.PathLike[str],
    *,
    layout: Layout = "auto",
    labels: str | os.PathLike[str] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
) -> Source:
    """List the images of a folder, a `.zip` or a CSV of pixels.

    Args:
        path: The source.
        layout: Whether folder names are labels; see `layouts.read_layout`.
        labels: A CSV, Parquet or RAF-DB table of labels for the images of a folder or `.zip`; its rows are
            then the images, whether or not their files are there.
        path_column: The table's column of paths relative to the source.
        label_column: The table's column of labels.
        split_column: The table's column of splits.

    Returns:
        The source, with its images sorted by id (those of a CSV in its row order).

    Raises:
        SourceError: The source does not exist, cannot be listed, holds no image, or has an unknown layout.
    """
    from landmarkfer.extraction import tables

    path = Path(path)
    if labels is None and (path_column or label_column or split_column):
        raise SourceError(
            "columns of a label table were given without the table; name it with --labels FILE."
        )
    if path.is_dir():
        listed = _list_folder(path, Path(labels).resolve() if labels is not None else None)
    elif not path.exists():
        raise SourceError(f"{path} does not exist; give a folder of images, a .zip or a CSV of pixels.")
    elif path.suffix.lower() == ".csv":
        if labels is not None:
            raise SourceError(
                "--labels goes with a folder or .zip of images; a CSV of pixels has its own labels."
            )
        return tables.open_pixel_csv(path)
    elif zipfile.is_zipfile(path):
        listed = _list_zip(path)
    elif path.suffix.lower() == ".zip":
        raise SourceError(f"{path} is damaged or no zip archive; copy or download it again.")
    else:
        raise SourceError(
            f"{path} is neither a folder, nor a .zip, nor a .csv; unpack other archives, and give the folder "
            "that holds the images."
        )
    if labels is not None:
        return tables.apply_label_table(listed, Path(labels), path_column, label_column, split_column)
    if not listed.entries:
        raise SourceError(
            f"{path} holds no images ({counted(listed.ignored, 'other file')}); images end in "
            ".jpg, .png, .webp, .bmp, .gif, .tif and the like."
        )
    places, remark = read_layout([entry.id for entry in listed.entries], layout)
    listed.entries = [
        Entry(entry.id, entry.key, place.label, place.split, place.subset)
        for entry, place in zip(listed.entries, places, strict=True)
    ]
    listed.remarks += [remark] if remark else []
    return listed


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


@dataclass
class ZipReader:
    """Reads members of a `.zip` in place; keys are their numbers in its directory."""

    path: str
    _archive: zipfile.ZipFile | None = field(default=None, init=False, repr=False)
    _members: list[zipfile.ZipInfo] = field(default_factory=list, init=False, repr=False)

    def __reduce__(self) -> tuple[type["ZipReader"], tuple[str]]:
        return ZipReader, (self.path,)

    def read(self, key: Key) -> bytes:
        """Return a member's bytes; see `Reader.read`."""
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path)
            self._members = self._archive.infolist()
        member = self._members[int(key)]
        if member.file_size > MAX_BYTES:
            raise UnreadableImage(f"the file is larger than {MAX_BYTES >> 20} MiB")
        try:
            return self._archive.read(member)
        except Exception as error:
            # BadZipFile, RuntimeError (passwords), NotImplementedError, zlib.error, EOFError and more.
            raise UnreadableImage(f"damaged in the archive: {error}") from error


def _list_folder(root: Path, table: Path | None) -> Source:
    """The images of a folder; its table of labels, if it lies there, is no file that is ignored."""
    entries = []
    ignored = 0
    for relative in _walk(root):
        if _is_image(relative):
            entries.append(Entry(_readable(relative), relative.replace("/", os.sep)))
        elif table is None or (root / relative).resolve() != table:
            ignored += 1
    entries.sort(key=lambda entry: entry.id)
    return Source("folder", root.resolve().name, entries, FolderReader(str(root)), ignored)


def _walk(folder: Path, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield relative paths of visible files, through links to folders but never in circles."""
    try:
        status = folder.stat()
        with os.scandir(folder) as listing:
            found = sorted(
                (entry for entry in listing if _is_visible(entry.name)), key=lambda entry: entry.name
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


def _list_zip(path: Path) -> Source:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} cannot be read as a .zip: {error}.") from error
    entries: dict[str, Entry] = {}
    ignored = 0
    for number, member in enumerate(members):
        name = member.filename.replace("\\", "/").lstrip("/")
        if member.is_dir() or not all(map(_is_visible, name.split("/"))):
            continue
        if _is_image(name):
            # A name that occurs twice means its last occurrence, as it does when the archive is unpacked.
            entries[name] = Entry(_readable(name), number)
        else:
            ignored += 1
    ordered = sorted(entries.values(), key=lambda entry: entry.id)
    return Source("zip", path.name, ordered, ZipReader(str(path)), ignored)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def _readable(path: str) -> str:
    """Spell a path in valid Unicode; bytes of a file name that are none become escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
