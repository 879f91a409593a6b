"""Sources that are tables: FER2013's CSV of pixels, and tables that label the images of a folder or archive.

The CSV's columns are `emotion` (0 to 6 in `FER2013_CLASSES`), `pixels` (a square image, row by row, numbers
with spaces between) and `Usage` (`Training`, `PublicTest`, `PrivateTest`); the first and last may be missing.
"""

import csv
import math
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import numpy as np

from landmarkfer.data.labels import FER2013_CLASSES, RAFDB_CLASSES, canonical_label
from landmarkfer.errors import SourceError, extras_named
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.layouts import FER2013_USAGE, canonical_split
from landmarkfer.extraction.sources import Entry, Key, Source
from landmarkfer.progress import counted

if TYPE_CHECKING:
    import pandas as pd

# Column names that are recognised, in this order.
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "filepath", "image_path", "name", "id")
LABEL_COLUMNS = ("label", "emotion", "expression", "class")
SPLIT_COLUMNS = ("split", "usage", "subset", "set", "partition")

RAFDB_TABLE = "list_patition_label.txt"  # spelt so in the data set


@dataclass
class PixelCsvReader:
    """Reads images from a CSV of pixels; keys are the byte offsets of its lines."""

    path: str
    column: int
    _file: IO[bytes] | None = field(default=None, init=False, repr=False)

    def __reduce__(self) -> tuple[type["PixelCsvReader"], tuple[str, int]]:
        return PixelCsvReader, (self.path, self.column)

    def read(self, key: Key) -> np.ndarray:
        """Return one image, `uint8 [S, S]`; see `sources.Reader.read`."""
        if self._file is None:
            self._file = open(self.path, "rb")
        self._file.seek(int(key))
        cells = _cells(self._file.readline())
        try:
            values = np.array(cells[self.column].split(), dtype=np.int64)
        except (IndexError, ValueError) as error:
            raise UnreadableImage("the row has no list of pixel values") from error
        side = math.isqrt(len(values))
        if not len(values) or side * side != len(values):
            raise UnreadableImage(f"the row has {len(values)} pixel values, which is no square image")
        if values.min() < 0 or values.max() > 255:
            raise UnreadableImage("the row has pixel values outside 0 to 255")
        return values.astype(np.uint8).reshape(side, side)


def open_pixel_csv(path: Path) -> Source:
    """List the images of a CSV with the columns `emotion,pixels,Usage`.

    Args:
        path: The file.

    Returns:
        The source, in the file's row order; ids are `row-0000000` and so on, numbered from 0.

    Raises:
        SourceError: The file cannot be read or has no column of pixels.
    """
    entries: list[Entry] = []
    try:
        with path.open("rb") as file:
            header = [name.strip().lower() for name in _cells(file.readline().removeprefix(b"\xef\xbb\xbf"))]
            if "pixels" not in header:
                raise SourceError(
                    f"{path} has the columns {', '.join(header)}, and an image CSV needs one named "
                    "pixels; a table of labels goes with its images: extract FOLDER --labels FILE."
                )
            offset = file.tell()
            for line in file:
                if line.strip():
                    entries.append(
                        _pixel_entry(len(entries), offset, dict(zip(header, _cells(line), strict=False)))
                    )
                offset += len(line)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    if not entries:
        raise SourceError(f"{path} has a header and no rows.")
    return Source("csv", path.name, entries, PixelCsvReader(str(path), header.index("pixels")))


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8", "replace")]), [])


def _pixel_entry(number: int, offset: int, row: dict[str, str]) -> Entry:
    emotion = row.get("emotion", "").strip()
    if emotion.isdecimal():
        label = FER2013_CLASSES[int(emotion)] if int(emotion) < len(FER2013_CLASSES) else None
    else:
        label = canonical_label(emotion) or None
    usage = row.get("usage", "").strip()
    subset = FER2013_USAGE.get(usage.lower(), (None, None))[0]
    return Entry(f"row-{number:07d}", offset, label, canonical_split(usage), subset)


def apply_label_table(
    listed: Source, path: Path, path_column: str | None, label_column: str | None, split_column: str | None
) -> Source:
    """Take the rows of a label table as the images of a source.

    Args:
        listed: The folder or archive with the image files.
        path: The table: CSV (any separator), Parquet, Excel (.xlsx), or RAF-DB's list.
        path_column: Column of paths relative to the source; by default the first of `PATH_COLUMNS` there is.
        label_column: Column of labels; by default the first of `LABEL_COLUMNS`.
        split_column: Column of splits; by default the first of `SPLIT_COLUMNS`, or none.

    Returns:
        The source with one entry per path in the table, sorted by id. A path that is not there stays as an
        entry that cannot be read; a path with two different labels has neither.

    Raises:
        SourceError: The table cannot be read, lacks a column, or has no rows.
    """
    if path.name == RAFDB_TABLE:
        rows = _rafdb_rows(path, listed)
    else:
        table = _read_table(path)
        paths = table[_column(table, path, path_column, PATH_COLUMNS, "--path-column")]
        labels = table[_column(table, path, label_column, LABEL_COLUMNS, "--label-column")]
        has_split = split_column or any(name.strip().lower() in SPLIT_COLUMNS for name in table.columns)
        split = _column(table, path, split_column, SPLIT_COLUMNS, "--split-column") if has_split else None
        splits = table[split] if split else [""] * len(table)
        rows = list(zip(map(_relative, paths), labels, splits, strict=True))
    if not rows:
        raise SourceError(f"{path} has no rows.")

    remarks = []
    present: dict[str, Key | None] = {entry.id: entry.key for entry in listed.entries}
    entries: dict[str, Entry] = {}
    conflicting = set()
    for name, label, split in rows:
        usage = FER2013_USAGE.get(split.strip().lower(), (None, None))[0]
        # A folder may hold the file under a name that does not look like an image's; reading it will show.
        key = name if listed.kind == "folder" and _is_inside(name) else present.get(name)
        entry = Entry(name, key, canonical_label(label) or None, canonical_split(split), usage)
        if entries.setdefault(name, entry).label != entry.label:
            conflicting.add(name)
    for name in conflicting:
        entries[name] = entries[name]._replace(label=None)
    if conflicting:
        remarks.append(
            f"{counted(len(conflicting), 'image')} with two different labels in {path.name}, stored without "
            "any."
        )
    if not any(name in present for name in entries):
        raise SourceError(
            f"not one of {counted(len(entries), 'path')} in {path} is an image in {listed.name} "
            f"(the first is {rows[0][0]}); paths are relative to the source."
        )
    counts = Counter(entry.label for entry in entries.values())
    if all(label is None or label.isdecimal() for label in counts):
        remarks.append(
            "The labels are numbers, whose meaning differs between data sets; they are stored as they are."
        )
    ordered = sorted(entries.values(), key=lambda entry: entry.id)
    return Source(f"{listed.kind}+labels", listed.name, ordered, listed.reader, listed.ignored, remarks)


def _relative(value: str) -> str:
    """Bring a path of a table to the form of an id: forward slashes, no `./`."""
    return str(PurePosixPath(value.strip().replace("\\", "/")))


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


def _read_table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        if path.suffix.lower() == ".xlsx":
            with extras_named():
                import openpyxl  # noqa: F401 (what pandas reads it with)
            return pd.read_excel(path, dtype=str, keep_default_na=False)
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(path)
            return table.astype(object).where(table.notna(), "").astype(str)
        return pd.read_csv(
            path, sep=None, engine="python", dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} cannot be read as a table (CSV, Parquet or Excel): {error}.") from error


def _column(
    table: "pd.DataFrame", path: Path, wanted: str | None, usual: tuple[str, ...], option: str
) -> str:
    there = {name.strip().lower(): name for name in map(str, table.columns)}
    for name in [wanted] if wanted else usual:
        if name.strip().lower() in there:
            return there[name.strip().lower()]
    asked = f"no column {wanted}" if wanted else f"none of the columns {', '.join(usual)}"
    raise SourceError(f"{path} has {asked}; it has {', '.join(there.values())}. Name one with {option}.")


def _rafdb_rows(path: Path, listed: Source) -> list[tuple[str, str, str]]:
    """Read RAF-DB's list: `train_00001.jpg 5`; the file may be `train_00001_aligned.jpg` in any folder."""
    by_name = {PurePosixPath(entry.id).name: entry.id for entry in listed.entries}
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or cells[1] not in "1234567":
            raise SourceError(
                f"line {number} of {path} is {line!r}, and not a file name and a class from 1 to 7."
            )
        stem, suffix = PurePosixPath(cells[0]).stem, PurePosixPath(cells[0]).suffix
        name = by_name.get(cells[0]) or by_name.get(f"{stem}_aligned{suffix}") or cells[0]
        rows.append((name, RAFDB_CLASSES[int(cells[1]) - 1], stem.split("_")[0]))
    return rows
