"""Where the landmarks of a synthetic face lie: the resting face, its individual shape, expression and pose.

All in the face's own coordinates (`portrait`): the origin midway between the eyes, x to the image right, y
down, z negative toward the camera, the distance between the eyes 1. Left and right are the subject's.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.synthetic.portrait import load_portrait
from landmarkfer.data.synthetic.skin import displacement, side_weights, spread

Floats = NDArray[np.float64]

# Upper and lower points of the lips that meet when the mouth closes, inner and outer contour, from the right
# corner to the left one.
UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

# What the portrait's own smile consists of; the resting face is the portrait without it.
_SMILE = {12: 0.8, 15: -1.0, 6: 0.4}
_CLOSED_AT = 0.35  # where the lips meet, from the upper one to the lower one
_GAP = 0.012

N_SHAPES = 11


@cache
def resting_face(mirrored: bool = False) -> Floats:
    """The portrait's face without its smile and with closed lips, `[478, 3]`."""
    face = load_portrait(mirrored).face.copy()
    for number, intensity in _SMILE.items():
        face[:, :2] -= intensity * displacement(number)
    upper, lower = face[list(UPPER_INNER), 1], face[list(LOWER_INNER), 1]
    line = upper + _CLOSED_AT * (lower - upper)
    down = np.maximum(line - _GAP / 2 - upper, 0.0)
    up = np.minimum(line + _GAP / 2 - lower, 0.0)
    points = np.array([*UPPER_INNER, *UPPER_OUTER, *LOWER_INNER, *LOWER_OUTER, 152, 199, 2, 97, 326])
    moves = np.concatenate([down, down, up, up, [0.5 * up.min(), 0.7 * up.min(), 0.0, 0.0, 0.0]])
    face[:, :2] += spread(points, np.column_stack([np.zeros_like(moves), moves]), 0.15)
    # The lips themselves move as computed, so that they meet exactly.
    inner = np.array([*UPPER_INNER[1:-1], *LOWER_INNER[1:-1]])
    face[inner, 1] = np.concatenate([(line - _GAP / 2)[1:-1], (line + _GAP / 2)[1:-1]])
    face.flags.writeable = False
    return face


def shape_fields(points: Floats) -> Floats:
    """How resting faces differ from each other: displacements `[N_SHAPES, P, 2]` of `points [P, 2]`.

    Each is for one standard deviation, which is chosen here.
    """
    x, y = points[:, 0], points[:, 1]
    zero = np.zeros_like(x)

    def near(height: float, tall: float, across: float = 0.0, wide: float = np.inf) -> Floats:
        beside = np.square((np.abs(x) - across) / wide)
        return np.exp(-0.5 * (np.square((y - height) / tall) + beside))

    eye = near(0.0, 0.16, 0.5, 0.25)
    brow = near(-0.3, 0.16)
    mouth = near(1.0, 0.22, 0.0, 0.6)
    fields = [
        (0.030 * x, zero),  # width of the face
        (0.060 * x * np.clip(y - 0.5, 0.0, 1.2), zero),  # width of the jaw
        (zero, 0.050 * np.clip(y - 0.9, 0.0, None)),  # height of the chin
        (zero, 0.040 * near(0.7, 0.35, 0.0, 0.4)),  # length of the nose
        (0.08 * x * near(0.55, 0.2, 0.0, 0.3), zero),  # width of the nose
        (0.020 * np.tanh(x / 0.2) * near(0.0, 0.3), zero),  # distance of the eyes
        (zero, 0.10 * y * eye),  # opening of the eyes
        (zero, 0.025 * brow),  # height of the brows
        (zero, 0.035 * (np.abs(x) - 0.5) * brow),  # slope of the brows
        (0.05 * x * mouth, zero),  # width of the mouth
        (zero, 0.06 * (np.abs(x) - 0.25) * mouth),  # mouth corners that droop or lift by nature
    ]
    return np.stack([np.column_stack(pair) for pair in fields])


def move_face(
    face: Floats,
    action_units: Mapping[int, tuple[float, float]],
    shape: Sequence[float] = (),
    yaw: float = 0.0,
    pitch: float = 0.0,
) -> Floats:
    """Landmarks of a resting face after an expression, with another shape and a pose.

    Args:
        face: the resting face, `[478, 3]`.
        action_units: number -> intensity in the subject's right and left half.
        shape: up to `N_SHAPES` coefficients of `shape_fields`.
        yaw: turn about the vertical axis, degrees, positive toward the image right.
        pitch: nod, degrees, positive down.

    Returns:
        `[478, 2]`.
    """
    face = face.copy()
    if len(shape):
        face[:, :2] += np.tensordot(shape, shape_fields(face[:, :2])[: len(shape)], axes=1)
    right, left = side_weights()
    for number, (right_intensity, left_intensity) in action_units.items():
        face[:, :2] += (right_intensity * right + left_intensity * left) * displacement(number)
    return turn(face, yaw, pitch)[:, :2]


def turn(face: Floats, yaw: float, pitch: float) -> Floats:
    """Turn the head about a point between the ears, degrees; `[P, 3] -> [P, 3]`."""
    pivot = np.array([0.0, 0.4, 0.6])
    a, b = np.deg2rad(yaw), np.deg2rad(pitch)
    about_y = np.array([[np.cos(a), 0.0, -np.sin(a)], [0.0, 1.0, 0.0], [np.sin(a), 0.0, np.cos(a)]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(b), -np.sin(b)], [0.0, np.sin(b), np.cos(b)]])
    return (face - pivot) @ (about_x @ about_y).T + pivot
