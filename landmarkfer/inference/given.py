"""Landmarks that somebody hands over, instead of an image, as the rows and arrays that a model is given."""

import numpy as np
from numpy.typing import ArrayLike

from landmarkfer.data.row import Row
from landmarkfer.errors import SourceError
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.pose import misfit
from landmarkfer.inference.frame import FaceArrays, check_landmarks

MOST_MISFIT = 0.32
"""How far points may be from the canonical face, see `face.pose.misfit`.

Of FER2013's faces, 99.9 % are below 0.18 (facemesh) and 0.31 (landmarker); with z left out they are above it,
and above 0.5 with y or z upside down, or x and y exchanged.
"""
_NO_MESH = (
    "the points do not form a face: they must be MediaPipe's, in its order, y downwards, z on x's scale, "
    "with the size of an oblong image"
)


def given_landmarks(landmarks: ArrayLike, sizes: ArrayLike | None) -> tuple[list[Row], FaceArrays]:
    """Rows and arrays of faces whose landmarks are known; arguments are those of `predict_landmarks`.

    Raises:
        SourceError: The shapes do not fit, or a size is not above 0.
    """
    points = np.asarray(landmarks, np.float32)
    check_landmarks(points.shape)
    given = np.asarray(1.0 if sizes is None else sizes, np.float32)
    if given.shape not in ((), (2,), (len(points), 2)):
        raise SourceError(
            f"sizes must be [{len(points)}, 2] or [2], width and height, not {list(given.shape)}."
        )
    sides = np.broadcast_to(given, (len(points), 2)).copy()
    # Points that all lie on a line are how some tools say that there is no face: zeros.
    flat = np.ptp(points[..., :2], axis=1).min(axis=1) <= 0
    there = np.isfinite(points).all(axis=(1, 2)) & ~flat
    if not (np.isfinite(sides[there]).all() and (sides[there] > 0).all()):
        raise SourceError("sizes must be above 0: the width and height of each image in pixels.")
    odd = there & (misfit(to_pixels(points, sides[:, 0], sides[:, 1])) > MOST_MISFIT)
    found = there & ~odd
    rows = [
        Row(
            id=f"face-{number}",
            status="ok" if found[number] else "no_face",
            error=_NO_MESH if odd[number] else None,
            landmarks=points[number] if found[number] else None,
            width=sides[number, 0],
            height=sides[number, 1],
        )
        for number in range(len(points))
    ]
    return rows, FaceArrays(np.where(found[:, None, None], points, np.float32(np.nan)), sides)
