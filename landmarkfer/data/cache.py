"""The landmark cache: a folder of Parquet parts and a `manifest.json`, written by one process, read by any.

Row order is the sorted order of the source and never changes. Parts appear whole or not at all (temporary
name, fsync, rename), so a cache opens at any moment, complete or not. `schema.py` tells the columns and their
units, `cache/README.md` the format on disk.
"""

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from pydantic import ValidationError

from landmarkfer.data.blendshapes import N_BLENDSHAPES
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.parts import (
    part_digest,
    part_ids,
    part_length,
    part_path,
    read_part,
    replace_file,
    write_part,
)
from landmarkfer.data.rows import STATUSES, Row, Status, listing_hash
from landmarkfer.data.schema import (
    HEAVY_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    DetectorInfo,
    Manifest,
    SourceInfo,
    check_same_making,
)
from landmarkfer.errors import CacheError
from landmarkfer.landmarks import N_LANDMARKS

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
CACHE_ROOT = Path("cache")


class LandmarkCache:
    """A cache opened for reading; made by `LandmarkCache.open`.

    Attributes:
        path: The cache's folder.
        manifest: How the cache was made.
        parts: The part files there are, in order.
    """

    def __init__(self, path: Path, manifest: Manifest, parts: list[Path], rows: list[int]) -> None:
        self.path = path
        self.manifest = manifest
        self.parts = parts
        self._rows = rows

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "LandmarkCache":
        """Open a cache, complete or not.

        Args:
            path: The cache's folder.

        Returns:
            The cache. Only the manifest and the parts' footers have been read.

        Raises:
            CacheError: There is no cache, or its manifest or a part cannot be read.
        """
        folder = Path(path)
        manifest = _read_manifest(folder)
        numbered = (part_path(folder, number) for number in range(manifest.n_parts))
        parts = [part for part in numbered if part.exists()]
        rows = [part_length(part) for part in parts]
        for part, count in zip(parts, rows, strict=True):
            if count is None:
                raise CacheError(f"{part} is damaged; run the same `landmarkfer extract` again to redo it.")
        return cls(folder, manifest, parts, [count for count in rows if count is not None])

    def __len__(self) -> int:
        """Return the number of rows there are."""
        return sum(self._rows)

    @property
    def complete(self) -> bool:
        """Whether every row of the source is there."""
        return self.manifest.complete and len(self) == self.manifest.rows

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the content, from digests kept in the parts; the same for the same rows."""
        digest = hashlib.sha256(json.dumps(self.manifest.classes).encode())
        for part in self.parts:
            digest.update(part_digest(part))
        return digest.hexdigest()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns as one Arrow table, in row order.

        Args:
            columns: Names of columns; all but `landmarks`, `blendshapes` and `face` by default.

        Returns:
            A table of `len(self)` rows.
        """
        light = [name for name in SCHEMA.names if name not in HEAVY_COLUMNS]
        names = light if columns is None else list(columns)
        unknown = [name for name in names if name not in SCHEMA.names]
        if unknown:
            raise CacheError(f"a cache has no column {', '.join(unknown)}; it has {', '.join(SCHEMA.names)}.")
        parts = [read_part(part, names) for part in self.parts]
        if not parts:
            return pa.schema([SCHEMA.field(name) for name in names]).empty_table()
        return pa.concat_tables(parts)

    def frame(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """Read columns as a DataFrame, in row order; a missing value is NaN or None: test with `.isna()`."""
        return self.table(columns).to_pandas()

    def landmarks(self, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Read landmarks: `[N, 478, 3]` float32, NaN where no face was found.

        Args:
            rows: Row numbers, in any order; only the parts that hold them are read. All rows by default.
        """
        wanted = None if rows is None else self._checked(rows)
        out = np.empty((len(self) if wanted is None else len(wanted), N_LANDMARKS, 3), np.float32)
        if wanted is None:
            for part, table in self._slices(["landmarks"]):
                out[part] = _points(table)
            return out
        for number, places, within in self._owners(wanted):
            out[places] = _points(read_part(self.parts[number], ["landmarks"]))[within]
        return out

    def blendshapes(self) -> np.ndarray | None:
        """Read all blendshapes: `[N, 52]` float32, NaN where missing; None if the detector gives none."""
        out = np.full((len(self), N_BLENDSHAPES), np.nan, np.float32)
        for rows, table in self._slices(["blendshapes"]):
            column = table.column(0).combine_chunks()
            present = np.asarray(column.is_valid())
            out[rows][present] = column.drop_null().flatten().to_numpy().reshape(-1, N_BLENDSHAPES)
        return None if np.isnan(out).all() else out

    def faces(self, rows: Sequence[int] | np.ndarray) -> list[bytes | None]:
        """Read the stored image files of some rows.

        Args:
            rows: Row numbers, in any order; only the parts that hold them are read.

        Returns:
            One encoded image per row number, None for an unreadable image.
        """
        wanted = self._checked(rows)
        found: list[bytes | None] = [None] * len(wanted)
        for number, places, within in self._owners(wanted):
            column = read_part(self.parts[number], ["face"]).column(0)
            for place, row in zip(places, within, strict=True):
                found[place] = column[int(row)].as_py()
        return found

    def _checked(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        wanted = np.asarray(rows, np.int64)
        if wanted.size and not (0 <= wanted.min() and wanted.max() < len(self)):
            raise IndexError(f"rows must be in 0..{len(self) - 1}, not {wanted.min()}..{wanted.max()}")
        return wanted

    def _owners(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Each part that holds some of the rows: its number, their places among `wanted`, and within it."""
        starts = np.cumsum([0, *self._rows])
        owner = np.searchsorted(starts, wanted, side="right") - 1
        for number in np.unique(owner):
            places = np.flatnonzero(owner == number)
            yield int(number), places, wanted[places] - starts[number]

    def _slices(self, columns: list[str]) -> Iterator[tuple[slice, pa.Table]]:
        start = 0
        for part, count in zip(self.parts, self._rows, strict=True):
            yield slice(start, start + count), read_part(part, columns)
            start += count


class CacheWriter:
    """Writes a cache part by part, as the only writer; use it as a context manager.

    Entering takes the folder's lock and creates the manifest, or checks the one that is there.
    The rows of a part are those of `manifest.part_range(part)`.

    Args:
        path: The cache's folder; created if need be.
        manifest: How the cache is to be made. A cache found there keeps its own `part_rows`.
        ids: The ids of all rows, in order; a part found there must hold exactly these.

    Attributes:
        manifest: The manifest on disk.
        damaged: Part files that were there and cannot be used; they are written again.
    """

    def __init__(self, path: str | os.PathLike[str], manifest: Manifest, ids: Sequence[str]) -> None:
        self.path = Path(path)
        self.manifest = manifest
        self.damaged: list[Path] = []
        self._ids = ids
        self._lock = FileLock(self.path / ".lock", timeout=0)

    def __enter__(self) -> "CacheWriter":
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
        except (OSError, NotImplementedError) as error:
            raise CacheError(f"cannot write to the cache folder {self.path}: {error}.") from error
        try:
            self._prepare()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / ".writer").unlink(missing_ok=True)
        self._lock.release()

    def missing_parts(self) -> list[int]:
        """Return the numbers of the parts that have to be written."""
        self.damaged = []
        missing = []
        for number in range(self.manifest.n_parts):
            part = part_path(self.path, number)
            ids = [self._ids[row] for row in self.manifest.part_range(number)]
            if part.exists() and part_ids(part) == ids:
                continue
            if part.exists():
                self.damaged.append(part)
            missing.append(number)
        return missing

    def write_part(self, number: int, rows: Sequence[Row]) -> Path:
        """Write one part under a temporary name and rename it.

        Args:
            number: The part's number.
            rows: Exactly the rows of `manifest.part_range(number)`.

        Returns:
            The part's file.

        Raises:
            CacheError: The disk is full or the folder cannot be written; the parts that are there stay.
        """
        if [row.id for row in rows] != [self._ids[row] for row in self.manifest.part_range(number)]:
            raise ValueError(f"part {number} must hold the rows {self.manifest.part_range(number)} in order")
        path = part_path(self.path, number)
        write_part(path, rows)
        return path

    def statuses(self, number: int) -> list[Status]:
        """Read the statuses of the rows of a part that is there."""
        return read_part(part_path(self.path, number), ["status"]).column(0).to_pylist()

    def finish(self) -> LandmarkCache:
        """Mark the cache complete, with its counts per status, and open it.

        Raises:
            CacheError: Parts are missing, or the manifest cannot be written.
        """
        cache = LandmarkCache.open(self.path)
        if len(cache) != self.manifest.rows:
            raise CacheError(f"{self.path} still lacks {self.manifest.rows - len(cache)} rows.")
        found = cache.table(["status"]).column(0).to_pylist()
        counts = {status: found.count(status) for status in STATUSES}
        self.manifest = self.manifest.model_copy(update={"complete": True, "counts": counts})
        self._write_manifest()
        return LandmarkCache.open(self.path)

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            try:
                owner = " ({process} on {host})".format(**json.loads((self.path / ".writer").read_text()))
            except (OSError, ValueError, KeyError):
                owner = ""
            raise CacheError(
                f"another process{owner} is writing {self.path}; wait until it ends or give another cache."
            ) from None
        writer = {"process": f"process {os.getpid()}", "host": socket.gethostname()}
        (self.path / ".writer").write_text(json.dumps(writer))

    def _prepare(self) -> None:
        for leftover in self.path.glob("*.tmp"):
            leftover.unlink()
        if (self.path / MANIFEST).exists():
            existing = _read_manifest(self.path)
            check_same_making(self.path, existing, self.manifest)
            self.manifest = existing
        else:
            foreign = [p.name for p in self.path.iterdir() if p.name not in (".lock", ".writer")]
            if foreign:
                raise CacheError(
                    f"{self.path} is no cache and not empty (it holds {foreign[0]}); give another folder."
                )
            self._write_manifest()

    def _write_manifest(self) -> None:
        text = self.manifest.model_dump_json(indent=2) + "\n"
        replace_file(self.path / MANIFEST, lambda file: file.write(text.encode()))


def write_cache(
    path: str | os.PathLike[str],
    rows: Sequence[Row],
    *,
    source: str = "rows",
    detector: str = "none",
    settings: dict[str, Any] | None = None,
    part_rows: int = 512,
) -> LandmarkCache:
    """Write a complete cache from rows at hand, with no detector: for tests and for landmarks made elsewhere.

    Args:
        path: The cache's folder.
        rows: The rows; they are kept in this order, and their ids must differ.
        source: What the manifest names as the source.
        detector: What the manifest names as the detector.
        settings: What the manifest gives as settings.
        part_rows: Rows per part file.

    Returns:
        The cache, opened.

    Example:
        `write_cache("cache/mine", [Row(id="a.png", label="happy", split="train", landmarks=points)])`
    """
    ids = [row.id for row in rows]
    if len(set(ids)) != len(ids):
        raise ValueError("every row needs an id of its own")
    for row in rows:
        if (row.status == "ok") != (row.landmarks is not None):
            raise ValueError(f"{row.id}: a row has the status 'ok' if and only if it has landmarks")
    manifest = Manifest(
        source=SourceInfo(
            kind="rows", name=source, listing=listing_hash((r.id, r.label, r.split, r.subset) for r in rows)
        ),
        detector=DetectorInfo(name=detector, version="none"),
        settings=settings or {},
        classes=sort_classes(row.label for row in rows if row.label is not None),
        rows=len(rows),
        part_rows=part_rows,
    )
    with CacheWriter(path, manifest, ids) as writer:
        for number in writer.missing_parts():
            writer.write_part(number, [rows[index] for index in manifest.part_range(number)])
        return writer.finish()


def find_cache(where: str | os.PathLike[str] | None = None) -> Path:
    """Find a cache's folder.

    Args:
        where: A folder, the name of a folder under `./cache`, or None for the only cache under `./cache`.

    Returns:
        The folder.

    Raises:
        CacheError: There is none, or there are several and none was named.
    """
    known = sorted(path.parent for path in CACHE_ROOT.glob(f"*/{MANIFEST}"))
    if where is not None:
        for candidate in (Path(where), CACHE_ROOT / where):
            if (candidate / MANIFEST).is_file():
                return candidate
        there = f"; caches under ./{CACHE_ROOT}: {', '.join(path.name for path in known)}" if known else ""
        raise CacheError(f"{where} is no landmark cache (no {MANIFEST} in it){there}.")
    if not known:
        raise CacheError(
            f"there is no landmark cache under ./{CACHE_ROOT}; make one with `landmarkfer extract PHOTOS`, "
            "or name one with --cache."
        )
    if len(known) > 1:
        raise CacheError(
            f"there are {len(known)} caches under ./{CACHE_ROOT} ({', '.join(path.name for path in known)}); "
            "choose one with --cache."
        )
    return known[0]


def _points(table: pa.Table) -> np.ndarray:
    values = table.column(0).combine_chunks().flatten().to_numpy()
    return values.reshape(-1, N_LANDMARKS, 3)  # [n * 1434] -> [n, 478, 3]


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CacheError(
                f"{folder} has cache format {version}, but {SCHEMA_VERSION} is read here; extract it again."
            )
        return Manifest.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        raise CacheError(f"{folder} is no landmark cache: it has no {MANIFEST}.") from None
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise CacheError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error
