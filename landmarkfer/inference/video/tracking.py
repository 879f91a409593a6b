"""A video or a camera tracked: a stream of frames, each with its faces distinguished and predicted.

Frames are taken in order and once. Faces are looked for as MediaPipe does in video mode: where they were on
the frame before, and everywhere while fewer are known than there may be. Small faces are not seen so: once a
second, and after a cut, a frame is searched as a photograph is, and what is found then is followed too.
Landmarks are of one detection, and are not smoothed. With `search="image"` each frame is searched as a
photograph, with the detections that the model's training images had, which takes several times as long.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from landmarkfer.data.row import Row
from landmarkfer.errors import SettingsError
from landmarkfer.extraction.decode import DecodedImage
from landmarkfer.extraction.detect import FaceResult, detect_faces
from landmarkfer.extraction.detectors import create_detector
from landmarkfer.extraction.follow import FaceFollower
from landmarkfer.extraction.process import OpenedImage, failures_noted
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.face.geometry import to_pixels
from landmarkfer.inference.faces import Faces
from landmarkfer.inference.find import FaceFinder, FoundFace, Wanted
from landmarkfer.inference.network import ModelInfo
from landmarkfer.inference.options import Options
from landmarkfer.inference.video.association import AWAY_S, TrackKeeper
from landmarkfer.inference.video.clip import VideoFrame
from landmarkfer.inference.video.frame import TrackedFrame
from landmarkfer.inference.video.shots import CutDetector
from landmarkfer.inference.video.smoothing import TIME_CONSTANT_S, Smoother

Search = Literal["video", "image"]
MOST_FACES = 10
"""Faces that a frame is searched for."""
_APART = 1.5  # times the usual distance of two frames that is no gap


class FrameSource(Protocol):
    """Where frames come from: a file, a camera, or anything else that has these."""

    @property
    def name(self) -> str:
        """What its frames are called."""
        ...

    @property
    def rate(self) -> float:
        """Frames a second; 0 if unknown."""
        ...

    def frames(self, fps: float | None = None) -> Iterator[VideoFrame]:
        """The frames in order, at most so many a second."""
        ...


class FaceModel(Protocol):
    """What predicts the faces: a `Predictor`."""

    info: ModelInfo
    extraction: ExtractSettings

    def classify(self, faces: list[FoundFace], options: Options) -> Faces:
        """Predict the faces of one image."""
        ...


@dataclass(frozen=True)
class TrackOptions:
    """How a video is tracked.

    Attributes:
        fps: The most frames a second that are taken; all if None.
        faces: `all` faces of a frame, or the `largest` alone.
        search: How faces are looked for; see the top of this module.
        smoothing_s: Time constant of the smoothing of probabilities, in seconds; 0 for none.
    """

    fps: float | None = None
    faces: Wanted = "all"
    search: Search = "video"
    smoothing_s: float = TIME_CONSTANT_S

    def __post_init__(self) -> None:
        if self.fps is not None and not self.fps > 0:
            raise SettingsError(f"fps is {self.fps:g}; give frames a second above 0.")
        if not 0 <= self.smoothing_s < float("inf"):
            raise SettingsError(f"smoothing is {self.smoothing_s:g} s; give seconds from 0 on.")
        for name, known in (("faces", get_args(Wanted)), ("search", get_args(Search))):
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} must be {' or '.join(known)}, not {getattr(self, name)!r}.")

    def gap_s(self, rate: float) -> float:
        """Seconds without a face from which on there is a gap, of a source of some frames a second."""
        taken = min(rate or np.inf, self.fps or np.inf)
        return max(AWAY_S, _APART / taken if np.isfinite(taken) else 0.0)


def track_frames(
    model: FaceModel,
    source: FrameSource,
    options: TrackOptions,
    prediction: Options,
    landmarker: Path | None = None,
) -> Iterator[TrackedFrame]:
    """Predict a video, frame by frame.

    Args:
        model: Predicts the faces.
        source: The frames.
        options: How they are tracked.
        prediction: How faces are predicted.
        landmarker: The model file of the `landmarker` detector.

    Yields:
        Each frame that is taken, in order.
    """
    finder = _VideoFinder(model, options, landmarker)
    gap_s = options.gap_s(source.rate)
    keeper, is_cut = TrackKeeper(gap_s), CutDetector()
    smooth = Smoother(options.smoothing_s, gap_s)
    classes = len(model.info.classes)
    try:
        for frame in source.frames(options.fps):
            cut = is_cut(frame.pixels)
            faces = model.classify(finder(source.name, frame, cut), prediction)
            found = np.array([status == "ok" for status in faces.statuses])
            points = to_pixels(faces.landmarks[found], faces.sizes[found, 0], faces.sizes[found, 1])
            numbers = iter(keeper.assign(frame.time_s, points, cut=cut))
            tracks = tuple(next(numbers) if there else None for there in found)
            smoothed, change = np.full((len(faces), classes), np.nan), np.full(len(faces), np.nan)
            for row, number in enumerate(tracks):
                if number is not None:
                    step = smooth(number, frame.time_s, faces.probabilities[row])
                    smoothed[row], change[row] = step.smoothed, step.change
            yield TrackedFrame(frame.number, frame.time_s, cut, faces, tracks, smoothed, change, frame.pixels)
    finally:
        finder.close()


class _VideoFinder:
    """The faces of one frame after the other, as the model is given them."""

    def __init__(self, model: FaceModel, options: TrackOptions, landmarker: Path | None) -> None:
        info = model.info
        self._finder = FaceFinder(info.frame, info.images is not None, options.faces, None, info.crops)
        self._settings = model.extraction.model_copy(update={"max_faces": MOST_FACES})
        self._options = options
        name = self._settings.detector
        self._detector = create_detector(name, landmarker)
        self._video = create_detector(name, landmarker, video=True)
        self._follower = FaceFollower(self._detector, self._video, self._settings)

    def __call__(self, name: str, frame: VideoFrame, cut: bool) -> list[FoundFace]:
        image = self._finder.coloured(DecodedImage(frame.pixels, plain=False))
        height, width = frame.pixels.shape[:2]
        row = Row(id=name, width=width, height=height)
        faces: list[FoundFace] = []
        with failures_noted(row, self):
            found = [(result, None) for result in self._search(image.pixels, frame.time_s, cut)]
            faces = self._finder.given(OpenedImage(row, image), found, self._detector, self._settings)
        if row.status == "unreadable" or not faces:
            row.status = "unreadable" if row.status == "unreadable" else "no_face"
            return [FoundFace(row, row)]
        return faces

    def close(self) -> None:
        """Free the models; they are loaded again when they are needed."""
        self._detector.close()
        self._video.close()

    def _search(self, pixels: np.ndarray, time_s: float, cut: bool) -> list[FaceResult]:
        """The faces of a frame, the largest first."""
        if self._options.search == "image":
            found = detect_faces(self._detector, pixels, self._settings)
        else:
            found = self._follower(pixels, time_s, cut=cut)
        return found[:1] if self._options.faces == "largest" else found
