"""Move the landmarks of a portrait: which points hold the warp, and where each pixel then comes from."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.synthetic.portrait import Placement, Portrait
from landmarkfer.data.synthetic.skin import mesh_distances
from landmarkfer.data.synthetic.warp import ThinPlate, grid_interpolation
from landmarkfer.face.landmarks import (
    FACE_OVAL_RING,
    INNER_LIPS_RING,
    LEFT_EYE_RING,
    MIRROR,
    N_MESH,
    OUTER_LIPS_RING,
    RIGHT_EYE_RING,
)

Floats = NDArray[np.float64]

_SMOOTHING = 1e-4
_RIGHT_BROW = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55)
_RIGHT_NOSE_WING = (49, 64, 98)
_IRISES = (468, 469, 471, 473, 474, 476)
# The pupils stay round; iris tops and bottoms lie behind the lids, which move over them.
_PUPILS = ((468, 470), (468, 472), (473, 475), (473, 477))
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
# Round the head nothing moves but with the whole.
_ANCHORS = np.column_stack([2.6 * np.cos(_ANGLES), 0.2 + 2.6 * np.sin(_ANGLES)])


@cache
def control_landmarks(count: int) -> NDArray[np.int64]:
    """The landmarks that hold a warp: contours, irises, and of the skin so many that the rest follow.

    Args:
        count: how many, from the contours alone to all but four.
    """
    kept = [*INNER_LIPS_RING, *OUTER_LIPS_RING, *RIGHT_EYE_RING, *LEFT_EYE_RING, *FACE_OVAL_RING]
    for point in (*_RIGHT_BROW, *_RIGHT_NOSE_WING):
        kept += [point, int(MIRROR[point])]
    distances = mesh_distances()
    nearest = distances[kept].min(axis=0)
    while len(kept) < min(count - len(_IRISES), N_MESH):
        furthest = int(nearest.argmax())
        kept.append(furthest)
        nearest = np.minimum(nearest, distances[furthest])
    return np.array([*kept, *_IRISES])


def _control_points(face: Floats, count: int) -> Floats:
    """What holds a warp, given all landmarks: `[478, 2] -> [K, 2]`, face coordinates."""
    pupils = [0.5 * (face[centre] + face[rim]) for centre, rim in _PUPILS]
    return np.concatenate([face[control_landmarks(count)], pupils, _ANCHORS])


def backward_map(
    source: Portrait, target: Floats, placement: Placement, size: int, *, controls: int, grid: int
) -> Floats:
    """Where in the portrait each pixel's colour comes from, `[S, S, 2]` pixels of the portrait.

    Args:
        source: the portrait.
        target: where its landmarks go, `[478, 2]`, face coordinates.
        placement: of the face in the new image.
        size: side of the new image, pixels.
        controls: how many landmarks hold the warp.
        grid: at how many positions along each side the warp is evaluated.
    """
    centres = _control_points(target, controls)
    moved_from = _control_points(source.face[:, :2], controls)
    plate = ThinPlate(centres, moved_from - centres, _SMOOTHING)
    coarse, interpolation = grid_interpolation(size, grid)
    face = placement.to_face(np.stack(np.meshgrid(coarse, coarse), axis=-1).reshape(-1, 2))
    backward = source.placement.to_pixels(face + plate(face)).reshape(grid, grid, 2)
    return np.einsum("yi,ijc,xj->yxc", interpolation, backward, interpolation, optimize=True)
