"""The one photograph that synthetic faces start from, with its 478 landmarks, in the coordinates of the face.

The portrait is scikit-image's `astronaut`: Eileen Collins, photographed by NASA, in the public domain. Its
landmarks lie beside this module in `astronaut_landmarks.csv`, so that no detector is needed to make faces;
`experiments/data/portrait_landmarks.py` measures them anew.

Two coordinate systems: pixels of the picture (x to the right, y down; the first pixel covers 0 to 1), and
the face's own: the origin midway between the eye centres, x along the line between the eyes, to the image
right, y down the face, and the distance between the eyes 1. Landmarks have a z, negative toward the camera.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from landmarkfer.face.geometry import eye_centres, interocular, roll_angle
from landmarkfer.face.landmarks import MIRROR, N_LANDMARKS

Floats = NDArray[np.float64]

TOP_BORDER = 96
"""Rows of backdrop that `load_portrait` adds above the picture, where the hair nearly touches its border."""

_BACKDROP_ROWS = 12


@dataclass(frozen=True)
class Placement:
    """Where a face lies in a picture: the map between its own coordinates and pixels.

    Attributes:
        origin: x and y of the point midway between the eyes, pixels.
        angle: roll of the head, radians, positive clockwise as seen.
        unit: distance between the eye centres, pixels.
    """

    origin: tuple[float, float]
    angle: float
    unit: float

    def to_pixels(self, points: Floats) -> Floats:
        """Points of the face in pixels, `[..., 2] -> [..., 2]`."""
        return points @ self._turn.T * self.unit + self.origin

    def to_face(self, pixels: Floats) -> Floats:
        """Pixels in the coordinates of the face, `[..., 2] -> [..., 2]`."""
        return (pixels - np.array(self.origin)) @ self._turn / self.unit

    @property
    def _turn(self) -> Floats:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class Portrait:
    """A photograph and where the face in it is.

    Attributes:
        image: uint8 `[H, W, 3]`, RGB.
        landmarks: float64 `[478, 3]`, pixels.
        placement: of the face in the image.
        face: the landmarks in the face's own coordinates, `[478, 3]`.
    """

    image: NDArray[np.uint8]
    landmarks: Floats
    placement: Placement
    face: Floats


@cache
def load_portrait(mirrored: bool = False) -> Portrait:
    """The portrait, with backdrop added above the hair, or its mirror image; both are read-only."""
    from skimage.data import astronaut

    picture = astronaut()
    # The rows above the hair show nothing but the backdrop; mirrored to and fro they continue it.
    above = np.pad(picture[:_BACKDROP_ROWS], ((TOP_BORDER, 0), (0, 0), (0, 0)), mode="symmetric")
    image = np.concatenate([above[:TOP_BORDER], picture])
    landmarks = read_landmarks() + np.array([0.0, TOP_BORDER, 0.0])
    if mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
        landmarks = landmarks[MIRROR] * (-1.0, 1.0, 1.0) + (image.shape[1], 0.0, 0.0)
    x, y = np.mean(eye_centres(landmarks[:, :2]), axis=0)
    placement = Placement((float(x), float(y)), float(roll_angle(landmarks)), float(interocular(landmarks)))
    face = np.column_stack([placement.to_face(landmarks[:, :2]), landmarks[:, 2] / placement.unit])
    for array in (image, landmarks, face):
        array.flags.writeable = False
    return Portrait(image, landmarks, placement, face)


def read_landmarks() -> Floats:
    """The stored landmarks of the original picture, `[478, 3]`, pixels."""
    text = files("landmarkfer.data.synthetic").joinpath("astronaut_landmarks.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    points = np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
    if points.shape != (N_LANDMARKS, 3):
        raise ValueError(f"astronaut_landmarks.csv must hold {N_LANDMARKS} points, got {len(points)}")
    return points
