"""The aligned crop of a face: a square in which the eyes are level and the face has a fixed size and place.

Both follow from the canonical face: its box, with a margin, fills the square. Size is measured on the
distance between the eyes and, because that shrinks when a head turns, on the distance from the eyes to the
mouth, whichever gives the larger face. What lies beyond the image repeats its edge.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from landmarkfer.face.geometry import eye_centres, to_pixels
from landmarkfer.face.landmarks import CANONICAL, INNER_LIPS_RING

MARGIN = 0.12
"""Room around the canonical face's box on every side, as a share of the box's longer side."""

_LARGEST_STEP = 1.5
"""Pixels of an image per pixel of a cut, beyond which it is shrunk first; less would blur it more."""


class Square(NamedTuple):
    """A square of an image, in pixels of the image.

    Attributes:
        centre: `[2]`.
        along: `[2]`, the direction of its upper side, of length 1.
        side: Of the square.
    """

    centre: np.ndarray
    along: np.ndarray
    side: float

    def cut(self, pixels: np.ndarray, size: int) -> np.ndarray:
        """Cut it out of an image; what lies beyond the image repeats its edge.

        Args:
            pixels: `uint8 [H, W, 3]`.
            size: Side of the cut in pixels.

        Returns:
            `uint8 [size, size, 3]`.
        """
        return _cut(pixels, *self, size)

    def place(self, points: np.ndarray, size: int) -> np.ndarray:
        """Where points of the image lie in the cut, `[N, 3] -> [N, 3]` float32, in pixels of each."""
        across = np.array([-self.along[1], self.along[0]])
        turned = (points[:, :2] - self.centre) @ np.stack([self.along, across], axis=1)  # [N, 2]
        scaled = np.column_stack([turned, points[:, 2]]) * (size / self.side)
        return (scaled + np.array([size / 2, size / 2, 0.0])).astype(np.float32)


def aligned_square(landmarks: np.ndarray, width: int, height: int) -> Square:
    """The square of an image that its aligned crop shows.

    Args:
        landmarks: `[478, 3]` fractions of the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
    """
    eyes, along, unit = _frame(to_pixels(landmarks, width, height)[:, :2])
    across = np.array([-along[1], along[0]])
    centre = eyes + unit * (_CENTRE[0] * along + _CENTRE[1] * across)
    return Square(centre, along, max(unit * _SIDE, 1.0))


def middle_square(width: int, height: int) -> Square:
    """The largest square in the middle of an image."""
    return Square(np.array([width / 2, height / 2]), np.array([1.0, 0.0]), float(max(1, min(width, height))))


def aligned_crop(pixels: np.ndarray, landmarks: np.ndarray | None, size: int) -> np.ndarray:
    """Cut the face out of an image, upright and at a fixed scale.

    Args:
        pixels: `uint8 [H, W, 3]`.
        landmarks: `[478, 3]` fractions of the image; None cuts the largest square from the middle instead.
        size: Side of the crop in pixels.

    Returns:
        `uint8 [size, size, 3]`.
    """
    height, width = pixels.shape[:2]
    square = middle_square(width, height) if landmarks is None else aligned_square(landmarks, width, height)
    return square.cut(pixels, size)


def crop_landmarks(landmarks: np.ndarray, width: int, height: int, size: int) -> np.ndarray:
    """Where a face's landmarks lie in its aligned crop.

    Args:
        landmarks: `[478, 3]` fractions of the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        size: Side of the crop in pixels.

    Returns:
        `[478, 3]` float32 in pixels of the crop, z on the same scale.
    """
    return aligned_square(landmarks, width, height).place(to_pixels(landmarks, width, height), size)


def _frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the middle of the eyes, the direction to the image right along them, and the unit of length."""
    right, left = eye_centres(points)
    eyes = (right + left) / 2
    mouth = points[list(INNER_LIPS_RING)].mean(axis=0)
    apart = float(np.linalg.norm(left - right))
    along = (left - right) / apart if apart > 0 else np.array([1.0, 0.0])
    return eyes, along, max(apart, float(np.linalg.norm(mouth - eyes)) / _EYES_TO_MOUTH)


def _cut(pixels: np.ndarray, centre: np.ndarray, along: np.ndarray, side: float, size: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    across = np.array([-along[1], along[0]])
    step = side / size  # pixels of the image per pixel of the crop
    corner = centre - side / 2 * (along + across)
    corners = np.array(
        [corner, corner + side * along, corner + side * across, corner + side * (along + across)]
    )
    low = np.floor(corners.min(axis=0)).astype(int) - 4
    high = np.ceil(corners.max(axis=0)).astype(int) + 4
    rows = np.clip(np.arange(low[1], high[1]), 0, height - 1)
    columns = np.clip(np.arange(low[0], high[0]), 0, width - 1)
    patch = Image.fromarray(pixels[rows[:, None], columns])
    whole = np.array(patch.size)
    if step > _LARGEST_STEP:  # the interpolation below would skip pixels
        kept = np.maximum(1, np.round(whole * _LARGEST_STEP / step)).astype(int)
        patch = patch.resize(tuple(kept.tolist()), Image.Resampling.LANCZOS, reducing_gap=3.0)
    (x, y), origin = patch.size / whole, (corner - low) * patch.size / whole
    affine = (
        *(x * step * along[0], x * step * across[0], origin[0]),
        *(y * step * along[1], y * step * across[1], origin[1]),
    )
    crop = patch.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    return np.asarray(crop)


def _canonical_geometry() -> tuple[float, np.ndarray, float]:
    """Measure the canonical face in distances between its eyes: eyes to mouth, centre of its box, crop."""
    points = CANONICAL[:, :2]
    right, left = eye_centres(points)
    eyes, apart = (right + left) / 2, float(np.linalg.norm(left - right))
    mouth = points[list(INNER_LIPS_RING)].mean(axis=0)
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    return float(np.linalg.norm(mouth - eyes)) / apart, ((low + high) / 2 - eyes) / apart, side / apart


_EYES_TO_MOUTH, _CENTRE, _SIDE = _canonical_geometry()
