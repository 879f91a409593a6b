"""The face detectors behind one protocol: RGB pixels in, 478 landmarks per face out.

Coordinates are MediaPipe's on the image that is given: x and y as fractions of its width and height, z on x's
scale and negative toward the camera. Detectors want square images: on others Face Mesh mistakes the turn of a
tilted face (its regions are squares in fractions, not in pixels); `face.py` sees to that.

`facemesh` is the Face Mesh solution with refined landmarks, whose models lie inside MediaPipe's wheels up to
0.10.29. `landmarker` is the Tasks Face Landmarker of any MediaPipe from 0.10.14 on; it adds 52 blendshapes
and needs a model file, `face_landmarker.task`.
"""

import contextlib
import hashlib
import importlib.util
import logging
import os
import signal
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from landmarkfer.errors import DetectorError
from landmarkfer.extraction.deferred import plotting_deferred
from landmarkfer.extraction.model_file import find_landmarker, sha256_of
from landmarkfer.extraction.packets import graph_outputs, landmark_array, unpacked_landmarks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Detection:
    """One face on one image.

    Attributes:
        landmarks: `[478, 3]` float32.
        blendshapes: `[52]` float32 from 0 to 1, or None.
        confidence: The score of the face detector from 0 to 1, or None where the backend gives none.
    """

    landmarks: np.ndarray
    blendshapes: np.ndarray | None = None
    confidence: float | None = None


class Detector(Protocol):
    """Finds faces; not to be shared between threads or processes."""

    name: str

    def detect(self, image: np.ndarray, *, threshold: float = 0.5, max_faces: int = 1) -> list[Detection]:
        """Find the faces of an image, the best scored first.

        Args:
            image: `uint8 [S, S, 3]`, RGB, contiguous.
            threshold: Score from which a face counts.
            max_faces: The most faces to return.
        """
        ...

    def close(self) -> None:
        """Free the models."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorIdentity:
    """What distinguishes one detector's landmarks from another's."""

    name: str
    version: str
    model_sha256: str


class _MediaPipeDetector(ABC):
    """Keeps one MediaPipe graph for each threshold and number of faces that were asked for.

    Args:
        video: Whether images follow each other, so that a face is looked for where it was on the last one,
            and searched only where fewer are known than were asked for. Its landmarks are not smoothed.
    """

    name = "none"

    def __init__(self, video: bool = False) -> None:
        self._video = video
        self._graphs: dict[tuple[float, int], Any] = {}
        self._quiet: set[tuple[float, int]] = set()
        # Graphs that are closed only when the interpreter is torn down print tracebacks.
        self._finalizer = weakref.finalize(self, _close_all, self._graphs)

    def detect(self, image: np.ndarray, *, threshold: float = 0.5, max_faces: int = 1) -> list[Detection]:
        """Find the faces of an image; see `Detector.detect`."""
        # MediaPipe's C++ writes remarks to the standard error when a graph starts and at its first face.
        key = (threshold, max_faces)
        with contextlib.nullcontext() if key in self._quiet else _native_stderr_closed():
            if key not in self._graphs:
                self._graphs[key] = self._checked_start(threshold, max_faces)
            found = self._run(self._graphs[key], np.ascontiguousarray(image))
        if found:
            self._quiet.add(key)
        return found

    def close(self) -> None:
        """Free the models."""
        _close_all(self._graphs)

    def _checked_start(self, threshold: float, max_faces: int) -> Any:
        try:
            return self._start(threshold, max_faces)
        except Exception as error:
            # A missing library or a file that is no model: every other image would meet it too.
            raise DetectorError(
                f"{self._source()} cannot be started with {_mediapipe_version()}: {error}"
            ) from error

    def _source(self) -> str:
        return f"the detector {self.name}"

    @abstractmethod
    def _start(self, threshold: float, max_faces: int) -> Any:
        """Load the models for a threshold and a number of faces."""

    @abstractmethod
    def _run(self, graph: Any, image: np.ndarray) -> list[Detection]:
        """Find faces with loaded models."""


class FaceMeshDetector(_MediaPipeDetector):
    """MediaPipe's Face Mesh solution with refined landmarks.

    Args:
        model: None; the models are built in.
        video: See `create_detector`.
    """

    name = "facemesh"

    def __init__(self, model: Path | None = None, video: bool = False) -> None:
        super().__init__(video)
        if model is not None:
            raise DetectorError("facemesh has its models built in and takes no file; leave --landmarker out.")
        if not self.available():
            raise DetectorError(
                f"the facemesh detector needs MediaPipe before 0.10.30, and {_mediapipe_version()} is "
                "installed; in `extract`, use --detector landmarker, or pip install 'mediapipe<0.10.30'."
            )

    @staticmethod
    def available() -> bool:
        """Return whether the installed MediaPipe has the solution and its models, without importing it."""
        folder = _mediapipe_folder()
        needed = ("python/solutions/face_mesh.py", *_FACEMESH_MODELS)
        return folder is not None and all((folder / name).is_file() for name in needed)

    @classmethod
    def identity(cls, model: Path | None = None) -> DetectorIdentity:
        """Return the name, the version and one hash of both built-in models."""
        cls(model)
        folder = _mediapipe_folder()
        assert folder is not None
        hashes = "".join(sha256_of(folder / name) for name in _FACEMESH_MODELS)
        return DetectorIdentity(cls.name, _mediapipe_version(), hashlib.sha256(hashes.encode()).hexdigest())

    def _start(self, threshold: float, max_faces: int) -> Any:
        with plotting_deferred():
            from mediapipe.python.solution_base import SolutionBase
            from mediapipe.python.solutions import face_mesh

        # As FaceMesh's own constructor does it, with the detections as a second output, for their scores.
        detector = "facedetectionshortrangecpu__facedetectionshortrange__facedetection__"
        return SolutionBase(
            binary_graph_path=face_mesh._BINARYPB_FILE_PATH,
            side_inputs={"num_faces": max_faces, "with_attention": True, "use_prev_landmarks": self._video},
            calculator_params={
                f"{detector}TensorsToDetectionsCalculator.min_score_thresh": threshold,
                "facelandmarkcpu__ThresholdingCalculator.threshold": 0.5,
            },
            outputs=["multi_face_landmarks", "face_detections"],
        )

    def _run(self, graph: Any, image: np.ndarray) -> list[Detection]:
        from mediapipe.python import packet_getter
        from mediapipe.python._framework_bindings import _packet_getter

        outputs = graph_outputs(graph, image)
        if "multi_face_landmarks" not in outputs:
            return []
        scored = "face_detections" in outputs
        detections = packet_getter.get_proto_list(outputs["face_detections"]) if scored else []
        boxes = [detection.location_data.relative_bounding_box for detection in detections]
        centres = np.array([(box.xmin + box.width / 2, box.ymin + box.height / 2) for box in boxes])
        scores = [float(detection.score[0]) for detection in detections]
        found = []
        for data in _packet_getter._get_serialized_proto_list(outputs["multi_face_landmarks"]):
            points = unpacked_landmarks(data)
            # Not every detection becomes a mesh, so a mesh's score is that of the detection at its place.
            middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
            score = scores[int(np.square(centres - middle).sum(axis=1).argmin())] if scores else None
            found.append(Detection(points, confidence=score))
        return found


class LandmarkerDetector(_MediaPipeDetector):
    """MediaPipe's Tasks Face Landmarker, with blendshapes.

    Args:
        model: The model file; by default see `model_file.find_landmarker`.
        video: See `create_detector`.
    """

    name = "landmarker"

    def __init__(self, model: Path | None = None, video: bool = False) -> None:
        super().__init__(video)
        self._milliseconds = 0
        self._model = find_landmarker(model)

    @staticmethod
    def available() -> bool:
        """Return whether MediaPipe is installed; whether the model is there is another matter."""
        return _mediapipe_folder() is not None

    @classmethod
    def identity(cls, model: Path | None = None) -> DetectorIdentity:
        """Return the name, the version and the hash of the model file."""
        return DetectorIdentity(cls.name, _mediapipe_version(), sha256_of(find_landmarker(model)))

    def _source(self) -> str:
        return f"the landmarker's model {self._model}"

    def _start(self, threshold: float, max_faces: int) -> Any:
        with plotting_deferred():
            from mediapipe.tasks.python import vision
            from mediapipe.tasks.python.core.base_options import BaseOptions

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self._model)),
            running_mode=vision.RunningMode.VIDEO if self._video else vision.RunningMode.IMAGE,
            # Of a single face, video mode would smooth the landmarks.
            num_faces=max(max_faces, 2 if self._video else 1),
            min_face_detection_confidence=threshold,
            min_face_presence_confidence=0.5,
            output_face_blendshapes=True,
        )
        graph = vision.FaceLandmarker.create_from_options(options)
        _ignore_profiling_signal()
        return graph

    def _run(self, graph: Any, image: np.ndarray) -> list[Detection]:
        import mediapipe

        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image)
        self._milliseconds += 33  # they have to rise, and matter for smoothing alone
        result = graph.detect_for_video(picture, self._milliseconds) if self._video else graph.detect(picture)
        found = []
        for points, categories in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            scores = np.array([category.score for category in categories], np.float32)
            found.append(Detection(landmark_array(points), blendshapes=scores))
        return found


DETECTORS: dict[str, Callable[[Path | None, bool], Detector]] = {
    FaceMeshDetector.name: FaceMeshDetector,
    LandmarkerDetector.name: LandmarkerDetector,
}

_IDENTITIES: dict[str, Callable[[Path | None], DetectorIdentity]] = {
    FaceMeshDetector.name: FaceMeshDetector.identity,
    LandmarkerDetector.name: LandmarkerDetector.identity,
}

_FACEMESH_MODELS = (
    "modules/face_landmark/face_landmark_with_attention.tflite",
    "modules/face_detection/face_detection_short_range.tflite",
)


def default_detector() -> str:
    """Return the detector used unless one is named: `facemesh` where there is one, else `landmarker`."""
    return FaceMeshDetector.name if FaceMeshDetector.available() else LandmarkerDetector.name


def create_detector(name: str | None = None, model: Path | None = None, *, video: bool = False) -> Detector:
    """Make a detector by name.

    Args:
        name: A key of `DETECTORS`; by default see `default_detector`.
        model: The landmarker's model file.
        video: Whether images follow each other, so that a face is looked for where it was on the last one,
            and searched only where fewer are known than were asked for. Its landmarks are not smoothed.

    Returns:
        The detector; its models are loaded at the first detection.

    Raises:
        DetectorError: The name is unknown, MediaPipe lacks the detector, or the model file is not to be had.
    """
    return DETECTORS[_checked(name)](model, video)


def detector_identity(name: str | None = None, model: Path | None = None) -> DetectorIdentity:
    """Return the identity of what `create_detector` makes, or its errors, without importing MediaPipe."""
    return _IDENTITIES[_checked(name)](model)


def _checked(name: str | None) -> str:
    name = name or default_detector()
    if name not in DETECTORS:
        raise DetectorError(f"there is no detector {name!r}; there are {', '.join(DETECTORS)}.")
    if _mediapipe_folder() is None:
        raise DetectorError("MediaPipe is not installed; install the package `mediapipe`.")
    return name


def _mediapipe_folder() -> Path | None:
    spec = importlib.util.find_spec("mediapipe")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _mediapipe_version() -> str:
    return f"mediapipe {version('mediapipe')}"


def _close_all(graphs: dict[tuple[float, int], Any]) -> None:
    while graphs:
        graphs.popitem()[1].close()


def _ignore_profiling_signal() -> None:
    """Make Python know that SIGPROF is ignored.

    MediaPipe 1.x ignores the signal without telling Python, and goes on sending it to the process. A library
    that puts back the handlers it found, as Lightning does after a training, would then let it kill us.
    """
    if not hasattr(signal, "SIGPROF") or threading.current_thread() is not threading.main_thread():
        return  # Python sets handlers in the main thread only
    if signal.getsignal(signal.SIGPROF) is signal.SIG_DFL:
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Send what native code writes to the standard error nowhere, unless debugging."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if logger.isEnabledFor(logging.DEBUG):
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
