"""A trained run applied to new images: what `landmarkfer.load` returns.

An image goes the way that the run's training images went: decoded by `extraction.decode`, searched with the
run's own extraction settings, encoded as its cache would store it, normalised by `data.preprocess`. So the
prediction of a file is that of its row in a cache. Images are taken some at a time, so that the memory needed
for pixels does not grow with their number; of each image, only the landmarks (6 KB) stay.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.preprocess import Preprocess
from landmarkfer.data.row import Row
from landmarkfer.data.schema import SCHEMA
from landmarkfer.errors import CacheError, RunError, SettingsError, SourceError
from landmarkfer.extraction.decode import UnreadableImage, decode_array, decode_image
from landmarkfer.extraction.detectors import DETECTORS, Detector, create_detector
from landmarkfer.extraction.open_inputs import open_inputs
from landmarkfer.extraction.process import make_rows
from landmarkfer.extraction.settings import ExtractSettings, make_settings
from landmarkfer.extraction.sources import Key, Source
from landmarkfer.inference.device import accelerator
from landmarkfer.inference.faces import Faces, Pictures, Pixels, decoded
from landmarkfer.inference.frame import FaceArrays, check_landmarks, frame_faces, joined
from landmarkfer.inference.predict import has_sets, predict_probabilities, predict_sets
from landmarkfer.progress import Progress, shown
from landmarkfer.runs.folder import RunConfig, RunFolder, TrainedModel

logger = logging.getLogger(__name__)

# A multiple of the batches that evaluation predicts in, so that the same images make the same batches.
_CHUNK = 512
_AT_ONCE = 16  # images whose pixels are held together


class Predictor:
    """A trained model with all that it needs to predict images; made by `Predictor.of_run`.

    Attributes:
        trained: The model and its configuration.
        extraction: How faces are found and images are encoded.
        name: Of the run.
    """

    def __init__(
        self, trained: TrainedModel, extraction: ExtractSettings, name: str, landmarker: Path | None = None
    ) -> None:
        self.trained = trained
        self.extraction = extraction
        self.name = name
        self._landmarker = landmarker
        self._detector: Detector | None = None

    @classmethod
    def of_run(cls, run: RunFolder, *, device: str = "auto", landmarker: Path | None = None) -> "Predictor":
        """Load a finished run.

        Args:
            run: The run.
            device: Where a network predicts; `auto` is CUDA where there is one, else the CPU.
            landmarker: The model file of the `landmarker` detector, where the run's landmarks are of it.

        Raises:
            RunError: The run is not finished or damaged.
            SettingsError: PyTorch finds no such device.
        """
        trained = run.load()
        trained.model.to(accelerator(device))
        return cls(trained, extraction_of(run.name, trained.config), run.name, landmarker)

    def __repr__(self) -> str:
        config = self.trained.config
        graph = f" on graph '{config.graph.name}'" if config.graph else ""
        return f"<Predictor {self.name}: {config.settings.model.name}{graph}; {', '.join(self.classes)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.trained.config.classes

    def predict(
        self,
        images: Any,
        *,
        least_confidence: float | None = None,
        progress: Progress | bool = False,
    ) -> Faces:
        """Predict the expression of the face in each image.

        Args:
            images: A path, a folder, a glob pattern, a `.zip`, the bytes of an image file, a PIL image, an
                array uint8 `[H, W]`, `[H, W, 3]` or `[N, H, W, 3]`, a list of these, or a `LandmarkCache`,
                whose landmarks are then taken.
            least_confidence: Where the most probable class is less probable than this, the model abstains:
                there is no label.
            progress: True shows a bar; or where to report to.

        Returns:
            One row per image in the order of the input, also where there is no face or the image cannot be
            read.

        Raises:
            SourceError: There is nothing to read at a path, or the input is none of these.
            DetectorError: The run's detector cannot be started.
            SettingsError: `least_confidence` is no probability.
        """
        _check_confidence(least_confidence)
        if isinstance(images, LandmarkCache):
            return self._predict_cache(images, least_confidence, progress)
        source = open_inputs(images)
        pictures = Pictures(_SourcePixels(source))
        with shown(progress) as report:
            framed = self._framed_files(source, report)
            return self._predict(framed, self.extraction.crop, pictures, least_confidence)

    def predict_landmarks(
        self, landmarks: ArrayLike, sizes: ArrayLike | None = None, *, least_confidence: float | None = None
    ) -> Faces:
        """Predict the expression of faces whose landmarks are known.

        Args:
            landmarks: `[N, 478, 3]`, MediaPipe's: x and y as fractions of the image's width and height, z on
                x's scale; NaN where there is no face. Without sizes, of square images, or in pixels.
            sizes: `[N, 2]` or `[2]`, width and height of the images in pixels.
            least_confidence: See `predict`.

        Returns:
            One row per face, in the order given.

        Raises:
            RunError: The model looks at pixels.
            SourceError: The shapes do not fit.
            SettingsError: `least_confidence` is no probability.
        """
        _check_confidence(least_confidence)
        if "image" in self.trained.model.inputs:
            raise RunError(
                f"model '{self.trained.config.settings.model.name}' of run '{self.name}' looks at pixels; "
                "give images to predict."
            )
        points = np.asarray(landmarks, np.float32)
        check_landmarks(points.shape)
        given = np.asarray(1.0 if sizes is None else sizes, np.float32)
        if given.shape not in ((), (2,), (len(points), 2)):
            raise SourceError(
                f"sizes must be [{len(points)}, 2] or [2], width and height, not {list(given.shape)}."
            )
        sides = np.broadcast_to(given, (len(points), 2)).copy()
        found = np.isfinite(points).all(axis=(1, 2))
        rows = [
            Row(
                id=f"face-{number}",
                status="ok" if there else "no_face",
                landmarks=points[number] if there else None,
            )
            for number, there in enumerate(found)
        ]
        arrays = FaceArrays(np.where(found[:, None, None], points, np.float32(np.nan)), sides)
        return self._predict([(rows, arrays)], None, None, least_confidence)

    def _predict_cache(
        self, cache: LandmarkCache, least_confidence: float | None, progress: Progress | bool
    ) -> Faces:
        crop = cache.manifest.settings.get("crop")
        pictures = Pictures(_CachePixels(cache), crop)
        with shown(progress) as report:
            framed = self._framed_rows(cache, report)
            return self._predict(framed, crop, pictures, least_confidence)

    def _framed_files(self, source: Source, progress: Progress) -> Iterator[tuple[list[Row], FaceArrays]]:
        """Rows of images, and what the model is given of them, some at a time."""
        images = self.trained.config.images
        total = len(source.entries)
        progress("predicting", 0, total)
        for start in range(0, total, _AT_ONCE):
            some = source.entries[start : start + _AT_ONCE]
            if self._detector is None:
                self._detector = create_detector(self.extraction.detector, self._landmarker)
            rows = make_rows(
                some, source.reader, self._detector, self.extraction, with_image=images is not None
            )
            arrays = frame_faces(rows, images)
            for row in rows:
                row.face = None  # many of them would fill the memory
            yield rows, arrays
            progress("predicting", start + len(rows), total)

    def _framed_rows(
        self, cache: LandmarkCache, progress: Progress
    ) -> Iterator[tuple[list[Row], FaceArrays]]:
        images = self.trained.config.images
        progress("predicting", 0, len(cache))
        for start in range(0, len(cache), _CHUNK):
            rows = cache_rows(cache, range(start, min(start + _CHUNK, len(cache))), images is not None)
            arrays = frame_faces(rows, images)
            for row in rows:
                row.face = None  # many of them would fill the memory
            yield rows, arrays
            progress("predicting", start + len(rows), len(cache))

    def _predict(
        self,
        framed: Iterable[tuple[list[Row], FaceArrays]],
        crop: int | None,
        pictures: Pictures | None,
        least_confidence: float | None,
    ) -> Faces:
        images = self.trained.config.images
        preprocess = Preprocess(
            self.trained.config.settings.normalisation,
            keypoints=images is not None and images.keypoints,
            crop=crop,
        )
        done: list[Faces] = []
        rows: list[Row] = []
        arrays: list[FaceArrays] = []
        for some, part in framed:
            rows += some
            arrays.append(part)
            if len(rows) >= _CHUNK:
                done.append(self._classify(rows, joined(arrays), preprocess))
                rows, arrays = [], []
        if rows or not done:
            done.append(self._classify(rows, joined(arrays or [frame_faces([], images)]), preprocess))
        return replace(Faces.joined(done, pictures), least_confidence=least_confidence)

    def _classify(self, rows: list[Row], arrays: FaceArrays, preprocess: Preprocess) -> Faces:
        def tensor(array: NDArray | None) -> torch.Tensor | None:
            return None if array is None else torch.from_numpy(array)

        batch = preprocess(
            torch.from_numpy(arrays.landmarks),
            torch.from_numpy(arrays.sizes),
            tensor(arrays.image),
            tensor(arrays.has_image),
            tensor(arrays.blendshapes),
        )
        model = self.trained.model
        probabilities = predict_probabilities(model, batch, self.trained.config.settings.prediction)
        sets = predict_sets(model, probabilities) if has_sets(model) else None
        found = np.array([row.status == "ok" for row in rows], dtype=bool)
        return Faces(
            classes=self.classes,
            sources=tuple(row.id for row in rows),
            statuses=tuple(row.status for row in rows),
            errors=tuple(row.error for row in rows),
            landmarks=arrays.landmarks,
            sizes=arrays.sizes,
            scores=np.array([np.nan if row.confidence is None else row.confidence for row in rows], float),
            probabilities=np.where(found[:, None], probabilities.numpy(), np.nan),
            sets=sets,
        )


def extraction_of(name: str, config: RunConfig) -> ExtractSettings:
    """How the faces that a run was trained on were found.

    Runs of version 0.1 do not state it: then their cache does, if it is there, and a warning says so if not.

    Args:
        name: The run's name, for the warning.
        config: The run's.
    """
    stated = config.cache.extraction
    if stated is None:
        try:
            cache = LandmarkCache.open(find_cache(config.cache.path))
            same = cache.fingerprint == config.cache.fingerprint
        except CacheError:
            same = False
        if same:
            stated = {"detector": cache.manifest.detector.name, **cache.manifest.settings}
    if stated is None:
        stated = {"detector": config.cache.detector.partition(" ")[0]}
        logger.warning(
            "run '%s' does not state how its faces were extracted, and its cache %s is not there or has "
            "changed; default settings are used, with the detector %s",
            name,
            config.cache.path,
            stated["detector"],
        )
    known = {key: value for key, value in stated.items() if key in ExtractSettings.model_fields}
    if known.get("detector") not in DETECTORS:
        logger.warning(
            "the landmarks that run '%s' was trained on are of '%s', which is no detector of this package; "
            "the default detector is used",
            name,
            known.get("detector"),
        )
        known["detector"] = None
    return make_settings(known)


def cache_rows(cache: LandmarkCache, numbers: Sequence[int], with_image: bool) -> list[Row]:
    """Rows of a cache as they were when they were extracted, with their image if it is wanted."""
    names = [name for name in SCHEMA.names if name not in ("landmarks", "face", "blendshapes")]
    table = cache.table([*names, "blendshapes"]).take(list(numbers)).to_pylist()
    images = cache.faces(numbers) if with_image else [None] * len(numbers)
    rows = []
    for known, points, image in zip(table, cache.landmarks(numbers), images, strict=True):
        shapes, box = known.pop("blendshapes"), known.pop("box")
        row = Row(**known, box=None if box is None else tuple(box), face=image)
        row.landmarks = points if np.isfinite(points).all() else None
        row.blendshapes = None if shapes is None else np.array(shapes, np.float32)
        rows.append(row)
    return rows


def _check_confidence(least: float | None) -> None:
    if least is not None and not (isinstance(least, int | float | np.number) and 0 <= least <= 1):
        raise SettingsError(f"least_confidence must be a probability from 0 to 1, not {least!r}.")


# Classes rather than closures, so that predictions can be pickled.
@dataclass(frozen=True)
class _SourcePixels:
    """Pixels of the images of a source, by their number."""

    source: Source

    def __call__(self, number: int) -> Pixels | None:
        try:
            content = self.source.reader.read(cast(Key, self.source.entries[number].key))
            image = decode_image(content) if isinstance(content, bytes) else decode_array(content)
        except UnreadableImage:
            return None
        return cast(Pixels, image.pixels)


@dataclass(frozen=True)
class _CachePixels:
    """Pixels of the images that a cache stores, by their row."""

    cache: LandmarkCache

    def __call__(self, number: int) -> Pixels | None:
        return decoded(self.cache.faces([number])[0])
