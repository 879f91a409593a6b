"""A training image as a photograph of it would reach the model: enlarged, found, brought into the frame.

`predict` detects the face of a photograph, and cuts out the square that shows it as the training images show
theirs (`face.frame`). A training image has not been resampled so, nor does its face lie exactly so. A model
that is trained on both versions of an image answers alike to both.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.face.frame import Frame
from landmarkfer.face.geometry import rotate

_ENLARGED = (1.5, 2.0, 3.0, 4.0, 6.0)
"""Size of the photograph's face over that of the training image, by severity."""
# How far a detection in another picture of the same face is off: in radians, as the logarithm of the scale,
# and as a share of the image's side.
_TURN, _SCALE, _SHIFT = 0.03, 0.03, 0.01


def reframe(
    pixels: NDArray[np.uint8],
    landmarks: NDArray[np.floating],
    frame: Frame,
    severity: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Enlarge an image, and cut its face out again as `predict` does.

    Beyond the image lies, as it is drawn, what repeats its edge, or one grey.

    Args:
        pixels: `uint8 [H, W, 3]`.
        landmarks: `[478, 3]`, fractions of the image.
        frame: Of the training images.
        severity: 1 to 5, how much the image is enlarged.
        rng: Draws the deviation of the first detection, and what lies beyond the image.

    Returns:
        `uint8 [S, S, 3]`, S the size of the frame's images.
    """
    factor = _ENLARGED[severity - 1]
    height, width = (round(side * factor) for side in pixels.shape[:2])
    large = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    beyond: Any = {"mode": "edge"}
    if rng.random() < 0.5:
        beyond = {"mode": "constant", "constant_values": int(rng.integers(256))}
    margin = max(height, width) // 2
    picture = np.pad(np.asarray(large), ((margin, margin), (margin, margin), (0, 0)), **beyond)
    found = _found(landmarks[:, :2] * (width, height) + margin, max(width, height), rng)
    high, wide = picture.shape[:2]
    points = np.column_stack([found / (wide, high), np.zeros(len(found))])
    return frame.square_of_face(points, wide, high).cut(picture, frame.size)


def _found(points: NDArray[np.floating], side: float, rng: np.random.Generator) -> NDArray[np.floating]:
    """Where a detection that is a little off finds a face's points `[N, 2]`."""
    centre = points.mean(axis=0)
    turn, scale = rng.normal(0, _TURN), np.exp(rng.normal(0, _SCALE))
    moved: NDArray[np.floating] = centre + scale * rotate(points - centre, turn)
    return moved + rng.normal(0, _SHIFT, 2) * side
