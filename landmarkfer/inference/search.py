"""The faces of a predictor's images, in this process or in others, found as they are asked for."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.row import Row
from landmarkfer.extraction.detect import Box
from landmarkfer.extraction.detectors import Detector, create_detector
from landmarkfer.extraction.pool import WorkerPool
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.entry import Entry, Source
from landmarkfer.extraction.sources.inputs import open_inputs
from landmarkfer.extraction.worker import Job
from landmarkfer.inference.face import Pictures
from landmarkfer.inference.find import FaceFinder, FoundFace, Wanted
from landmarkfer.inference.network import ModelInfo
from landmarkfer.inference.options import check_search
from landmarkfer.inference.readers import CachePixels, SourcePixels, cache_faces

_AT_ONCE = 16  # images whose pixels are held together


class Opened(NamedTuple):
    """The faces of each image, how many images there are, the side of aligned crops, and the pictures."""

    found: Iterable[list[FoundFace]]
    total: int
    crop: int | None
    pictures: Pictures


class FaceSearch:
    """Finds the faces of images as a model is given them; each thread has a detector of its own.

    Args:
        info: Of the model.
        extraction: How the faces of its training images were found.
        landmarker: The model file of the `landmarker` detector.
    """

    def __init__(self, info: ModelInfo, extraction: ExtractSettings, landmarker: Path | None) -> None:
        self._info = info
        self._extraction = extraction
        self._landmarker = landmarker
        self._of_thread = threading.local()

    def open(
        self,
        images: Any,
        faces: Wanted,
        boxes: Mapping[str, Sequence[Box]] | None,
        workers: int,
        skip: int,
    ) -> Opened:
        """The faces of images, found as they are asked for; arguments are those of `Predictor.stream`."""
        if isinstance(images, LandmarkCache):
            crop = images.manifest.settings.get("crop")
            found: Iterable[list[FoundFace]] = cache_faces(images, skip, self._info.images is not None)
            return Opened(found, len(images), crop, Pictures(CachePixels(images), crop))
        source = open_inputs(images)
        check_search(faces, boxes, workers, [entry.id for entry in source.entries])
        finder = FaceFinder(self._info.frame, self._info.images is not None, faces, boxes, self._info.crops)
        found = self._found(source, finder, skip, workers)
        return Opened(found, len(source.entries), self._extraction.crop, Pictures(SourcePixels(source)))

    def _found(
        self, source: Source, finder: FaceFinder, skip: int, workers: int
    ) -> Iterator[list[FoundFace]]:
        """The faces of each image, in order."""
        entries = source.entries[skip:]
        count = min(workers, -(-len(entries) // _AT_ONCE))
        if count > 1:
            yield from self._found_in_workers(entries, source, finder, count)
            return
        for start in range(0, len(entries), _AT_ONCE):
            yield from finder(
                entries[start : start + _AT_ONCE], source.reader, self._detector, self._extraction
            )

    def _found_in_workers(
        self, entries: Sequence[Entry], source: Source, finder: FaceFinder, workers: int
    ) -> Iterator[list[FoundFace]]:
        detector = create_detector(self._extraction.detector, self._landmarker).name  # or its error
        job = Job(source.reader, self._extraction, detector, self._landmarker, finder)
        waiting: dict[int, list[FoundFace]] = {}
        given = taken = 0
        with WorkerPool(job, workers, batch=4) as pool:
            while taken < len(entries):
                # Answers that wait for an earlier one count as given, so that they cannot pile up.
                room = max(0, pool.room() - len(waiting))
                pool.give(list(enumerate(entries[given : given + room], start=given)))
                given = min(len(entries), given + room)
                for number, answer in pool.take():
                    waiting[number] = [FoundFace(answer, answer)] if isinstance(answer, Row) else answer
                while taken in waiting:
                    yield waiting.pop(taken)
                    taken += 1

    @property
    def _detector(self) -> Detector:
        """This thread's."""
        if not hasattr(self._of_thread, "detector"):
            self._of_thread.detector = create_detector(self._extraction.detector, self._landmarker)
        return self._of_thread.detector
