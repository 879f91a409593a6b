"""Align, normalise and measure landmark sets; one `normalise()` serves training, prediction and the app.

Input landmarks are MediaPipe's: x and y as fractions of image width and height, z on x's scale, y pointing
down, z negative toward the camera, NaN where missing. Normalised landmarks have no unit: the origin is the
centre of the face, x points to the image's right along the line between the eyes, and the root-mean-square
distance from the origin (or the distance between the eyes) is 1. Left and right are the subject's.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.face.landmarks import LEFT_EYE_CORNERS, MIRROR, N_LANDMARKS, RIGHT_EYE_CORNERS

Align = Literal["none", "roll"]
Scale = Literal["rms", "interocular"]
Floats = NDArray[np.float32]

_NO_EXTENT = 1e-6  # pixels; below what float32 can tell apart


def eye_centres(landmarks: Floats) -> tuple[Floats, Floats]:
    """Midpoints of the corners of the subject's right and left eye.

    Args:
        landmarks: `[..., 478, D]`.

    Returns:
        Right and left centre, `[..., D]` each. Eye corners, not irises: they do not move with the gaze.
    """
    right = landmarks[..., list(RIGHT_EYE_CORNERS), :].mean(axis=-2)
    left = landmarks[..., list(LEFT_EYE_CORNERS), :].mean(axis=-2)
    return right, left


def interocular(landmarks: Floats) -> Floats:
    """Distance between the eye centres in the image plane, `[...]`, in the unit of the landmarks."""
    right, left = eye_centres(landmarks[..., :2])
    return np.linalg.norm(left - right, axis=-1)


def roll_angle(landmarks: Floats) -> Floats:
    """In-plane rotation of the head, `[...]` radians: 0 upright, positive clockwise as seen in the image."""
    right, left = eye_centres(landmarks[..., :2])
    delta = left - right
    return np.arctan2(delta[..., 1], delta[..., 0])


def rotate(landmarks: Floats, angle: ArrayLike) -> Floats:
    """Turn x and y about the origin by `angle` radians (`[...]`), clockwise as seen in the image."""
    cos = np.cos(np.asarray(angle, dtype=landmarks.dtype))[..., None]
    sin = np.sin(np.asarray(angle, dtype=landmarks.dtype))[..., None]
    x, y = landmarks[..., 0], landmarks[..., 1]
    return np.concatenate(
        [(cos * x - sin * y)[..., None], (sin * x + cos * y)[..., None], landmarks[..., 2:]], axis=-1
    )


def to_pixels(landmarks: Floats, width: ArrayLike, height: ArrayLike) -> Floats:
    """Fractions of the image to square pixels: x and z times the width, y times the height.

    Args:
        landmarks: `[..., 478, 3]` as MediaPipe gives them.
        width: Image width in pixels, scalar or `[...]`.
        height: Image height in pixels, scalar or `[...]`.

    Returns:
        `[..., 478, 3]`, float32, pixels.
    """
    width = np.asarray(width, dtype=np.float32)
    height = np.asarray(height, dtype=np.float32)
    return landmarks * np.stack([width, height, width], axis=-1)[..., None, :]


def normalise(
    landmarks: Floats, width: ArrayLike, height: ArrayLike, *, align: Align = "roll", scale: Scale = "rms"
) -> Floats:
    """Remove what the camera decides and keep the shape: pixel aspect, place, roll and size.

    Args:
        landmarks: `[N, 478, 3]` or `[478, 3]`, fractions of the image; a missing face is all NaN.
        width: Image width in pixels, scalar or `[N]`.
        height: Image height in pixels, scalar or `[N]`.
        align: `"roll"` turns the line between the eyes level; `"none"` keeps the head's roll.
        scale: What is 1 afterwards: the RMS distance of the points from their centre in the image plane
            (`"rms"`, steadier under noise) or the distance between the eyes (`"interocular"`).

    Returns:
        float32 of the input's shape; NaN where the input is NaN.

    Raises:
        ValueError: The landmarks are not `[..., 478, 3]`, or `align` or `scale` is unknown.
    """
    if landmarks.ndim < 2 or landmarks.shape[-2:] != (N_LANDMARKS, 3):
        raise ValueError(f"landmarks must be [..., {N_LANDMARKS}, 3], got {list(landmarks.shape)}")
    points = to_pixels(np.asarray(landmarks, dtype=np.float32), width, height)
    points = points - points.mean(axis=-2, keepdims=True)
    if align == "roll":
        points = rotate(points, -roll_angle(points))
    elif align != "none":
        raise ValueError(f"align must be 'roll' or 'none', got {align!r}")
    if scale == "rms":
        size = np.sqrt(np.square(points[..., :2]).sum(axis=-1).mean(axis=-1))
    elif scale == "interocular":
        size = interocular(points)
    else:
        raise ValueError(f"scale must be 'rms' or 'interocular', got {scale!r}")
    # A face of no extent (every point in one place) has no shape; it must not become infinite.
    size = np.where(size < _NO_EXTENT, np.float32(1), size)
    return (points / size[..., None, None]).astype(np.float32)


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
