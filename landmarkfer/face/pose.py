"""How a head is turned, from its landmarks: yaw, pitch and roll in degrees; and whether they form a head.

The angles are those of the rotation that brings the canonical face nearest to the landmarks (Kabsch 1976),
over points that expressions hardly move: the bridge and the tip of the nose, the corners of the eyes,
glabella, temples and forehead. MediaPipe's z is no measurement: a network guesses it from one image, relative
to the head's own centre, and how well it guesses depends on the image. The angles inherit that: they put
faces in an order and distinguish frontal ones from turned ones, but are not to be read as degrees of a
protractor. Zero is the pose of the canonical face, which is the mean pose of the faces that it was made from,
not the horizon.
"""

import numpy as np
from numpy.typing import NDArray

from landmarkfer.face.landmarks import (
    CANONICAL,
    LEFT_EYE_CORNERS,
    N_LANDMARKS,
    RIGHT_EYE_CORNERS,
    region_points,
)

STEADY: tuple[int, ...] = (
    *sorted((*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS)),
    *(
        int(point)
        for region in ("nose", "glabella", "right_temple", "left_temple", "forehead")
        for point in region_points(region)
    ),
)
"""Points that expressions hardly move; a mirrored face has the same ones."""


def head_angles(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Yaw, pitch and roll of heads.

    The rotations follow each other as roll, yaw, pitch from the outside in, so that a head that leans in the
    image plane keeps its yaw and pitch.

    Args:
        points: `[N, 478, 3]` in square pixels (`geometry.to_pixels`), NaN where there is no face.

    Returns:
        `[N, 3]` degrees: yaw, positive where the face looks to the image's right (the subject's left); pitch,
        positive where it looks up; roll, positive clockwise as seen in the image. NaN without a face.

    Raises:
        ValueError: The points are not `[N, 478, 3]`.
    """
    if points.ndim != 3 or points.shape[1:] != (N_LANDMARKS, 3):
        raise ValueError(f"points must be [N, {N_LANDMARKS}, 3], got {list(points.shape)}")
    steady = points[:, STEADY].astype(np.float64)
    steady -= steady.mean(axis=1, keepdims=True)
    angles = np.full((len(points), 3), np.nan)
    there = np.isfinite(steady).all(axis=(1, 2))
    turn = turns_of(steady[there], CANONICAL[list(STEADY)])
    # R = Rz(roll) Ry(yaw) Rx(pitch). y points down and z away from the camera: by the rule of the right hand,
    # yaw and pitch look the other way.
    yaw = -np.arcsin(np.clip(turn[:, 2, 0], -1, 1))
    pitch = np.arctan2(turn[:, 2, 1], turn[:, 2, 2])
    roll = np.arctan2(turn[:, 1, 0], turn[:, 0, 0])
    angles[there] = np.degrees(np.stack([-yaw, -pitch, roll], axis=1))
    return angles


def turns_of(points: NDArray[np.floating], face: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotations that bring a face nearest to other faces (Kabsch 1976).

    Args:
        points: `[N, P, 3]`, each face centred.
        face: `[P, 3]`.

    Returns:
        `[N, 3, 3]`: R of `p = R c` for column vectors.
    """
    centred = face.astype(np.float64)
    centred -= centred.mean(axis=0)
    # The rotation nearest to taking each point c of the face to its point p: U diag(1, 1, ±1) Vᵀ of Σ p cᵀ.
    u, _, v = np.linalg.svd(points.transpose(0, 2, 1) @ centred)  # [N, 3, 3]
    u[:, :, 2] *= np.linalg.det(u @ v)[:, None]
    return np.asarray(u @ v)


def misfit(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far points are from the canonical face, turned, scaled and shifted as fits best (Umeyama 1991).

    Args:
        points: `[N, 478, 3]` in square pixels (`geometry.to_pixels`), NaN where there is no face.

    Returns:
        `[N]`, RMS distance over the RMS radius of the points: from 0 to 1, NaN without a face.
    """
    canonical = CANONICAL - CANONICAL.mean(axis=0, dtype=np.float64)
    canonical /= np.sqrt(np.square(canonical).sum(axis=1).mean())
    centred = points - points.mean(axis=1, keepdims=True, dtype=np.float64)
    radius = np.sqrt(np.square(centred).sum(axis=2).mean(axis=1))
    found = np.full(len(points), np.nan)
    there = np.isfinite(radius) & (radius > 0)
    shared = (centred[there] / radius[there, None, None]).transpose(0, 2, 1) @ canonical / N_LANDMARKS
    u, shares, v = np.linalg.svd(shared)
    shares[:, 2] *= np.linalg.det(u @ v)  # a mirror image is no turn
    found[there] = np.sqrt(np.clip(1 - np.square(shares.sum(axis=1)), 0, 1))
    return found
