"""The frame of a model: where a face lies in its training images, how large and how turned it is.

A model that was trained on tight, level, small crops has not seen faces as photographs show them. The square
of a photograph that shows its face as the training images show theirs is the one whose similarity transform
(turn, scale, shift) takes the landmarks nearest to the mean training landmarks, by least squares (Umeyama
1991).

Coordinates: fractions of the training images' side, x right and y down; an oblong image lies in the middle of
a square whose side is its longer one.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landmarkfer.face.alignment import Square, middle_square
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.landmarks import N_LANDMARKS

_TYPICAL_SDS = 3.0
"""An image is framed already if its face differs from the mean by no more of the training images' SDs."""
_LEAST_TYPICAL = (0.02, 0.02, 0.01)
"""Deviations of scale, turn and place that are typical even where the training images have less."""


class Frame(BaseModel):
    """How faces lie in the images that a model was trained on.

    Attributes:
        positions: `[478, 2]`, the mean landmarks of the training images.
        spread: SDs over the training images of scale (as its logarithm), turn (radians) and place (share of
            the side) of their faces, against the mean.
        size: Side of the training images in pixels.
        grey: Whether they have no colour.
        photographs: Whether whole photographs trained the model as well. Others are then given to it whole,
            and the frame tells which faint detections are faces.
    """

    model_config = ConfigDict(frozen=True)
    positions: tuple[tuple[float, float], ...]
    spread: tuple[float, float, float]
    size: int
    grey: bool
    photographs: bool = False

    @classmethod
    def of(cls, points: NDArray[np.floating], size: int, grey: bool, photographs: bool = False) -> Self:
        """The frame of training images.

        Args:
            points: `[N, 478, 2]` landmarks of at least one training face, fractions of the square's side.
            size: Side of the images in pixels.
            grey: Whether they have no colour.
            photographs: Whether whole photographs trained the model as well.
        """
        mean = points.mean(axis=0, dtype=np.float64)
        placed = np.array([_deviation(one, mean) for one in points])  # [N, 3]
        spread = np.sqrt(np.square(placed).mean(axis=0))
        return cls(
            positions=tuple((round(x, 6), round(y, 6)) for x, y in mean.tolist()),
            spread=tuple(round(sd, 6) for sd in spread.tolist()),
            size=size,
            grey=grey,
            photographs=photographs,
        )

    @property
    def array(self) -> NDArray[np.float64]:
        """`positions` as an array `[478, 2]`."""
        return np.asarray(self.positions).reshape(N_LANDMARKS, 2)

    def square(self, landmarks: NDArray[np.floating], width: int, height: int) -> Square:
        """The square of an image that shows a face as the training images show theirs.

        Args:
            landmarks: `[478, 3]` fractions of the image.
            width: Width of the image in pixels.
            height: Height of the image in pixels.

        Returns:
            The square that the similarity transform to the mean landmarks makes; of an image whose face lies
            as in the training images already, that of the whole image.
        """
        whole = middle_square(width, height)._replace(side=float(max(width, height)))
        points = to_pixels(landmarks, width, height)
        if np.all(np.abs(_deviation(whole.place(points, 1)[:, :2], self.array)) <= self._typical):
            return whole
        return self.square_of_face(landmarks, width, height)

    def square_of_face(self, landmarks: NDArray[np.floating], width: int, height: int) -> Square:
        """The square of an image that the similarity transform of its face to the mean landmarks makes.

        Args:
            landmarks: `[478, 3]` fractions of the image.
            width: Width of the image in pixels.
            height: Height of the image in pixels.
        """
        points = to_pixels(landmarks, width, height)
        turn, moved, mean = _similarity(points[:, :2].astype(np.float64), self.array)
        side = 1 / abs(turn)
        along = np.array([turn.real, -turn.imag]) * side  # the frame's x axis, in the image
        across = np.array([-along[1], along[0]])
        centre = moved + side * ((0.5 - mean[0]) * along + (0.5 - mean[1]) * across)
        return Square(centre, along, side)

    @property
    def _typical(self) -> NDArray[np.float64]:
        return np.maximum(_TYPICAL_SDS * np.asarray(self.spread), _LEAST_TYPICAL)


def _similarity(
    points: NDArray[np.float64], onto: NDArray[np.float64]
) -> tuple[complex, NDArray[np.float64], NDArray[np.float64]]:
    """Turn and scale that take points `[N, 2]` nearest to others, as a complex number; and both centres."""
    centre, mean = points.mean(axis=0), onto.mean(axis=0)
    given, wanted = ((p @ np.array([1, 1j])) for p in (points - centre, onto - mean))
    extent = float(np.square(np.abs(given)).sum())
    return complex(np.vdot(given, wanted)) / extent if extent else 1 + 0j, centre, mean


def _deviation(points: NDArray[np.floating], mean: NDArray[np.float64]) -> tuple[float, float, float]:
    """How scale (logarithm), turn and place of a face differ from those of the mean landmarks."""
    turn, centre, middle = _similarity(points.astype(np.float64), mean)
    return float(np.log(abs(turn))), float(np.angle(turn)), float(np.hypot(*(centre - middle)) / np.sqrt(2))
