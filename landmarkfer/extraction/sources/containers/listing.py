"""What a folder or an archive holds: the image files, and everything else by name."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from landmarkfer.extraction.decode import IMAGE_SUFFIXES
from landmarkfer.extraction.sources.entry import Key, Reader
from landmarkfer.progress import counted

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".rar", ".7z")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv")

_HIDDEN = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass
class Listing:
    """The files of a folder or an archive.

    Attributes:
        kind: `folder`, `zip` or `tar`.
        name: Name of the folder or file.
        images: Id and key of each image file, sorted by id.
        others: Ids and keys of all other visible files.
        reader: Reads any of them by its key.
    """

    kind: str
    name: str
    images: list[tuple[str, Key]]
    others: dict[str, Key]
    reader: Reader
    holds: object = field(default=None, repr=False)
    """What has to exist as long as the listing does, such as a temporary file."""

    def named(self, *suffixes: str) -> list[str]:
        """The other files that end so, sorted."""
        return sorted(name for name in self.others if name.lower().endswith(suffixes))


def is_visible(name: str) -> bool:
    """Whether a file or folder is one that a user sees."""
    return not name.startswith(".") and name not in _HIDDEN


def is_image(path: str) -> bool:
    """Whether a path is named like an image file."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def readable(path: str) -> str:
    """Spell a path in valid Unicode; bytes of a file name that are none become escapes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def left_out(listing: Listing, used: Sequence[str] = ()) -> tuple[int, list[str]]:
    """How many files are left out, and remarks on those that may hold images themselves.

    Args:
        listing: The files.
        used: Names of other files that are used.
    """
    rest = [name for name in listing.others if name not in used]
    remarks = []
    for suffixes, what, advice in (
        (ARCHIVE_SUFFIXES, "archive", "is not opened; unpack it, or extract it on its own"),
        (VIDEO_SUFFIXES, "video", "is left out; --fps N takes N frames a second of videos"),
        ((".parquet", ".arrow", ".npz"), "data file", "is left out, since there are image files beside it"),
    ):
        found = [name for name in rest if name.lower().endswith(suffixes)]
        if found:
            shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            more = f"{counted(len(found), what)} inside ({shown})"
            remarks.append(f"{more} {advice}." if len(found) == 1 else f"{more}: each {advice}.")
    return len(rest), remarks


def kinds_of(names: Sequence[str]) -> str:
    """The endings of files with their numbers: `.txt (3), .csv (1)`."""
    endings = Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    return ", ".join(f"{ending} ({number:,})" for ending, number in endings.most_common(5))
