"""Tables as people have them: CSV with any delimiter and encoding, JSON Lines, Excel, Parquet, compressed."""

import bz2
import csv
import gzip
import io
import json
import lzma
import re
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from landmarkfer.data.labels import is_known_label, label_key
from landmarkfer.data.split_names import canonical_split
from landmarkfer.errors import SourceError, extras_named
from landmarkfer.extraction.decode import IMAGE_SUFFIXES
from landmarkfer.extraction.sources.formats import called, format_of

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = (",", ";", "\t", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_COMPRESSED = {"gzip file": gzip.decompress, "bzip2 file": bz2.decompress, "xz file": lzma.decompress}
_NO_TABLES = ("web page", "XML", "pointer of Git LFS", "empty")
_SPACED = re.compile(r"^[^\s,;|]+\.(?:jpe?g|png|bmp|gif|tiff?|webp|pgm)\s+\S+\s*$", re.IGNORECASE)
"""A line of a list that separates with spaces: `a.jpg 3`."""
_ENDING = re.compile(r"\.[a-z0-9]{2,5}$")


@dataclass(frozen=True)
class Table:
    """A table whose cells are text, empty where missing; and remarks on how it was read."""

    path: Path
    frame: "pd.DataFrame"
    remarks: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, str]:
        """The columns' own names by `column_key`; the first of several that share one."""
        return {column_key(name): name for name in reversed(list(map(str, self.frame.columns)))}

    def find(self, wanted: str | None, usual: Sequence[str], option: str) -> str:
        """The name of a column.

        Args:
            wanted: The name that the user gave.
            usual: Names to look for otherwise, the first that is there.
            option: The option that names it.

        Raises:
            SourceError: There is no such column; the message lists those there are.
        """
        found = self.look_for([wanted] if wanted else usual)
        if found is not None:
            return found
        asked = f"no column {wanted}" if wanted else f"none of the columns {', '.join(usual)}"
        there = listed_columns(list(map(str, self.frame.columns)))
        raise SourceError(f"{self.path} has {asked}; it has {there}. Name one with {option}.")

    def look_for(self, names: Sequence[str]) -> str | None:
        """The first of some columns that is there."""
        columns = self.columns
        return next((columns[column_key(name)] for name in names if column_key(name) in columns), None)

    def texts(self, column: str) -> list[str]:
        """The cells of a column, without surrounding space."""
        return [str(value).strip() for value in self.frame[column]]


def listed_columns(names: Sequence[str]) -> str:
    """The columns that are there, for a message: at most twenty, each cut to forty characters."""
    shown = [name if len(name) <= 40 else f"{name[:40]}..." for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")


def column_key(name: str) -> str:
    """What two spellings of a column's name have in common: `Image Name` and `image_name`."""
    return re.sub(r"[\s_.-]+", "_", label_key(name)).strip("_")


def read_table(path: Path, header: bool = True) -> Table:
    """Read a table.

    Args:
        path: The file.
        header: Whether its first line names the columns; without, they are `0`, `1` and so on.

    Raises:
        SourceError: It cannot be read as a table; the message says what it is.
        MissingExtra: It is an Excel file, and openpyxl is not installed.
    """
    import pandas as pd

    suffix = path.suffix.lower()
    try:
        if suffix == ".xlsx":
            with extras_named():
                import openpyxl  # noqa: F401 (what pandas reads it with)
            return Table(path, _as_text(pd.read_excel(path, dtype=str, keep_default_na=False)))
        kind = format_of(path)
        if kind == "Parquet file" or suffix in (".parquet", ".pq"):
            return Table(path, _as_text(pd.read_parquet(path)))
        if kind.startswith(_NO_TABLES):
            raise ValueError("it has no columns")
        text, remark = decode_text(content_of(path))
        remarks = [remark] if remark else []
        if suffix in (".jsonl", ".ndjson", ".json"):
            frame = _read_json(text, lines=suffix != ".json")
            return Table(path, _as_text(frame), remarks)
        if header and _lacks_header(text):
            frame = _named(_read_csv(text, header=False))
            remarks.append(f"{path.name} has no header: its columns are taken as {', '.join(frame.columns)}.")
            return Table(path, frame, remarks)
        return Table(path, _read_csv(text, header), remarks)
    except (OSError, ValueError, KeyError, csv.Error, zipfile.BadZipFile, EOFError, lzma.LZMAError) as error:
        raise SourceError(
            f"{path} cannot be read as a table (CSV, JSON Lines, Parquet or Excel): {_what(path, error)}."
        ) from error


def content_of(path: Path) -> bytes:
    """A file's bytes; of a compressed one those that are compressed, of a `.zip` those of its only file.

    Raises:
        ValueError: A `.zip` holds several files.
        OSError: It cannot be read.
    """
    kind = format_of(path)
    if kind == "zip archive":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if len(names) != 1:
                raise ValueError(f"it is a zip archive of {len(names)} files")
            return archive.read(names[0])
    data = path.read_bytes()
    return _COMPRESSED[kind](data) if kind in _COMPRESSED else data


def decode_text(data: bytes) -> tuple[str, str | None]:
    """Decode text of an unknown encoding.

    Args:
        data: UTF-8 with or without BOM, UTF-16, or an encoding of one byte a character.

    Returns:
        The text, and a remark where the encoding is a guess.

    Raises:
        ValueError: It is no text.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding), None
    head = data[:4096]
    if head.count(0) > len(head) // 4:
        encoding = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        return data.decode(encoding), None
    if 0 in head:
        raise ValueError("it is no text")
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "It is not in UTF-8 and was read as Latin-1 (Windows-1252)."


def delimiter_of(line: str) -> str:
    """The delimiter of a table, by its first line: the most frequent outside of quotes, else a comma."""
    plain = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=lambda sign: (plain.count(sign), -DELIMITERS.index(sign)))


def _read_json(text: str, lines: bool) -> "pd.DataFrame":
    """The rows of JSON Lines, or of a JSON list.

    Raises:
        ValueError: It is no list of objects.
    """
    import pandas as pd

    rows = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is no list of objects, one for each image")
    return pd.DataFrame(rows)


def _read_csv(text: str, header: bool) -> "pd.DataFrame":
    import pandas as pd

    first = text.lstrip().partition("\n")[0]
    spaced = not header and _SPACED.match(first)
    delimiter = delimiter_of(first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)  # of longer rows, which are looked at here
        frame = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if spaced else delimiter,
            header=0 if header else None,
            dtype=str,
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
            on_bad_lines="error",
        )
    if not spaced:
        _check_rows(text, delimiter, len(frame.columns))
    return _as_text(frame)


def _check_rows(text: str, delimiter: str, columns: int) -> None:
    """Refuse rows with more cells than there are columns, which would be lost; empty ones at the end may be.

    Raises:
        ValueError: There is such a row.
    """
    for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        if any(cell.strip() for cell in cells[columns:]):
            raise ValueError(f"line {number} has {len(cells)} cells, and there are {columns} columns")


def _as_text(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Cells as text, missing ones empty, and header names without surrounding space."""
    cells = frame.astype(object).map(
        lambda cell: cell[0] if isinstance(cell, list) and len(cell) == 1 else cell
    )
    text = cells.where(cells.notna(), "").astype(str)
    return text.rename(columns=lambda name: str(name).strip().strip("\ufeff"))


def _lacks_header(text: str) -> bool:
    """Whether the first line of a table names an image file, and so no column."""
    line = text.lstrip().partition("\n")[0]
    cells = next(csv.reader([line], delimiter=delimiter_of(line)), [])
    return any(map(_is_image_name, cells)) or bool(_SPACED.match(line))


def _named(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Name the columns of a table without header by what is in them.

    Raises:
        ValueError: It is not clear which column is the label.
    """
    first = {name: frame[name].head(50).str.strip() for name in frame}
    path = next(name for name in first if _is_image_name(first[name].iloc[0]))
    rest = [name for name in first if name != path]
    split = next((n for n in rest if len(rest) > 1 and all(map(canonical_split, first[n]))), None)
    rest = [name for name in rest if name != split]
    label = [n for n in rest if any(map(is_known_label, first[n]))] or rest
    if len(label) != 1:
        raise ValueError("it has no header, and more columns than a path and a label; add a header")
    return frame.rename(columns={path: "path", label[0]: "label", **({split: "split"} if split else {})})


def _is_image_name(cell: str) -> bool:
    match = _ENDING.search(cell.strip().lower())
    return match is not None and match[0] in IMAGE_SUFFIXES


def _what(path: Path, error: Exception) -> str:
    """What is wrong with a file, and what it is if it is no table at all."""
    try:
        kind = format_of(path)
    except OSError:
        return str(error)
    plain = kind in ("text file", "text file (UTF-16)", "file of an unknown format")
    return str(error).strip().rstrip(".") if plain else f"it is {called(kind)} ({str(error).rstrip('.')})"
