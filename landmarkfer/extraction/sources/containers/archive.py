"""Zip and tar archives, read in place; a compressed tar is unpacked to a temporary file once."""

import shutil
import tarfile
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import MAX_BYTES, UnreadableImage
from landmarkfer.extraction.sources.containers.listing import Listing, is_image, is_visible, readable
from landmarkfer.extraction.sources.entry import Key
from landmarkfer.extraction.sources.formats import called, format_of
from landmarkfer.progress import SILENT, Progress

_CHUNK = 2**24


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


@dataclass
class TarReader:
    """Reads members of an uncompressed tar; keys are `<first byte>:<number of bytes>`."""

    path: str
    _file: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __reduce__(self) -> tuple[type["TarReader"], tuple[str]]:
        return TarReader, (self.path,)

    def read(self, key: Key) -> bytes:
        """Return a member's bytes; see `Reader.read`."""
        start, size = map(int, str(key).split(":"))
        if size > MAX_BYTES:
            raise UnreadableImage(f"the file is larger than {MAX_BYTES >> 20} MiB")
        if self._file is None:
            self._file = open(self.path, "rb")
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise UnreadableImage("damaged in the archive: it ends within the file")
        return data


class TemporaryFolder:
    """A folder that goes when the object or the process does."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="landmarkfer-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def list_zip(path: Path) -> Listing:
    """List the visible files of a `.zip`.

    Raises:
        SourceError: It is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} cannot be read as a .zip: {error}.") from error
    # A name that occurs twice means its last occurrence, as it does when the archive is unpacked.
    names = {
        member.filename.replace("\\", "/").lstrip("/"): number
        for number, member in enumerate(members)
        if not member.is_dir()
    }
    return _listing("zip", path, dict(names), ZipReader(str(path)))


def list_tar(path: Path, progress: Progress = SILENT) -> Listing:
    """List the visible files of a tar, compressed or not.

    Raises:
        SourceError: It is damaged, or there is no room to unpack it.
    """
    holds = None
    plain = path
    try:
        if not _is_plain_tar(path):
            holds = TemporaryFolder()
            plain = holds.path / "archive.tar"
            _decompress(path, plain, progress)
        with tarfile.open(plain, "r:") as archive:
            names = {
                member.name.removeprefix("./").lstrip("/"): f"{member.offset_data}:{member.size}"
                for member in archive
                if member.isfile()
            }
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be read as a tar archive: {error}; copy or download it again."
        ) from error
    listing = _listing("tar", path, dict(names), TarReader(str(plain)))
    listing.holds = holds
    return listing


def is_tar(path: Path) -> bool:
    """Whether a file is a tar, or named like a compressed one."""
    name = path.name.lower()
    return name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")) or (
        format_of(path) == "tar archive"
    )


def unpack(listing: Listing, names: list[str], progress: Progress = SILENT) -> TemporaryFolder:
    """Write some of a listing's other files into a temporary folder, under their names.

    Raises:
        SourceError: One cannot be read, or there is no room.
    """
    folder = TemporaryFolder()
    for number, name in enumerate(names):
        progress(f"unpacking {listing.name}", number, len(names))
        target = folder.path / Path(*[part for part in name.split("/") if part not in ("", ".", "..")])
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_whole(listing, name))
        except OSError as error:
            raise SourceError(f"{name} of {listing.name} cannot be unpacked: {error.strerror}.") from error
    progress(f"unpacking {listing.name}", len(names), len(names))
    return folder


def _whole(listing: Listing, name: str) -> bytes:
    """A member's bytes, however many."""
    try:
        if isinstance(listing.reader, ZipReader):
            with zipfile.ZipFile(listing.reader.path) as archive:
                return archive.read(archive.infolist()[int(listing.others[name])])
        if isinstance(listing.reader, TarReader):
            start, size = map(int, str(listing.others[name]).split(":"))
            with open(listing.reader.path, "rb") as file:
                file.seek(start)
                return file.read(size)
        content = listing.reader.read(listing.others[name])
    except Exception as error:
        raise SourceError(f"{name} of {listing.name} cannot be read: {error}.") from error
    assert isinstance(content, bytes)
    return content


def _listing(kind: str, path: Path, names: dict[str, Key], reader: ZipReader | TarReader) -> Listing:
    visible = {name: key for name, key in names.items() if name and all(map(is_visible, name.split("/")))}
    images = sorted((readable(name), key) for name, key in visible.items() if is_image(name))
    others = {readable(name): key for name, key in visible.items() if not is_image(name)}
    return Listing(kind, path.name, images, others, reader)


def _is_plain_tar(path: Path) -> bool:
    return format_of(path) in ("tar archive", "file of an unknown format", "text file")


def _decompress(path: Path, target: Path, progress: Progress) -> None:
    import bz2
    import gzip
    import lzma

    openers: dict[str, Callable[..., Any]] = {
        "gzip file": gzip.open,
        "bzip2 file": bz2.open,
        "xz file": lzma.open,
    }
    opener = openers.get(format_of(path))
    if opener is None:
        raise ValueError(f"it is {called(format_of(path))}")
    size = path.stat().st_size
    with path.open("rb") as raw, opener(raw, "rb") as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            progress(f"unpacking {path.name}", raw.tell(), size)
    progress(f"unpacking {path.name}", size, size)
