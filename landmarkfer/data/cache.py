"""The landmark cache: a folder of Parquet parts and a `manifest.json`, which any process may read.

Row order is the sorted order of the source and never changes. Parts appear whole or not at all, so a cache
opens at any moment, complete or not. `cache_writer.py` writes it; `schema.py` lists the columns and their
units, `cache/README.md` the format on disk.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from landmarkfer.data.schema import HEAVY_COLUMNS, SCHEMA, SCHEMA_VERSION, Manifest
from landmarkfer.data.shards import part_digest, part_length, part_path, read_part
from landmarkfer.errors import CacheError
from landmarkfer.face.blendshapes import N_BLENDSHAPES
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.progress import counted

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
CACHE_ROOT = Path("cache")
_INNER_SUFFIXES = (".tar", ".csv", ".tsv")
_COUNTED = {"no_face": "without a face", "unreadable": "unreadable"}


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
        manifest = read_manifest(folder)
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

    def __repr__(self) -> str:
        made = self.manifest
        known = [(made.counts or {}).get(status, 0) for status in _COUNTED]
        counts = "".join(f", {n:,} {text}" for n, text in zip(known, _COUNTED.values(), strict=True) if n)
        rows = counted(len(self), "image") + (counts if self.complete else f" of {made.rows:,}, not complete")
        classes = f"; {', '.join(made.classes)}" if made.classes else ""
        return f"<LandmarkCache {self.path}: {rows}; {made.detector.name}{classes}>"

    @property
    def name(self) -> str:
        """What the cache is called: the name of its folder."""
        return Path(os.path.abspath(self.path)).name

    @property
    def members(self) -> tuple["LandmarkCache", ...]:
        """The caches that it consists of: itself, unless several are joined (`data.joined`)."""
        return (self,)

    @property
    def store(self) -> Path:
        """The folder for what is derived from the cache once, such as decoded images."""
        return self.path

    @property
    def complete(self) -> bool:
        """Whether every row of the source is there."""
        return self.manifest.complete and len(self) == self.manifest.rows

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the content, from digests stored in the shards; the same for the same rows."""
        digest = hashlib.sha256(json.dumps(self.manifest.classes).encode())
        for part in self.parts:
            digest.update(part_digest(part))
        return digest.hexdigest()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns as one Arrow table, in row order.

        Args:
            columns: Names of columns; all but `HEAVY_COLUMNS` by default.

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
        """Read landmarks.

        Args:
            rows: Row numbers, in any order, of which only the parts that hold them are read; all by default.

        Returns:
            `[N, 478, 3]` float32, NaN where no face was found.
        """
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        out = np.empty((len(wanted), N_LANDMARKS, 3), np.float32)
        for places, inside, table in self._parts_of(wanted, "landmarks"):
            values = table.column(0).combine_chunks().flatten().to_numpy()
            out[places] = values.reshape(-1, N_LANDMARKS, 3)[inside]  # [n * 1434] -> [n, 478, 3]
        return out

    def blendshapes(self) -> np.ndarray | None:
        """Read all blendshapes: `[N, 52]` float32, NaN where missing; None if the detector gives none."""
        found = self._nullable("blendshapes", N_BLENDSHAPES)
        return None if np.isnan(found).all() else found

    def deviations(self) -> np.ndarray:
        """Read how far first detections lie from the mean: `[N, 478, 3]` float32, NaN where there is one."""
        return self._nullable("deviation", N_LANDMARKS * 3).reshape(-1, N_LANDMARKS, 3)

    def _nullable(self, column: str, width: int) -> np.ndarray:
        out = np.full((len(self), width), np.nan, np.float32)
        for rows, table in self._slices([column]):
            values = table.column(0).combine_chunks()
            present = np.asarray(values.is_valid())
            out[rows][present] = values.drop_null().flatten().to_numpy().reshape(-1, width)
        return out

    def faces(self, rows: Sequence[int] | np.ndarray) -> list[bytes | None]:
        """Read the stored image files of some rows.

        Args:
            rows: Row numbers, in any order; only the parts that hold them are read.

        Returns:
            One encoded image per row number, None for an unreadable image.
        """
        wanted = np.asarray(rows, np.int64)
        found: list[bytes | None] = [None] * len(wanted)
        for places, inside, table in self._parts_of(wanted, "face"):
            column = table.column(0)
            for place, number in zip(places, inside, strict=True):
                found[place] = column[int(number)].as_py()
        return found

    def _parts_of(self, rows: np.ndarray, column: str) -> Iterator[tuple[np.ndarray, np.ndarray, pa.Table]]:
        """For each part that holds some rows: their places in `rows`, their numbers in it, its table."""
        if rows.size and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows must be in 0..{len(self) - 1}, not {rows.min()}..{rows.max()}")
        starts = np.cumsum([0, *self._rows])
        owner = np.searchsorted(starts, rows, side="right") - 1
        for part in np.unique(owner):
            places = np.flatnonzero(owner == part)
            yield places, rows[places] - starts[part], read_part(self.parts[part], [column])

    def _slices(self, columns: list[str]) -> Iterator[tuple[slice, pa.Table]]:
        start = 0
        for part, count in zip(self.parts, self._rows, strict=True):
            yield slice(start, start + count), read_part(part, columns)
            start += count


def cache_folder(cache: str | os.PathLike[str] | None, source: Path) -> Path:
    """The folder that an extraction writes to.

    Args:
        cache: A folder, a name under `./cache`, or None for the source's name there.
        source: What is extracted.
    """
    if cache is None:
        resolved = source.resolve()
        if resolved.is_dir():
            return CACHE_ROOT / resolved.name
        plain = Path(resolved.stem)
        while plain.suffix.lower() in _INNER_SUFFIXES:  # of `faces.tar.gz` and `faces.csv.zip`
            plain = plain.with_suffix("")
        return CACHE_ROOT / plain
    is_name = Path(cache).name == os.fspath(cache) and not Path(cache).is_dir()
    return CACHE_ROOT / cache if is_name else Path(cache)


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
            "or give the folder of one."
        )
    if len(known) > 1:
        raise CacheError(
            f"there are {len(known)} caches under ./{CACHE_ROOT} ({', '.join(path.name for path in known)}); "
            "name the one that is meant, as CACHE or with --cache."
        )
    return known[0]


def read_manifest(folder: Path) -> Manifest:
    """How the cache in a folder was made.

    Raises:
        CacheError: There is no manifest, it cannot be read, or its format is another one.
    """
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
    except (ValueError, AttributeError, ValidationError) as error:
        why = str(error).splitlines()[0]
        raise CacheError(f"{path} is damaged ({why}); delete {folder} and extract again.") from error
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error}.") from error
