"""Corrupted copies of a cache: its stored images, corrupted, and searched for faces as they once were.

Every copy is an ordinary cache, `<root>/<corruption>-<severity>`, of the same ids, labels, splits and
subsets; `clean-0` holds the same images as they are, by the same path. Images are corrupted before a face is
looked for, so that a face which can no longer be found counts; where the corruption lies follows the
landmarks that were found in the clean image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.framing import training_frame
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.extraction.corruptions import CORRUPTIONS, SEVERITIES, corrupt, drawing
from landmarkfer.extraction.decode import DecodedImage, UnreadableImage, decode_image
from landmarkfer.extraction.detectors import DETECTORS, detector_identity
from landmarkfer.extraction.encode import stored_image
from landmarkfer.extraction.pipeline import ExtractionSummary, Tally, extract, start_workers
from landmarkfer.extraction.reframe import reframe
from landmarkfer.extraction.settings import ExtractSettings, make_settings
from landmarkfer.extraction.sources.entry import Entry, Key, Source
from landmarkfer.extraction.worker import Job
from landmarkfer.face.alignment import crop_landmarks
from landmarkfer.face.frame import Frame
from landmarkfer.progress import SILENT, Progress, counted

CLEAN = "clean"
REFRAMED = "reframed"
"""No corruption: training copies may be images as `predict` sees faces of photographs; see `reframe`."""
_BLOCK = 64  # images that a worker reads together, since a part of a cache is read as a whole
_PART_ROWS = 128  # small, since an interrupted copy loses its unfinished shard

Variant = tuple[str, int]
"""A corruption and its severity."""


def variants(corruptions: Sequence[str]) -> list[Variant]:
    """The clean images, and every corruption at every severity.

    Raises:
        SettingsError: There is no corruption of a name.
    """
    if unknown := [name for name in corruptions if name not in CORRUPTIONS]:
        raise SettingsError(f"there is no corruption {unknown[0]!r}; there are {', '.join(CORRUPTIONS)}.")
    return [(CLEAN, 0), *((name, severity) for name in corruptions for severity in SEVERITIES)]


def folder_name(variant: Variant) -> str:
    """What a corrupted cache's folder is called, and its figures' subset."""
    return f"{variant[0]}-{variant[1]}"


def stratified_rows(labels: pd.Series, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Some of the rows, each class with its share, always the same ones.

    Args:
        labels: The label of every row of the cache.
        rows: Row numbers to choose from, all labelled.
        count: How many; all if there are no more.

    Returns:
        Row numbers, ascending.

    Raises:
        SettingsError: `count` is too small for the classes, or leaves too few images out to divide them.
    """
    # Not at the top: a plain installation corrupts images too, and has no scikit-learn.
    from sklearn.model_selection import train_test_split

    if count >= len(rows):
        return np.sort(rows)
    try:
        chosen, _ = train_test_split(rows, train_size=count, stratify=labels.iloc[rows], random_state=0)
    except ValueError as error:
        raise SettingsError(
            f"{count} of {counted(len(rows), 'image')} cannot be drawn with every class's share ({error}); "
            "give another number of images."
        ) from error
    return np.sort(chosen)


@dataclass
class CorruptedReader:
    """Reads the stored images of a cache, corrupted; a key is `<corruption>/<severity>/<place in rows>`.

    Attributes:
        cache: The cache's folder.
        rows: Numbers of the rows that are read, ascending.
        frame: Of the training images; needed where any is to be `reframed`.
    """

    cache: Path
    rows: tuple[int, ...]
    frame: Frame | None = None
    _opened: LandmarkCache | None = field(default=None, init=False, repr=False)
    _known: pd.DataFrame = field(init=False, repr=False)
    _block: tuple[int, list[bytes | None], NDArray[np.float32]] | None = field(
        default=None, init=False, repr=False
    )

    def __reduce__(self) -> tuple[type["CorruptedReader"], tuple[Path, tuple[int, ...], Frame | None]]:
        return CorruptedReader, (self.cache, self.rows, self.frame)

    def read(self, key: Key) -> bytes:
        """Return an image file's bytes; see `Reader.read`."""
        name, severity, place = str(key).split("/")
        data, landmarks, image_id = self._stored(int(place))
        if data is None:
            raise UnreadableImage("the cache holds no image of it")
        if name == CLEAN:
            return data
        pixels = decode_image(data).pixels
        if name == REFRAMED:
            if landmarks is None:
                return data
            assert self.frame is not None
            rng = drawing(f"{name}/{severity}/{image_id}")
            framed = reframe(pixels, landmarks, self.frame, int(severity), rng)
            return stored_image(DecodedImage(framed, plain=False), None)
        grey = bool((pixels[..., :1] == pixels).all())
        found = corrupt(pixels[..., 0] if grey else pixels, name, int(severity), landmarks, image_id)
        if grey:
            found = np.repeat(found[..., None], 3, axis=2)
        return stored_image(DecodedImage(found, plain=False), None)

    def _stored(self, place: int) -> tuple[bytes | None, NDArray[np.float32] | None, str]:
        """The stored image, the landmarks in it as fractions of it, and the id."""
        if self._opened is None:
            self._opened = LandmarkCache.open(self.cache)
            self._known = self._opened.frame(["id", "width", "height"]).iloc[list(self.rows)]
        number, inside = divmod(place, _BLOCK)
        if self._block is None or self._block[0] != number:
            rows = self.rows[number * _BLOCK : (number + 1) * _BLOCK]
            self._block = (number, self._opened.faces(rows), self._opened.landmarks(rows))
        landmarks = self._block[2][inside]
        known = self._known.iloc[place]
        crop = self._opened.manifest.settings.get("crop")
        if not np.isfinite(landmarks).all():
            return self._block[1][inside], None, known["id"]
        if crop:
            landmarks = crop_landmarks(landmarks, int(known["width"]), int(known["height"]), crop) / crop
        return self._block[1][inside], landmarks, known["id"]


def corrupted_sources(
    cache: LandmarkCache, rows: NDArray[np.int64], wanted: Sequence[Variant]
) -> dict[Variant, Source]:
    """The images of some rows of a cache, corrupted in each of the ways, as sources for `extract`."""
    reader = CorruptedReader(cache.path, tuple(map(int, rows)))
    known = _known_images(cache, rows)
    return {
        variant: _source(cache, reader, known, [variant] * len(known), folder_name(variant))
        for variant in wanted
    }


def drawn_source(
    cache: LandmarkCache, rows: NDArray[np.int64], corruptions: Sequence[str], seed: int
) -> Source:
    """The images of some rows of a cache, each corrupted in one way at one severity, drawn, for `extract`."""
    variants([name for name in corruptions if name != REFRAMED])  # which knows their names
    frame = None
    if REFRAMED in corruptions:
        frame = training_frame(cache, rows)
        if frame is None or cache.manifest.settings.get("crop"):
            raise CacheError(
                f"{cache.path} has no frame to bring its faces into: its training images are not squares of "
                "one size, or aligned crops, or show no face; leave 'reframed' out."
            )
    rng = np.random.default_rng(seed)
    drawn = zip(rng.choice(list(corruptions), len(rows)), rng.choice(SEVERITIES, len(rows)), strict=True)
    reader = CorruptedReader(cache.path, tuple(map(int, rows)), frame)
    kind = f"{', '.join(corruptions)} drawn with seed {seed}"
    return _source(cache, reader, _known_images(cache, rows), list(drawn), kind)


def _known_images(cache: LandmarkCache, rows: NDArray[np.int64]) -> list[Entry]:
    """Entries of some rows, with all that the cache states of them and no key."""
    known = cache.frame(["id", "label", "split", "subset", "group", "votes"]).iloc[rows]
    stated = known.astype(object).where(known.notna(), None).itertuples(index=False, name=None)
    return [
        Entry(image_id, None, label, split, subset, group, None if votes is None else tuple(votes.tolist()))
        for image_id, label, split, subset, group, votes in stated
    ]


def _source(
    cache: LandmarkCache,
    reader: CorruptedReader,
    known: Sequence[Entry],
    wanted: Sequence[Variant],
    what: str,
) -> Source:
    """A source of a row for each known image, corrupted as wanted of it."""
    entries = [
        image._replace(key=f"{name}/{severity}/{place}")
        for place, (image, (name, severity)) in enumerate(zip(known, wanted, strict=True))
    ]
    # The kind is part of what a cache that is there must have in common with the one that is wanted.
    return Source(f"{what} of {cache.fingerprint[:16]}", cache.path.name, entries, reader)


def unfinished(root: Path, wanted: Sequence[Variant]) -> list[Variant]:
    """Those of the corrupted copies below `root` that still have to be made, in whole or in part."""
    return [variant for variant in wanted if not _is_finished(root / folder_name(variant))]


def make_corrupted(
    cache: LandmarkCache,
    rows: NDArray[np.int64],
    root: Path,
    wanted: Sequence[Variant],
    *,
    workers: int | None = None,
    landmarker: Path | None = None,
    progress: Progress = SILENT,
) -> dict[Variant, LandmarkCache]:
    """Make the corrupted copies of a cache that are not there yet, by the cache's own detector and settings.

    Args:
        cache: A complete cache that holds images.
        rows: Row numbers of the images.
        root: Folder of the copies. What is finished there is reused, what was interrupted resumes.
        wanted: Corruptions and severities, see `variants`.
        workers: Number of worker processes; by default one per core.
        landmarker: The model file of the `landmarker` detector.
        progress: Reports every row, over all copies.

    Returns:
        The copies.

    Raises:
        CacheError: The cache was made by a detector that is not to be had here, or a copy otherwise.
        DetectorError: The detector cannot be started.
    """
    settings = _settings_of(cache, landmarker)
    sources = corrupted_sources(cache, rows, wanted)
    make = partial(extract, settings=settings, workers=workers, landmarker=landmarker, part_rows=_PART_ROWS)
    folders = {variant: root / folder_name(variant) for variant in wanted}
    missing = unfinished(root, wanted)
    done = Tally(len(rows) * len(wanted))
    made: dict[Variant, LandmarkCache] = {}
    for variant in wanted:
        if variant not in missing:
            summary = make(sources[variant], folders[variant])  # which checks what is there
            made[variant] = summary.cache
            done.counts.update(summary.counts)
            done.reused += summary.reused
    if missing:
        job = Job(sources[missing[0]].reader, settings, cache.manifest.detector.name, landmarker)
        with start_workers(job, len(rows) * len(missing), workers) as pool:
            for variant in missing:
                within = _Within(progress, done.done, done.total)
                summary = make(sources[variant], folders[variant], progress=within, pool=pool)
                made[variant] = summary.cache
                done.counts.update(summary.counts)
                done.reused += summary.reused
    return {variant: made[variant] for variant in wanted}


def make_training_copies(
    cache: LandmarkCache,
    folder: Path,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    *,
    seed: int = 0,
    crop: int | None = None,
    workers: int | None = None,
    landmarker: Path | None = None,
    progress: Progress = SILENT,
) -> ExtractionSummary:
    """Make a cache of all images but the test images, each corrupted in one way at one severity, drawn.

    Args:
        cache: A complete cache that holds images.
        folder: Of the new cache. What is finished there is reused, what was interrupted resumes.
        corruptions: Keys of `CORRUPTIONS`, and `reframed`, that are drawn from.
        seed: Of the draw.
        crop: Side in pixels of the aligned faces that are stored instead of images; as the cache if None.
        workers: Number of worker processes; by default one per core.
        landmarker: The model file of the `landmarker` detector.
        progress: Reports every row.

    Returns:
        What was done.

    Raises:
        SettingsError: There is no corruption of a name.
        CacheError: There is no such image, or no frame for `reframed`, or the detector is not to be had here,
            or the folder holds something else.
        DetectorError: The detector cannot be started.
    """
    rows = np.flatnonzero(cache.frame(["split"])["split"] != "test")
    if not len(rows):
        raise CacheError(f"{cache.path} holds nothing but test images, which are not to be trained on.")
    source = drawn_source(cache, rows, corruptions, seed)
    settings = _settings_of(cache, landmarker)
    if crop is not None:
        settings = settings.model_copy(update={"crop": crop})
    return extract(source, folder, settings, workers=workers, landmarker=landmarker, progress=progress)


class _Within(Progress):
    """Passes the progress of one copy on as that of all."""

    def __init__(self, progress: Progress, before: int, total: int) -> None:
        self._progress = progress
        self._before = before
        self._total = total

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report where all copies stand."""
        self._progress(task, self._before + done, self._total)


def _is_finished(folder: Path) -> bool:
    try:
        return LandmarkCache.open(folder).complete
    except CacheError:
        return False  # there is none, or a damaged one, which `extract` repairs or reports


def _settings_of(cache: LandmarkCache, landmarker: Path | None) -> ExtractSettings:
    made = cache.manifest.detector
    if made.name not in DETECTORS:
        raise CacheError(
            f"{cache.path} was made by the detector {made.name!r}, which cannot search its images again; "
            f"extract the images with {' or '.join(DETECTORS)}."
        )
    there = detector_identity(made.name, landmarker)
    if there.model_sha256 != made.model_sha256:
        raise CacheError(
            f"{cache.path} was made by another model of {made.name} ({made.version}) than is here "
            f"({there.version}); extract it anew, so that clean and corrupted images are searched alike."
        )
    return make_settings({**cache.manifest.settings, "detector": made.name})
