"""What a source of images is: a list of entries, and a reader that hands out their bytes.

A source is listed once, in the calling process. What travels to the workers is a small reader and one key per
image; each worker opens the folder, archive or table for itself, so that no image goes through a pipe.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from landmarkfer.data.labels import sort_classes
from landmarkfer.data.row import Row, listing_hash

Key = str | int
Box = tuple[float, float, float, float]


class Entry(NamedTuple):
    """One image of a source; `key` is what its reader finds it by, None if it is known not to be there.

    `box` is `(x0, y0, x1, y1)` in pixels of the upright image: the part of the image that is meant. `fault`
    is why an image is known not to be readable.
    """

    id: str
    key: Key | None
    label: str | None = None
    split: str | None = None
    subset: str | None = None
    group: str | None = None
    votes: tuple[float, ...] | None = None
    box: Box | None = None
    fault: str | None = None


def row_of(entry: Entry) -> Row:
    """An entry's row before anything was read."""
    return Row(entry.id, entry.label, entry.split, entry.subset, entry.group, entry.votes)


class Reader(Protocol):
    """Reads images of one source by their keys; opened by the first read, and closed again in a pickle."""

    def read(self, key: Key) -> bytes | np.ndarray:
        """Return an image file's bytes, or pixels `uint8 [H, W]` or `[H, W, 3]` where there is no file.

        Raises:
            UnreadableImage: The image cannot be read; the message is the reason.
        """
        ...


@dataclass
class Source:
    """A listed source.

    Attributes:
        kind: `folder`, `zip`, `tar`, `csv`, `parquet`, `arrow`, `arrays`, or one of these with `+labels`.
        name: Name of the folder or file.
        entries: The images in the order of the rows.
        reader: Reads them.
        ignored: Number of files that are not images.
        remarks: Sentences for the user about how the source was read.
        readings: Spellings of labels that became another class name: `{"Happiness": "happy"}`.
        group_rule: What the groups are and where they come from, in words; None where there are none.
        vote_classes: The classes of the votes, where there are votes.
        columns: Which columns of a table hold what, in words.
        holds: What has to exist as long as the source does, such as a temporary folder.
    """

    kind: str
    name: str
    entries: list[Entry]
    reader: Reader
    ignored: int = 0
    remarks: list[str] = field(default_factory=list)
    readings: dict[str, str] = field(default_factory=dict)
    group_rule: str | None = None
    vote_classes: tuple[str, ...] = ()
    columns: str = ""
    holds: object = field(default=None, repr=False, compare=False)

    @property
    def classes(self) -> list[str]:
        """The class names that occur, in canonical order; those of votes also where none has the majority."""
        named = [entry.label for entry in self.entries if entry.label is not None]
        return sort_classes([*named, *self.vote_classes])

    @property
    def listing(self) -> str:
        """Hash of all that the source states of its images."""
        return listing_hash(self.entries)
