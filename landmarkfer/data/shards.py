"""The files of a landmark cache: Parquet parts with page checksums, and writing that is all or nothing."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from landmarkfer.data.row import Row
from landmarkfer.data.schema import LATER_COLUMNS, SCHEMA, rows_to_table
from landmarkfer.errors import CacheError

_DICTIONARY = ["label", "split", "subset", "group", "status", "error", "attempts"]
_FLOATS = ["landmarks.list.element", "blendshapes.list.element"]


def part_path(folder: Path, number: int) -> Path:
    """Return the file of a part."""
    return folder / f"part-{number:05d}.parquet"


def part_length(path: Path) -> int | None:
    """Return a part's number of rows from its footer; None if it has no footer that can be read."""
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException):
        return None


def part_digest(path: Path) -> bytes:
    """Return the digest of the content that the part was written with."""
    metadata = pq.read_metadata(path).metadata or {}
    return metadata.get(b"landmarkfer.digest", b"")


def part_ids(path: Path) -> list[str] | None:
    """Read a whole part against its checksums and return its ids; None if it is damaged or foreign."""
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
    except (OSError, pa.ArrowException):
        return None
    names = table.schema.names
    if names != [name for name in SCHEMA.names if name in names or name not in LATER_COLUMNS]:
        return None
    return table.column("id").to_pylist()


def read_part(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read columns of a part.

    Raises:
        CacheError: The part is damaged.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        there = set(file.schema_arrow.names)
        table = file.read([name for name in columns if name in there or name not in LATER_COLUMNS])
    except (OSError, pa.ArrowException) as error:
        raise CacheError(
            f"{path} is damaged ({error}); delete it and run the same `landmarkfer extract` again."
        ) from error
    rows = file.metadata.num_rows
    for place, name in enumerate(columns):
        if name not in there:
            table = table.add_column(place, SCHEMA.field(name), pa.nulls(rows, SCHEMA.field(name).type))
    return table.replace_schema_metadata()


def write_part(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as one part; see `replace_file` for how and for the error."""
    table = rows_to_table(rows)

    def write(file: IO[bytes]) -> None:
        pq.write_table(
            table,
            file,
            # Image files are compressed already; to do it again takes time and saves nothing.
            compression={leaf: "none" if leaf == "face" else "zstd" for leaf in _leaves(table.schema)},
            compression_level={leaf: 1 for leaf in _leaves(table.schema) if leaf != "face"},
            use_dictionary=_DICTIONARY,
            # Bytes of floats of one significance lie together, which compresses better and decodes faster.
            use_byte_stream_split=_FLOATS,
            write_page_checksum=True,
        )

    replace_file(path, write)


def _leaves(schema: pa.Schema) -> list[str]:
    """The names of Parquet's columns: a list has its elements'."""
    return [
        f"{field.name}.list.element" if pa.types.is_nested(field.type) else field.name for field in schema
    ]


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name beside it, bring it to the disk, and rename it.

    Args:
        path: The file to create or to replace.
        write: Writes the content to the open file it is given.

    Raises:
        CacheError: The disk is full or the folder cannot be written; `path` is as it was before.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CacheError(
            f"cannot write {path}: {error.strerror or error}. What {path.parent} holds is whole; "
            "make room and run the same command to continue."
        ) from error


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return  # a folder cannot be opened for this on Windows
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
