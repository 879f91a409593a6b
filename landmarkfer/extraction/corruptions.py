"""What can happen to a picture of a face: blur, noise, darkness, compression, turning, and things before it.

A corruption is a pure function `(image, severity, landmarks, rng) -> image` of `uint8 [H, W]` or `[H, W, C]`;
the severity is 1 to 5. Lengths are shares of the face's size in the picture, so that small and large pictures
suffer alike; the size, and where things are, come from the clean picture's landmarks, `[478, 3]` fractions of
the image, or where there are none from the canonical face in the middle of the picture. Left and right are
the subject's.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", 2019, with five severities of each as there; what is put before the face is our own.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull
from skimage.transform import rotate as rotate_image

from landmarkfer.errors import SettingsError
from landmarkfer.face.geometry import roll_angle, rotate, to_pixels
from landmarkfer.face.landmarks import (
    CANONICAL,
    FACE_OVAL_RING,
    LEFT_EYE_RING,
    OUTER_LIPS_RING,
    RIGHT_EYE_RING,
    region_points,
)

Pixels = NDArray[np.uint8]
Floats = NDArray[Any]
Corruption = Callable[[Pixels, int, Floats | None, np.random.Generator], Pixels]

SEVERITIES = (1, 2, 3, 4, 5)

CANONICAL_SHARE = 0.9
"""Height of the canonical face over the shorter side of the picture, as of the mean face of FER2013."""

# One entry for each severity.
_BLUR = (0.012, 0.024, 0.036, 0.054, 0.08)  # standard deviation over the face's size
_NOISE = (0.02, 0.035, 0.055, 0.08, 0.12)  # standard deviation over the range of values
_GAIN = (0.6, 0.4, 0.25, 0.15, 0.09)  # of the light
_PHOTONS = (2000, 1400, 1000, 700, 500)  # of a white pixel before the gain
_QUALITY = (30, 20, 12, 7, 3)  # of the JPEG
_FACE_PIXELS = (28, 21, 16, 12, 8)  # what low resolution leaves of the face's size
_DEGREES = (15, 30, 45, 60, 75)
_EYES = (0.5, 0.75, 1.0, 1.3, 1.7)  # of the bar, over the extent of eyes and brows
_MOUTH = (0.6, 0.9, 1.2, 1.6, 2.0)  # of the bar, over the extent of the lips
_HALF = (0.2, 0.35, 0.5, 0.6, 0.7)  # of the face's width
_LENSES = (0.6, 0.8, 1.0, 1.2, 1.4)  # over the extent of brow, eye and what lies under it
# What the mask's upper border lies on in the middle: under the lips, over them, the nose's tip, its bridge.
_MASK_TOPS = (17, 0, 1, 195, 6)

_GAMMA = 1.3
_GRAINS = 64  # of noise along a face: finer noise than a detector or a network sees would not be there
_JPEG_FACE = 96  # pixels: pictures that are compressed hard are shown small
_FINE = 4  # polygons are drawn so many times finer, for smooth edges
_GREY, _DARK, _MASK = (127, 127, 127), (22, 22, 24), (170, 204, 222)

_EYES_AND_BROWS = [
    *(*RIGHT_EYE_RING, *region_points("right_brow")),
    *(*LEFT_EYE_RING, *region_points("left_brow")),
]
_LENS_POINTS = {
    side: np.concatenate([region_points(f"{side}_{part}") for part in ("brow", "eye", "under_eye")])
    for side in ("right", "left")
}
_TEMPLES = {"right": 127, "left": 356}


def blur(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """Gaussian blur."""
    sigma = _at(_BLUR, severity) * _face_size(image, landmarks)
    return gaussian_filter(image, (sigma, sigma, 0)[: image.ndim], mode="nearest")


def noise(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """Gaussian noise, as coarse as the face's size makes it visible."""
    grains = _grains(image, _face_size(image, landmarks), rng)
    return _to_bytes(image / 255 + _at(_NOISE, severity) * grains)


def low_light(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """Too little light: darker, with the dark parts crushed, and the noise of few photons."""
    light = _at(_GAIN, severity) * (image / 255) ** _GAMMA
    grains = _grains(image, _face_size(image, landmarks), rng)
    return _to_bytes(light + np.sqrt(light / _at(_PHOTONS, severity)) * grains)


def jpeg(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """Hard JPEG compression, of large pictures at the size of a preview."""
    picture = Image.fromarray(image)
    scale = min(1.0, _JPEG_FACE / _face_size(image, landmarks))
    file = io.BytesIO()
    _scaled(picture, scale).save(file, "JPEG", quality=_at(_QUALITY, severity))
    with Image.open(file) as found:
        return np.asarray(found.resize(picture.size, Image.Resampling.BICUBIC))


def low_resolution(
    image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator
) -> Pixels:
    """A face of few pixels, enlarged again."""
    picture = Image.fromarray(image)
    scale = min(1.0, _at(_FACE_PIXELS, severity) / _face_size(image, landmarks))
    return np.asarray(_scaled(picture, scale).resize(picture.size, Image.Resampling.BICUBIC))


def rotation(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """The picture turned about the face's middle, to a side that is drawn; its edges are repeated."""
    points = _points(image, landmarks)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    degrees = _at(_DEGREES, severity) * rng.choice([-1, 1])
    turned = rotate_image(image / 255, degrees, center=middle - 0.5, order=1, mode="edge")
    return _to_bytes(turned)


def occluded_eyes(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """A grey bar over eyes and brows."""
    points = _points(image, landmarks)
    return _paint(image, [_bar(points, _EYES_AND_BROWS, _at(_EYES, severity))], _GREY)


def occluded_mouth(
    image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator
) -> Pixels:
    """A grey bar over the mouth."""
    points = _points(image, landmarks)
    return _paint(image, [_bar(points, OUTER_LIPS_RING, _at(_MOUTH, severity))], _GREY)


def half_face(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """The left or the right part of the face, which is drawn, behind a grey edge."""
    points = _points(image, landmarks)
    angle = roll_angle(points)
    upright = rotate(points, -angle)
    (left, top), (right, bottom) = upright.min(axis=0), upright.max(axis=0)
    width, height = right - left, bottom - top
    covered = _at(_HALF, severity) * width
    # Beyond the face's own border, since hair and ears belong to the half as well.
    start, end = (left - width, left + covered) if rng.random() < 0.5 else (right - covered, right + width)
    top, bottom = top - height, bottom + height
    corners = np.array([[start, top], [end, top], [end, bottom], [start, bottom]])
    return _paint(image, [rotate(corners, angle)], _GREY)


def sunglasses(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """Two dark lenses over eyes and brows, with a bridge and temples."""
    points = _points(image, landmarks)
    width = 0.02 * _face_size(image, landmarks)
    lenses = {
        side: _grown_hull(points[chosen], _at(_LENSES, severity)) for side, chosen in _LENS_POINTS.items()
    }
    middles = {side: lens.mean(axis=0) for side, lens in lenses.items()}
    bridge = _wire(middles["right"], middles["left"], width)
    temples = [_wire(middle, points[_TEMPLES[side]], width) for side, middle in middles.items()]
    return _paint(image, [*lenses.values(), bridge, *temples], _DARK)


def mask(image: Pixels, severity: int, landmarks: Floats | None, rng: np.random.Generator) -> Pixels:
    """A surgical mask, which at the low severities has slipped down to the mouth and the chin."""
    points = _points(image, landmarks)
    angle = roll_angle(points)
    upright = rotate(points, -angle)
    oval = upright[list(FACE_OVAL_RING)]
    middle = upright[_at(_MASK_TOPS, severity)]
    chin = oval[:, 1].max()
    # The upper border falls from the nose to the ears' loops, a quarter of what remains of the face.
    sides = oval[oval[:, 1] > middle[1] + 0.25 * (chin - middle[1])]
    return _paint(image, [rotate(np.vstack([sides, middle]), angle)], _MASK)


CORRUPTIONS: dict[str, Corruption] = {
    "blur": blur,
    "noise": noise,
    "low-light": low_light,
    "jpeg": jpeg,
    "low-resolution": low_resolution,
    "rotation": rotation,
    "occluded-eyes": occluded_eyes,
    "occluded-mouth": occluded_mouth,
    "half-face": half_face,
    "sunglasses": sunglasses,
    "mask": mask,
}


def corrupt(image: Pixels, name: str, severity: int, landmarks: Floats | None, image_id: str) -> Pixels:
    """Corrupt one picture, always in the same way.

    What is drawn at random depends on the picture and the corruption alone: from one severity to the next the
    same half is hidden and the same noise grows.

    Args:
        image: `uint8 [H, W]` or `[H, W, C]`.
        name: A key of `CORRUPTIONS`.
        severity: 1 to 5.
        landmarks: `[478, 3]`, fractions of the clean picture; None, or NaN, where no face was found.
        image_id: What distinguishes the picture from all others.

    Returns:
        A new picture of the same shape.

    Raises:
        SettingsError: There is no such corruption or severity.
    """
    if name not in CORRUPTIONS:
        raise SettingsError(f"there is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}.")
    if severity not in SEVERITIES:
        raise SettingsError(
            f"the severity is {severity}; it must be one of {', '.join(map(str, SEVERITIES))}."
        )
    if landmarks is not None and not np.isfinite(landmarks).all():
        landmarks = None
    return CORRUPTIONS[name](image, severity, landmarks, drawing(f"{name}/{image_id}"))


def drawing(what: str) -> np.random.Generator:
    """A generator that draws for one thing, of this name, always the same."""
    digest = hashlib.sha256(what.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _at(values: Sequence[Any], severity: int) -> Any:
    return values[severity - 1]


def _points(image: Pixels, landmarks: Floats | None) -> Floats:
    """The landmarks in pixels of the picture, `[478, 2]`."""
    height, width = image.shape[:2]
    if landmarks is not None:
        return to_pixels(landmarks, width, height)[:, :2].astype(np.float64)
    face = CANONICAL[:, :2].astype(np.float64)
    low, high = face.min(axis=0), face.max(axis=0)
    scale = CANONICAL_SHARE * min(width, height) / (high - low).max()
    return (face - (low + high) / 2) * scale + (width / 2, height / 2)


def _face_size(image: Pixels, landmarks: Floats | None) -> float:
    """The longer side of the face's box in pixels."""
    return max(1.0, float(np.ptp(_points(image, landmarks), axis=0).max()))


def _grains(image: Pixels, face: float, rng: np.random.Generator) -> Floats:
    """Normal noise of the picture's shape, in squares of `face / _GRAINS` pixels if that is more than one."""
    scale = min(1.0, _GRAINS / face)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    drawn = rng.standard_normal((height, width, *image.shape[2:]))
    rows = np.arange(image.shape[0]) * height // image.shape[0]
    columns = np.arange(image.shape[1]) * width // image.shape[1]
    return drawn[rows[:, None], columns]


def _scaled(picture: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX)


def _bar(points: Floats, chosen: Sequence[int], grow: float) -> Floats:
    """Corners `[4, 2]` of the rectangle, level with the eyes, around some points, made larger by a factor."""
    angle = roll_angle(points)
    upright = rotate(points, -angle)[list(chosen)]
    low, high = upright.min(axis=0), upright.max(axis=0)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * grow * (high - low) / 2
    return rotate(corners + (low + high) / 2, angle)


def _grown_hull(points: Floats, grow: float) -> Floats:
    """The convex hull `[K, 2]` of points, made larger about its middle by a factor."""
    hull = points[ConvexHull(points).vertices]
    middle = (hull.min(axis=0) + hull.max(axis=0)) / 2
    return middle + grow * (hull - middle)


def _wire(start: Floats, end: Floats, width: float) -> Floats:
    """The corners `[4, 2]` of a line of some width."""
    along = (end - start) / max(1e-9, float(np.linalg.norm(end - start)))
    across = np.array([-along[1], along[0]]) * width / 2
    return np.array([start - across, end - across, end + across, start + across])


def _paint(image: Pixels, polygons: Sequence[Floats], colour: tuple[int, int, int]) -> Pixels:
    """Fill polygons `[K, 2]` in pixels, with smooth edges; grey pictures get the colour's luminance."""
    height, width = image.shape[:2]
    fine = Image.new("L", (width * _FINE, height * _FINE))
    pen = ImageDraw.Draw(fine)
    for polygon in polygons:
        if len(polygon) > 2:  # of a mask over a chin that lies above the lips, nothing is left
            pen.polygon([(float(x), float(y)) for x, y in polygon * _FINE], fill=255)
    share = np.asarray(fine.reduce(_FINE)) / 255
    if image.ndim == 2:
        paint: Any = Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
    else:
        share, paint = share[..., None], np.array(colour)
    return _to_bytes((image * (1 - share) + paint * share) / 255)


def _to_bytes(values: Floats) -> Pixels:
    """Values from 0 to 1, and beyond, as bytes."""
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
