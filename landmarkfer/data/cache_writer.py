"""Writing a landmark cache, part by part, as the only process that does; `cache.py` reads it.

A part is written under a temporary name, synced and renamed, so that a run that is killed loses at most one
and resumes where it stopped.
"""

import json
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from landmarkfer.data.cache import MANIFEST, LandmarkCache, read_manifest
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.row import STATUSES, Row, Status, listing_hash
from landmarkfer.data.schema import DetectorInfo, Manifest, SourceInfo, check_same_making
from landmarkfer.data.shards import part_ids, part_path, read_part, replace_file, write_part
from landmarkfer.errors import CacheError
from landmarkfer.progress import counted


class CacheWriter:
    """Writes a cache part by part, as the only writer; use it as a context manager.

    Entering takes the folder's lock and creates the manifest, or checks the one that is there. Of a new cache
    whose first part is never written, because of an error or an interrupt, nothing stays.
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
        self._made_folder = self._new = False
        self._lock = FileLock(self.path / ".lock", timeout=0)

    def __enter__(self) -> "CacheWriter":
        try:
            self._made_folder = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
        except (OSError, NotImplementedError) as error:
            raise CacheError(f"cannot write to the cache folder {self.path}: {error}.") from error
        try:
            self._prepare()
        except BaseException:
            self._leave(failed=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(failed=error is not None)

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
            raise CacheError(f"{self.path} still lacks {counted(self.manifest.rows - len(cache), 'row')}.")
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

    def _leave(self, *, failed: bool) -> None:
        (self.path / ".writer").unlink(missing_ok=True)
        if failed and self._new and not any(self.path.glob("part-*")):
            (self.path / MANIFEST).unlink(missing_ok=True)
            (self.path / ".lock").unlink(missing_ok=True)  # still held, so that nobody else writes here
            if self._made_folder:
                with suppress(OSError):  # another process may have begun to write here
                    self.path.rmdir()
        self._lock.release()

    def _prepare(self) -> None:
        for leftover in self.path.glob("*.tmp"):
            leftover.unlink()
        if (self.path / MANIFEST).exists():
            existing = read_manifest(self.path)
            check_same_making(self.path, existing, self.manifest)
            self.manifest = existing
        else:
            foreign = [p.name for p in self.path.iterdir() if p.name not in (".lock", ".writer")]
            if foreign:
                raise CacheError(
                    f"{self.path} is no cache and not empty (it holds {foreign[0]}); give another folder."
                )
            self._new = True
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
    """Write a complete cache from given rows, without a detector: for tests and for landmarks made elsewhere.

    Args:
        path: The cache's folder.
        rows: The rows, stored in this order; their ids must differ.
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
        source=SourceInfo(kind="rows", name=source, listing=listing_hash(rows)),
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
