"""Align, normalise and measure landmark sets, as NumPy arrays or as tensors.

Input landmarks are MediaPipe's: x and y as fractions of image width and height, z on x's scale, y pointing
down, z negative toward the camera, NaN where missing. Normalised landmarks have no unit: the origin is the
centre of the face, x points to the image's right along the line between the eyes, and the root-mean-square
distance from the origin (or the distance between the eyes) is 1. Left and right are the subject's.
"""

from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from numpy.typing import ArrayLike, NDArray

from landmarkfer.face.landmarks import LEFT_EYE_CORNERS, MIRROR, N_LANDMARKS, RIGHT_EYE_CORNERS

Align = Literal["none", "roll"]
Scale = Literal["rms", "interocular"]
Floats = NDArray[np.float32]

_NO_EXTENT = 1e-6  # pixels; below what float32 distinguishes


def eye_centres(landmarks: Any) -> tuple[Any, Any]:
    """Midpoints of the corners of the subject's right and left eye.

    Args:
        landmarks: `[..., 478, D]`.

    Returns:
        Right and left centre, `[..., D]` each. Eye corners, not irises: they do not move with the gaze.
    """
    xp = array_namespace(landmarks)
    right = xp.mean(landmarks[..., list(RIGHT_EYE_CORNERS), :], axis=-2)
    left = xp.mean(landmarks[..., list(LEFT_EYE_CORNERS), :], axis=-2)
    return right, left


def interocular(landmarks: Any) -> Any:
    """Distance between the eye centres in the image plane, `[...]`, in the unit of the landmarks."""
    right, left = eye_centres(landmarks[..., :2])
    return array_namespace(landmarks).linalg.vector_norm(left - right, axis=-1)


def roll_angle(landmarks: Any) -> Any:
    """In-plane rotation of the head, `[...]` radians: 0 upright, positive clockwise as seen in the image."""
    right, left = eye_centres(landmarks[..., :2])
    delta = left - right
    return array_namespace(landmarks).atan2(delta[..., 1], delta[..., 0])


def rotate(landmarks: Any, angle: Any) -> Any:
    """Turn x and y about the origin by `angle` radians (`[...]`), clockwise as seen in the image."""
    xp = array_namespace(landmarks)
    angle = xp.asarray(angle, dtype=landmarks.dtype)
    cos, sin = xp.cos(angle)[..., None], xp.sin(angle)[..., None]
    x, y = landmarks[..., 0], landmarks[..., 1]
    return xp.concat(
        [(cos * x - sin * y)[..., None], (sin * x + cos * y)[..., None], landmarks[..., 2:]], axis=-1
    )


def to_pixels(landmarks: Any, width: ArrayLike, height: ArrayLike) -> Any:
    """Fractions of the image to square pixels: x and z times the width, y times the height.

    Args:
        landmarks: `[..., 478, 3]` as MediaPipe gives them.
        width: Image width in pixels, scalar or `[...]`.
        height: Image height in pixels, scalar or `[...]`.

    Returns:
        `[..., 478, 3]`, pixels, of the precision of the landmarks.
    """
    xp = array_namespace(landmarks)
    width, height = (xp.asarray(side, dtype=landmarks.dtype) for side in (width, height))
    return landmarks * xp.stack([width, height, width], axis=-1)[..., None, :]


def normalise(
    landmarks: Any, width: ArrayLike, height: ArrayLike, *, align: Align = "roll", scale: Scale = "rms"
) -> Any:
    """Remove what the camera decides and keep the shape: pixel aspect, place, roll and size.

    Args:
        landmarks: `[N, 478, 3]` or `[478, 3]`, fractions of the image; a missing face is all NaN.
        width: Image width in pixels, scalar or `[N]`.
        height: Image height in pixels, scalar or `[N]`.
        align: `"roll"` turns the line between the eyes level; `"none"` keeps the head's roll.
        scale: What is 1 afterwards: the RMS distance of the points from their centre in the image plane
            (`"rms"`, steadier under noise) or the distance between the eyes (`"interocular"`).

    Returns:
        The input's shape, precision and kind (array or tensor); NaN where the input is NaN.

    Raises:
        ValueError: The landmarks are not `[..., 478, 3]`, or `align` or `scale` is unknown.
    """
    if landmarks.ndim < 2 or tuple(landmarks.shape[-2:]) != (N_LANDMARKS, 3):
        raise ValueError(f"landmarks must be [..., {N_LANDMARKS}, 3], got {list(landmarks.shape)}")
    xp = array_namespace(landmarks)
    points = to_pixels(landmarks, width, height)
    points = points - xp.mean(points, axis=-2, keepdims=True)
    if align == "roll":
        points = _levelled(points)
    elif align != "none":
        raise ValueError(f"align must be 'roll' or 'none', got {align!r}")
    if scale == "rms":
        size = xp.sqrt(xp.mean(xp.sum(xp.square(points[..., :2]), axis=-1), axis=-1))
    elif scale == "interocular":
        size = interocular(points)
    else:
        raise ValueError(f"scale must be 'rms' or 'interocular', got {scale!r}")
    # A face of no extent (every point in one place) has no shape; it must not become infinite.
    size = xp.where(size < _NO_EXTENT, xp.ones_like(size), size)
    return points / size[..., None, None]


def _levelled(points: Any) -> Any:
    """Points `[..., 478, 3]` turned about the origin so that the line between the eyes is level."""
    if is_numpy_array(points):
        return rotate(points, -roll_angle(points))
    # The same without an arctangent, which ONNX Runtime lacks in double precision.
    xp = array_namespace(points)
    right, left = eye_centres(points[..., :2])
    along = left - right
    length = xp.linalg.vector_norm(along, axis=-1)[..., None]
    cos = xp.where(length > 0, along[..., :1] / length, xp.ones_like(length))  # [..., 1]
    sin = xp.where(length > 0, along[..., 1:] / length, xp.zeros_like(length))
    x, y = points[..., 0], points[..., 1]
    return xp.stack([cos * x + sin * y, cos * y - sin * x, points[..., 2]], axis=-1)


def mirror(landmarks: Floats) -> Floats:
    """The face as seen in a mirror, in normalised coordinates: x negated, left and right points swapped.

    Args:
        landmarks: `[..., 478, D]`, centred on x = 0.

    Returns:
        The same shape.
    """
    mirrored = landmarks[..., MIRROR, :].copy()
    mirrored[..., 0] *= -1
    return mirrored
