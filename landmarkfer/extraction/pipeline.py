"""Extraction: every image of a source through the detector, in worker processes, into a resumable cache.

The calling process hands out entries in the order of the rows, puts the rows that come back in order, and
writes each part when it is full. It never starts on images more than a few beyond the part it is waiting for,
so a run that is killed loses one unfinished part and what the workers had in hand.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import CacheWriter
from landmarkfer.data.row import Row, Status
from landmarkfer.data.schema import DetectorInfo, Manifest, SourceInfo, check_same_making, rows_to_table
from landmarkfer.data.shards import part_ids, part_path, read_part
from landmarkfer.errors import CacheError
from landmarkfer.extraction.detectors import detector_identity
from landmarkfer.extraction.pool import WorkerPool, interrupts_held
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.entry import Source
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.extraction.windows import searches
from landmarkfer.extraction.worker import Job
from landmarkfer.progress import SILENT, Progress

logger = logging.getLogger(__name__)

MAX_BATCH = 8
"""Images that travel between processes together; fewer if there are few."""


@dataclass
class Tally:
    """How far a run is: rows in all, rows that were there at its start, and rows per outcome."""

    total: int
    reused: int = 0
    counts: Counter[Status] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """Rows there are now."""
        return self.counts.total()

    @property
    def text(self) -> str:
        """The outcomes in words."""
        found, missed, unreadable = (self.counts[name] for name in ("ok", "no_face", "unreadable"))
        return f"{found:,} found, {missed:,} no face, {unreadable:,} unreadable"

    @property
    def extracted(self) -> int:
        """Rows made by this run."""
        return self.done - self.reused


@dataclass(frozen=True, slots=True)
class ExtractionSummary:
    """What a call of `extract` did.

    Attributes:
        cache: The complete cache.
        counts: Rows per status.
        by_class: Rows per class name (None for unlabelled) and status, in canonical order.
        extracted: Rows made by this call.
        reused: Rows that were there before it.
        seconds: Wall time of this call.
    """

    cache: LandmarkCache
    counts: dict[Status, int]
    by_class: dict[str | None, dict[Status, int]]
    extracted: int
    reused: int
    seconds: float


def extract(
    source: Source | str | os.PathLike[str],
    cache: str | os.PathLike[str],
    settings: ExtractSettings | None = None,
    *,
    workers: int | None = None,
    landmarker: Path | None = None,
    progress: Progress = SILENT,
    task: str = "finding landmarks",
    part_rows: int = 512,
    pool: WorkerPool | None = None,
) -> ExtractionSummary:
    """Extract a source into a cache, or continue where an earlier call stopped.

    Args:
        source: A source, or the path of one that `open_source` understands without further advice.
        cache: The cache's folder.
        settings: How faces are found and what is stored.
        workers: Number of worker processes; by default one per core.
        landmarker: The model file of the `landmarker` detector.
        progress: Reports every row, with counts by status.
        task: What the progress calls it.
        part_rows: Rows per part of a new cache.
        pool: Workers that run already, with the source's reader and these settings, instead of new ones; it
            saves their start where many small sources are extracted in a row.

    Returns:
        The summary. On a complete cache nothing is detected and no process is started.

    Raises:
        SourceError: The source cannot be listed.
        DetectorError: The detector cannot be started.
        CacheError: The cache is in use, was made otherwise, or cannot be written.
    """
    started = time.monotonic()
    if not isinstance(source, Source):
        source = open_source(source)
    settings = settings or ExtractSettings()
    identity = detector_identity(settings.detector, landmarker)
    settings = settings.model_copy(update={"detector": identity.name})
    wanted = Manifest(
        source=SourceInfo(kind=source.kind, name=source.name, listing=source.listing, ignored=source.ignored),
        detector=DetectorInfo(
            name=identity.name, version=identity.version, model_sha256=identity.model_sha256
        ),
        settings=settings.model_dump(exclude={"detector"}),
        classes=source.classes,
        rows=len(source.entries),
        part_rows=part_rows,
    )
    folder = Path(cache)
    finished = _finished(folder)
    if finished is not None:
        check_same_making(folder, finished.manifest, wanted)
        return _summary(finished, 0, started)

    job = Job(source.reader, settings, identity.name, landmarker)
    with CacheWriter(folder, wanted, [entry.id for entry in source.entries]) as writer:
        missing = writer.missing_parts()
        if missing:
            _check_same_search(writer, missing)
        for damaged in writer.damaged:
            logger.warning("%s is damaged and is made again", damaged)
        tally = _tally_of_existing(writer, missing)
        if missing:
            images = sum(len(writer.manifest.part_range(part)) for part in missing)
            with nullcontext(pool) if pool is not None else start_workers(job, images, workers) as running:
                report = partial(_report, progress, task, tally)
                report()
                for part, rows in _parts(running, source, writer.manifest, missing, tally, report):
                    writer.write_part(part, rows)
        complete = writer.finish()
    return _summary(complete, tally.extracted, started)


def start_workers(job: Job, images: int, workers: int | None = None) -> WorkerPool:
    """The worker processes for a number of images; they start when the pool is entered.

    Args:
        job: What they do.
        images: How many images there are.
        workers: Number of processes; by default one per core.
    """
    count = min(workers or os.cpu_count() or 1, images)
    return WorkerPool(job, count, max(1, min(MAX_BATCH, images // (4 * count))))


def _report(progress: Progress, task: str, tally: Tally) -> None:
    progress(task, tally.done, tally.total, tally.text)


def _finished(folder: Path) -> LandmarkCache | None:
    """The cache of a folder if it is complete and every part passes its checksums."""
    try:
        cache = LandmarkCache.open(folder)
    except CacheError:
        return None  # there is none, or a damaged one, which the writer repairs or reports
    return cache if cache.complete and None not in map(part_ids, cache.parts) else None


def _check_same_search(writer: CacheWriter, missing: list[int]) -> None:
    """Refuse to add rows to a cache whose own rows were searched in another order of views.

    A version of the package may search images of some sizes in another order than the one before; a cache
    without such images can be continued all the same.

    Raises:
        CacheError: A row that is there began with another view than its image would now.
    """
    for part in sorted(set(range(writer.manifest.n_parts)) - set(missing)):
        table = read_part(part_path(writer.path, part), ["id", "width", "height", "attempts"])
        for row in table.to_pylist():
            began = (row["attempts"] or "").split("@")[0]
            if not began.startswith("frame"):
                continue
            first = searches(row["width"], row["height"])[0].name
            if began != first:
                raise CacheError(
                    f"{writer.path} lacks rows, and another version made those it has: {row['id']} was "
                    f"searched in {began} first, where it would be in {first} now; give another cache, or "
                    "delete that folder to make it anew."
                )


def _tally_of_existing(writer: CacheWriter, missing: list[int]) -> Tally:
    tally = Tally(writer.manifest.rows)
    for part in sorted(set(range(writer.manifest.n_parts)) - set(missing)):
        tally.counts.update(writer.statuses(part))
    tally.reused = tally.done
    return tally


def _parts(
    pool: WorkerPool,
    source: Source,
    manifest: Manifest,
    missing: list[int],
    tally: Tally,
    report: Callable[[], None],
) -> Iterator[tuple[int, list[Row]]]:
    """Yield the missing parts in order, each as soon as its rows are there."""
    ahead = (number for part in missing for number in manifest.part_range(part))
    rows: dict[int, Row] = {}
    for part in missing:
        numbers = manifest.part_range(part)
        lacking = len(numbers) - sum(number in rows for number in numbers)
        while lacking:
            # Rows of later parts count as given away too, so that they cannot pile up behind a slow image.
            beyond = len(rows) - (len(numbers) - lacking)
            pool.give([(n, source.entries[n]) for n in islice(ahead, max(0, pool.room() - beyond))])
            if not tally.extracted:
                with interrupts_held():
                    rows_to_table([])  # the first call loads libraries: now, while the workers load theirs
            for number, row in pool.take():
                rows[number] = row
                lacking -= number in numbers
                tally.counts[row.status] += 1
                report()
        yield part, [rows.pop(number) for number in numbers]


def _summary(cache: LandmarkCache, extracted: int, started: float) -> ExtractionSummary:
    table = cache.table(["label", "status"])
    pairs = Counter(zip(table.column("label").to_pylist(), table.column("status").to_pylist(), strict=True))
    labels: list[str | None] = [*cache.manifest.classes]
    if any(label is None for label, _ in pairs):
        labels.append(None)
    statuses: tuple[Status, ...] = ("ok", "no_face", "unreadable")
    by_class = {label: {status: pairs[label, status] for status in statuses} for label in labels}
    counts = {status: sum(row[status] for row in by_class.values()) for status in statuses}
    seconds = time.monotonic() - started
    return ExtractionSummary(cache, counts, by_class, extracted, len(cache) - extracted, seconds)
