"""Finding the face of one image: which views are tried, which face is selected, how detections are averaged.

The pipeline, prediction and the app all call `detect_face`, so that a face is treated the same everywhere.
Coordinates of results are fractions of the image as in `detectors.py`, whatever window they came from.
"""

from dataclasses import dataclass, replace

import numpy as np

from landmarkfer.extraction.detectors import Detection, Detector
from landmarkfer.extraction.settings import RETRY_LENIENCE, ExtractSettings
from landmarkfer.extraction.windows import CLOSE_UPS, TileView, Window, close_up, searches, windows
from landmarkfer.face.blendshapes import BLENDSHAPE_MIRROR

Box = tuple[float, float, float, float]

BOX_SCALES = (1.6, 1.0, 2.5)
"""Windows around a given box that are searched, by turns, in multiples of its longer side."""

GROUP_SHARE = 0.35
"""Where the largest face is smaller than this share of the image's shorter side, there may be many."""

# Boxes that share more than this of their union are of one face.
SAME_FACE = 0.3


@dataclass(frozen=True, slots=True)
class FaceResult:
    """What was found on one image.

    Attributes:
        landmarks: `[478, 3]` float32, the mean of all detections of the selected face; None without a face.
        blendshapes: `[52]` float32, their mean, or None.
        box: `(x0, y0, x1, y1)` of the landmarks, or None.
        confidence: Score of the first detection, where the detector gives one.
        faces: Number of faces that the successful view showed.
        detections: Number of detections averaged.
        spread: RMS distance of their points from the mean, over the RMS radius of the face; None for one.
        attempts: Each view that was tried as `name@threshold=faces`, with spaces between.
        deviation: `[478, 3]` float16, how far the first detection lies from the mean; None for one.
    """

    landmarks: np.ndarray | None
    blendshapes: np.ndarray | None
    box: Box | None
    confidence: float | None
    faces: int
    detections: int
    spread: float | None
    attempts: str
    deviation: np.ndarray | None = None

    @property
    def found(self) -> bool:
        """Whether there is a face."""
        return self.landmarks is not None


NO_FACE = FaceResult(None, None, None, None, 0, 0, None, "")
"""What is found where nothing was tried."""


def detect_face(detector: Detector, image: np.ndarray, settings: ExtractSettings | None = None) -> FaceResult:
    """Find the face of an image.

    Args:
        detector: From `create_detector`.
        image: `uint8 [H, W, 3]`, RGB, upright.
        settings: How to look; `detector` and `crop` of it do not matter here.

    Returns:
        The face, or a result without landmarks that lists what was tried.
    """
    settings = settings or ExtractSettings()
    height, width = image.shape[:2]
    faces, attempts = _search(detector, image, settings)
    if not faces:
        return replace(NO_FACE, attempts=" ".join(attempts))
    return _complete(
        detector, image, settings, _choose(faces, settings.keep, width, height), len(faces), attempts
    )


def detect_faces(
    detector: Detector, image: np.ndarray, settings: ExtractSettings | None = None
) -> list[FaceResult]:
    """Find all faces of an image, at most `settings.max_faces`.

    Args:
        detector: From `create_detector`.
        image: `uint8 [H, W, 3]`, RGB, upright.
        settings: How to look; `detector`, `keep` and `crop` of it do not matter here.

    Returns:
        The faces, the largest first; none where none was found.
    """
    settings = settings or ExtractSettings()
    faces, attempts = _search(detector, image, settings)
    if faces:
        faces = _with_smaller(detector, image, settings, faces, attempts)
    faces = sorted(faces, key=lambda face: -_area(face))[: settings.max_faces]
    return [_complete(detector, image, settings, face, len(faces), attempts) for face in faces]


def follow_faces(
    detector: Detector, image: np.ndarray, settings: ExtractSettings | None = None
) -> list[FaceResult]:
    """Find the faces of the next image of a video: in its first view, once, without retries.

    Args:
        detector: From `create_detector`, with `video`.
        image: `uint8 [H, W, 3]`, RGB, upright.
        settings: `threshold` and `max_faces` of it matter here.

    Returns:
        The faces, the largest first; none where none was found.
    """
    settings = (settings or ExtractSettings()).model_copy(update={"passes": 1})
    height, width = image.shape[:2]
    view, _ = searches(width, height)
    faces = _look(detector, image, windows(view, width, height), settings.threshold, settings.max_faces)
    attempts = [f"{view.name}@{settings.threshold:g}={len(faces)}"]
    faces = sorted(faces, key=lambda face: -_area(face))
    return [_complete(detector, image, settings, face, len(faces), attempts) for face in faces]


def detect_in_box(
    detector: Detector, image: np.ndarray, box: Box, settings: ExtractSettings | None = None
) -> FaceResult:
    """Find the face of which the box is known.

    Args:
        detector: From `create_detector`.
        image: `uint8 [H, W, 3]`, RGB, upright.
        box: `(x0, y0, x1, y1)` in pixels.
        settings: How to look; retries and close-ups are as lenient as in `detect_face`.

    Returns:
        The face nearest to the middle of the box, or a result without landmarks.
    """
    settings = settings or ExtractSettings()
    x0, y0, x1, y1 = box
    lenient = round(settings.threshold * RETRY_LENIENCE, 4)
    attempts = []
    for scale in BOX_SCALES:
        side = max(x1 - x0, y1 - y0) * scale
        window = Window((x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side)
        faces = _look(detector, image, [window], lenient, 1)
        attempts.append(f"box*{scale}@{lenient:g}={len(faces)}")
        if faces:
            return _complete(detector, image, settings, faces[0], 1, attempts)
    return replace(NO_FACE, attempts=" ".join(attempts))


def _search(
    detector: Detector, image: np.ndarray, settings: ExtractSettings
) -> tuple[list[Detection], list[str]]:
    """The faces of the first view that shows any, and each view that was tried."""
    height, width = image.shape[:2]
    lenient = round(settings.threshold * RETRY_LENIENCE, 4)
    attempts = []
    first, retries = searches(width, height)
    tries = [(first, settings.threshold), *((view, lenient) for view in retries[: settings.retries])]
    for view, threshold in tries:
        opened = windows(view, width, height)
        if not opened:
            continue
        faces = _look(detector, image, opened, threshold, settings.max_faces)
        attempts.append(f"{view.name}@{threshold:g}={len(faces)}")
        if faces:
            return faces, attempts
    return [], attempts


def _with_smaller(
    detector: Detector,
    image: np.ndarray,
    settings: ExtractSettings,
    faces: list[Detection],
    attempts: list[str],
) -> list[Detection]:
    """The faces that were found, and those that the detector sees only where they fill more of its view."""
    height, width = image.shape[:2]
    box = _box(max(faces, key=_area).landmarks)
    extent = max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    group = extent < GROUP_SHARE * min(width, height)
    every = list(faces)
    for view in (TileView(1), TileView(2)) if group else (TileView(1),):
        opened = windows(view, width, height)
        if not opened:
            continue
        seen = _look(detector, image, opened, settings.threshold, settings.max_faces)
        attempts.append(f"{view.name}@{settings.threshold:g}={len(seen)}")
        every += [face for face in seen if all(_overlap(face, other) <= SAME_FACE for other in every)]
    return every


def _complete(
    detector: Detector,
    image: np.ndarray,
    settings: ExtractSettings,
    selected: Detection,
    faces: int,
    attempts: list[str],
) -> FaceResult:
    """A face with the close-ups of it that are averaged."""
    height, width = image.shape[:2]
    lenient = round(settings.threshold * RETRY_LENIENCE, 4)
    attempts = list(attempts)
    sightings = [selected]
    for close in CLOSE_UPS[: settings.passes - 1]:
        window = close_up(close, selected.landmarks, width, height)
        seen = _look(detector, image, [window], lenient, 1)
        same = [face for face in seen if _overlap(face, selected) > SAME_FACE]
        attempts.append(f"{close.name}@{lenient:g}={len(same)}")
        sightings += same
    landmarks = _mean([face.landmarks for face in sightings])
    shapes = [face.blendshapes for face in sightings if face.blendshapes is not None]
    return FaceResult(
        landmarks=landmarks,
        blendshapes=_mean(shapes) if shapes else None,
        box=_box(landmarks),
        confidence=selected.confidence,
        faces=faces,
        detections=len(sightings),
        spread=_spread([face.landmarks for face in sightings], landmarks, width, height),
        attempts=" ".join(attempts),
        deviation=(selected.landmarks - landmarks).astype(np.float16) if len(sightings) > 1 else None,
    )


def _look(
    detector: Detector, image: np.ndarray, opened: list[Window], threshold: float, max_faces: int
) -> list[Detection]:
    """Search windows and return the distinct faces, best scored first, in fractions of the image."""
    height, width = image.shape[:2]
    found: list[tuple[np.ndarray, Detection]] = []  # with the landmarks in the window
    for window in opened:
        for face in detector.detect(window.canvas(image), threshold=threshold, max_faces=max_faces):
            shapes = face.blendshapes
            if window.mirrored and shapes is not None:
                shapes = shapes[BLENDSHAPE_MIRROR]
            points = window.to_image(face.landmarks, width, height)
            found.append((face.landmarks, replace(face, landmarks=points, blendshapes=shapes)))
    if len(found) == 1:
        return [found[0][1]]
    # Overlapping tiles show a face more than once, and the one that has it in its middle shows it whole.
    found.sort(key=lambda pair: float(np.abs(pair[0][:, :2].mean(axis=0) - 0.5).max()))
    distinct: list[Detection] = []
    for _, face in found:
        if all(_overlap(face, other) <= SAME_FACE for other in distinct):
            distinct.append(face)
    distinct.sort(key=lambda face: -(face.confidence or 0.0))
    return distinct[:max_faces]


def _choose(faces: list[Detection], keep: str, width: int, height: int) -> Detection:
    def distance(face: Detection) -> float:
        x0, y0, x1, y1 = _box(face.landmarks)
        return float(np.hypot((x0 + x1 - 1) * width, (y0 + y1 - 1) * height))

    if len(faces) == 1:
        return faces[0]
    return min(faces, key=distance) if keep == "central" else max(faces, key=_area)


def _area(face: Detection) -> float:
    x0, y0, x1, y1 = _box(face.landmarks)
    return (x1 - x0) * (y1 - y0)


def _box(landmarks: np.ndarray) -> Box:
    x, y = landmarks[:, 0], landmarks[:, 1]  # four reductions of one column are faster than two of two
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _overlap(face: Detection, other: Detection) -> float:
    return box_overlap(_box(face.landmarks), _box(other.landmarks))


def box_overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0].astype(np.float32)
    return np.mean(arrays, axis=0, dtype=np.float64).astype(np.float32)


def _spread(sightings: list[np.ndarray], mean: np.ndarray, width: int, height: int) -> float | None:
    if len(sightings) < 2:
        return None
    pixels = np.array([width, height])
    apart = (np.stack(sightings)[..., :2] - mean[:, :2]) * pixels  # [n, 478, 2]
    radius = (mean[:, :2] - mean[:, :2].mean(axis=0)) * pixels
    return float(np.sqrt(np.square(apart).sum(axis=-1).mean() / np.square(radius).sum(axis=-1).mean()))
