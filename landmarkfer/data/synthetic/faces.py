"""Synthetic faces one at a time, each depending on the seed and its own number only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.synthetic.action_units import EXPRESSIONS
from landmarkfer.data.synthetic.parameters import FaceParameters, draw_parameters
from landmarkfer.data.synthetic.portrait import TOP_BORDER, load_portrait
from landmarkfer.data.synthetic.rendering import expose, render

CLASSES: tuple[str, ...] = tuple(EXPRESSIONS)
SMALLEST_SIZE = 32

_CORNERS = ((0, 0, 130, 130), (370, 0, 500, 130))  # left, top, right, bottom in the picture


@dataclass(frozen=True)
class SyntheticFace:
    """One labelled face.

    Attributes:
        image: uint8 `[S, S, 3]`, RGB.
        label: one of `CLASSES`.
        landmarks: float32 `[478, 2]`, where the points were moved to, pixels: x to the right, y down, the
            first pixel covering 0 to 1. Divided by S they are comparable with what a detector returns.
        strength: how strong the expression is, 0 to 1.
        parameters: how the face was made.
    """

    image: NDArray[np.uint8]
    label: str
    landmarks: NDArray[np.float32]
    strength: float
    parameters: FaceParameters


def make_face(label: str, number: int = 0, size: int = 192, seed: int = 0) -> SyntheticFace:
    """The face of a given number in the series of a seed.

    Args:
        label: one of `CLASSES`.
        number: 0 or more; another number, another face.
        size: side of the image, pixels. The portrait's face is about 110 pixels high: larger images show
            no more.
        seed: of the series, 0 or more.

    Raises:
        ValueError: The label is none of `CLASSES`, or the image is too small to hold a face.
    """
    if label not in EXPRESSIONS:
        raise ValueError(f"label must be one of {', '.join(CLASSES)}, got {label!r}")
    if size < SMALLEST_SIZE:
        raise ValueError(f"size must be at least {SMALLEST_SIZE} pixels, got {size}")
    rng = np.random.default_rng([seed, number])
    strength, parameters = draw_parameters(label, rng)
    image, landmarks = render(parameters, size)
    return SyntheticFace(expose(image, parameters, rng), label, landmarks, strength, parameters)


def make_faces(
    n: int, size: int = 192, seed: int = 0, classes: Sequence[str] = CLASSES
) -> Iterator[SyntheticFace]:
    """`n` faces, the classes in turn.

    Args:
        n: how many.
        size: side of the images, pixels.
        seed: same seed, same faces.
        classes: some of `CLASSES`.

    Raises:
        ValueError: as `make_face`.
    """
    for number in range(n):
        yield make_face(classes[number % len(classes)], number, size, seed)


def make_faceless(number: int = 0, size: int = 192) -> NDArray[np.uint8]:
    """An image without a face, uint8 `[S, S, 3]`: the upper left or right corner of the portrait."""
    picture = Image.fromarray(load_portrait().image[TOP_BORDER:])
    left, top, right, bottom = _CORNERS[number % len(_CORNERS)]
    return np.asarray(picture.crop((left, top, right, bottom)).resize((size, size), Image.Resampling.BICUBIC))
