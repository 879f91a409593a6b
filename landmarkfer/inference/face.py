"""What was predicted of one face, and where its picture is read from; many of them are `faces.Faces`."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.row import Status

Box = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Face:
    """What was predicted of one face, or of an image without any.

    Attributes:
        source: Path of the image, or `image-N`.
        status: `ok`, `no_face` or `unreadable`.
        error: Why the image is unreadable; without a face, why, where more is known than that.
        label: The predicted class; None without a face, and where the model abstained.
        confidence: The probability of the label; None without a face.
        intensity: Of the expression, 0 to 1; None without a face, and of models without a neutral class.
        probabilities: Probability by class, empty without a face.
        prediction_set: Classes of the prediction set; None where the model has none.
        abstained: Whether `confidence` was below what was asked for.
        box: `x0, y0, x1, y1` in pixels of the upright image.
        landmarks: float32 `[478, 3]`, fractions of the image.
        size: Width and height of the upright image in pixels.
        angles: Yaw, pitch and roll in degrees.
        detector_score: Of the face detector, where it gives one.
        number: Of the face in its image, from 0; None without a face.
    """

    source: str
    status: Status
    error: str | None = None
    label: str | None = None
    confidence: float | None = None
    intensity: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    prediction_set: tuple[str, ...] | None = None
    abstained: bool = False
    box: Box | None = None
    landmarks: NDArray[np.float32] | None = None
    size: tuple[float, float] | None = None
    angles: tuple[float, float, float] | None = None
    detector_score: float | None = None
    number: int | None = None

    def __repr__(self) -> str:
        return f"<Face {self.source}: {self.caption}>"

    @property
    def details(self) -> str:
        """The other classes of the prediction set."""
        return ", ".join(name for name in self.prediction_set or () if name != self.label)

    def highest(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:count]

    @property
    def caption(self) -> str:
        """Label and confidence, or why there is none."""
        if self.status != "ok" or self.confidence is None:
            return self.error or self.status.replace("_", " ")
        return f"{self.label or 'abstained'} {100 * self.confidence:.0f} %"


@dataclass(frozen=True)
class Pictures:
    """Where the images of faces are read again when they are drawn.

    Attributes:
        read: Pixels `uint8 [H, W, 3]` of an image by its number; None if there is none.
        crop: Side in pixels of the aligned crops that the images are; None where they are whole images.
    """

    read: Callable[[int], Pixels | None]
    crop: int | None = None
