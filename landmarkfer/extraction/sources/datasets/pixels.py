"""Tables that hold the images themselves: `emotion,pixels,Usage`, in all the forms in which it is passed on.

`emotion` is a number in the order of `FER2013_CLASSES` or a name, `pixels` a square image, row by row,
numbers with spaces between, `Usage` is `Training`, `PublicTest`, `PrivateTest` or any other name of a split;
the first and the last may be missing. Any delimiter and encoding of a table will do. A row without pixels has
no class.
"""

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from landmarkfer.data.labels import FER2013_CLASSES
from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.containers.archive import TemporaryFolder
from landmarkfer.extraction.sources.entry import Entry, Key, Source
from landmarkfer.extraction.sources.formats import format_of
from landmarkfer.extraction.sources.labels import MISSING, read_labels
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.columns import GROUP_COLUMNS
from landmarkfer.extraction.sources.tables.read import (
    Table,
    column_key,
    content_of,
    decode_text,
    delimiter_of,
    listed_columns,
    read_table,
)
from landmarkfer.extraction.sources.tables.splits import read_splits
from landmarkfer.extraction.sources.tables.votes import (
    VOTE_CLASSES,
    check_order,
    is_vote_table,
    read_votes,
    vote_remark,
)
from landmarkfer.progress import SILENT, Progress, counted

# The module refuses longer cells, and those of an image of 256 pixels a side are.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

_BRACKETS = str.maketrans("[](),;", "      ")

PIXEL_COLUMNS = ("pixels", "pixel", "pixel_values")
EMOTION_COLUMNS = ("emotion", "label", "expression", "class")
USAGE_COLUMNS = ("usage", "split", "set", "subset")

MEANING: dict[str, str | None] = {str(number): name for number, name in enumerate(FER2013_CLASSES)}
"""What the numbers of the column `emotion` mean."""


@dataclass
class PixelCsvReader:
    """Reads images from a CSV of pixels in UTF-8; keys are the byte offsets of its lines."""

    path: str
    column: int
    delimiter: str = ","
    _file: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __reduce__(self) -> tuple[type["PixelCsvReader"], tuple[str, int, str]]:
        return PixelCsvReader, (self.path, self.column, self.delimiter)

    def read(self, key: Key) -> np.ndarray:
        """Return one image, `uint8 [S, S]`; see `sources.Reader.read`."""
        if self._file is None:
            self._file = open(self.path, "rb")
        self._file.seek(int(key))
        cells = _cells(self._file.readline(), self.delimiter)
        try:
            values = np.array(_numbers(cells[self.column]), dtype=np.int64)
        except (IndexError, ValueError, OverflowError) as error:
            raise UnreadableImage("the row has no list of pixel values") from error
        side = math.isqrt(len(values))
        if not len(values) or side * side != len(values):
            raise UnreadableImage(f"the row has {len(values)} pixel values, which is no square image")
        if values.min() < 0 or values.max() > 255:
            raise UnreadableImage("the row has pixel values outside 0 to 255")
        return values.astype(np.uint8).reshape(side, side)


def is_pixel_csv(path: Path) -> bool:
    """Whether a text file, compressed or not, has a column of pixels."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if not format_of(path).startswith("text file"):
            head = content_of(path)[:4096]
        text, _ = decode_text(head[: len(head) // 2 * 2])
    except (OSError, ValueError):
        return False
    first = text.partition("\n")[0]
    names = next(csv.reader([first], delimiter=delimiter_of(first)), [])
    return any(column_key(name) in PIXEL_COLUMNS for name in names)


def open_pixel_csv(
    path: Path,
    options: SourceOptions | None = None,
    progress: Progress = SILENT,
    *,
    images_only: bool = False,
) -> Source:
    """List the images of a CSV with the columns `emotion,pixels,Usage`.

    Args:
        path: The file; it may be compressed.
        options: Names of labels and splits; `labels` may be a table of FER+ with a row for each image.
        progress: Reports the bytes read.
        images_only: Whether labels and splits are left alone.

    Returns:
        The source, in the file's row order; ids are `row-0000000` and so on, numbered from 0.

    Raises:
        SourceError: The file cannot be read, has no column of pixels, or has labels that name no class.
    """
    options = options or SourceOptions()
    try:
        plain, holds, remarks = _as_utf8(path)
        with plain.open("rb") as file:
            first = file.readline().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
            delimiter = delimiter_of(first)
            header = [column_key(name) for name in _cells(first.encode(), delimiter)]
            pixels = _place(header, PIXEL_COLUMNS)
            if pixels is None:
                raise SourceError(
                    f"{path} has the columns {listed_columns(header)}, and an image CSV needs one named "
                    "pixels; a table of labels goes with its images: extract FOLDER --labels FILE."
                )
            group = _group_place(header, options, path)
            size = plain.stat().st_size
            rows = list(_rows(file, delimiter, pixels, header, group, size, path.name, progress))
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as a CSV of pixels: {error}.") from error
    if not rows:
        raise SourceError(f"{path} has a header and no rows.")
    if not any(row.has_pixels for row in rows):
        raise SourceError(
            f"{path} has no row with a square of pixels: as many numbers from 0 to 255 as S x S, with spaces "
            f"between; "
            f"its first row has '{rows[0].start}'."
        )
    ids = [f"row-{number:07d}" for number in range(len(rows))]
    if images_only:
        entries = [Entry(image_id, row.offset) for image_id, row in zip(ids, rows, strict=True)]
        return Source("csv", path.name, entries, PixelCsvReader(str(plain), pixels, delimiter), holds=holds)
    labels, votes, more, readings = _labels(path, ids, rows, options)
    usages = [row.usage for row in rows]
    splits, about = read_splits(usages, options.split_names, f"the column Usage of {path.name}", True)
    without = sum(not row.has_pixels for row in rows)
    if without:
        remarks.append(
            f"{counted(without, 'row')} of {path.name} without a square of pixels: no class, unreadable."
        )
    entries = [
        Entry(
            image_id,
            row.offset,
            label,
            split.split if split else None,
            split.subset if split else None,
            row.group if row.group.lower() not in MISSING else None,
            vote,
        )
        for image_id, row, label, split, vote in zip(ids, rows, labels, splits, votes, strict=True)
    ]
    source = Source("csv", path.name, entries, PixelCsvReader(str(plain), pixels, delimiter))
    source.remarks, source.readings = remarks + more + about, readings
    source.holds = holds
    if group is not None:
        source.group_rule = f"the column {header[group]}"
    if any(vote is not None for vote in votes):
        source.vote_classes = VOTE_CLASSES
    return source


@dataclass(frozen=True, slots=True)
class _Row:
    offset: int
    emotion: str
    usage: str
    group: str
    has_pixels: bool
    start: str


def _rows(
    file: IO[bytes],
    delimiter: str,
    pixels: int,
    header: list[str],
    group: int | None,
    size: int,
    name: str,
    progress: Progress,
) -> Iterator[_Row]:
    emotion, usage = _place(header, EMOTION_COLUMNS), _place(header, USAGE_COLUMNS)

    def cell(cells: list[str], place: int | None) -> str:
        return cells[place].strip() if place is not None and place < len(cells) else ""

    offset = file.tell()
    for number, line in enumerate(file):
        if line.strip():
            cells = _cells(line, delimiter)
            good = _is_square(cells[pixels]) if pixels < len(cells) else False
            yield _Row(
                offset,
                cell(cells, emotion) if good else "",
                cell(cells, usage) if good else "",
                cell(cells, group),
                good,
                "" if good else cell(cells, pixels)[:40],
            )
        offset += len(line)
        if number % 1000 == 0:
            progress(f"listing {name}", offset, size)
    progress(f"listing {name}", size, size)


def _labels(
    path: Path, ids: list[str], rows: list[_Row], options: SourceOptions
) -> tuple[list[str | None], list[tuple[float, ...] | None], list[str], dict[str, str]]:
    """Labels and votes of all rows, remarks, and what was read how."""
    if options.labels:
        table: Table = read_table(options.labels[0])
        if not is_vote_table(table):
            raise SourceError(
                "--labels goes with a folder or .zip of images; a CSV of pixels has its own labels, beside "
                "which "
                "only a table of FER+ votes can be given."
            )
        check_order(table, rows)
        labels, votes, neither = read_votes(table)
        return labels, votes, [vote_remark(labels, neither)], {}
    spelt = [row.emotion for row in rows]
    # Numbers beside names are not of FER2013's order.
    numbers = all(not cell or cell.lstrip("+-").replace(".", "", 1).isdecimal() for cell in spelt)
    read = read_labels(
        spelt, ids, options.label_names, MEANING if numbers else {}, f"the column emotion of {path.name}"
    )
    return read.labels, [None] * len(rows), read.remarks, read.readings


def _group_place(header: list[str], options: SourceOptions, path: Path) -> int | None:
    """The column of people or sequences, or None.

    Raises:
        SourceError: There is no column of the name that the user gave.
    """
    if options.group_column is None:
        return None if options.group_pattern else _place(header, GROUP_COLUMNS)
    place = _place(header, (column_key(options.group_column),))
    if place is None:
        raise SourceError(
            f"{path} has no column {options.group_column}; it has {listed_columns(header)}. Name one with "
            "--group-column."
        )
    return place


def _place(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _is_square(cell: str) -> bool:
    """Whether a cell is a list of as many numbers as make a square; their range is not checked."""
    numbers = _numbers(cell)
    side = math.isqrt(len(numbers))
    return bool(numbers) and side * side == len(numbers) and "".join(numbers).isdigit()


def _numbers(cell: str) -> list[str]:
    """The numbers of a cell: `1 2 3`, `[1, 2, 3]`."""
    return cell.translate(_BRACKETS).split()


def _cells(line: bytes, delimiter: str) -> list[str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        text = line.decode("cp1252", "replace")
    text = text.replace("\0", "").rstrip("\r\n")
    return next(csv.reader([text], delimiter=delimiter), [])


def _as_utf8(path: Path) -> tuple[Path, object, list[str]]:
    """The file, or a temporary copy of it in UTF-8, with what has to exist as long, and remarks."""
    with path.open("rb") as file:
        head = file.read(4096)
    if format_of(path).startswith("text file") and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return path, None, []
    if b"\0" not in head and format_of(path) in ("text file", "file of an unknown format"):
        return path, None, []
    text, remark = decode_text(content_of(path))
    folder = TemporaryFolder()
    copy = folder.path / f"{path.stem}.csv"
    copy.write_text(text, encoding="utf-8", newline="")
    return copy, folder, [remark] if remark else []
