"""Views: square windows on an image in which the detector looks for a face, and how they become canvases.

The detector's first stage sees 128 x 128 pixels whatever it is given, so what decides whether a face is
found is its share of the window, not the number of pixels. Windows are therefore set in shares of the
image, and an image gives the same views at any resolution: only the resolution of the canvas, within
limits, follows the image's, and which view comes first (`searches`). Small images are crops of faces, which
a border shows better; a larger one, a photograph, is searched as it is first, since its face is mostly
smaller and a border would make it smaller still. What a window shows beyond the image repeats the image's
edge. Why square: see `detectors.py`.

Coordinates: pixels of the image, x right and y down, origin at the outer corner of the first pixel.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from landmarkfer.face.landmarks import MIRROR

# Pixels of a canvas' side: below the first the mesh model, which works on 192, sees a blurred face; above the
# second nothing is gained. The third is the most where the filter runs, which takes longer than the detector.
MIN_CANVAS = 256
MAX_CANVAS = 1920
_MAX_FILTERED = 1280


@dataclass(frozen=True, slots=True)
class FrameView:
    """The whole image with a border, a share of its longer side, on every side."""

    border: float
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Name in the list of attempts."""
        return f"frame+{self.border:.0%}" + "m" * self.mirrored


@dataclass(frozen=True, slots=True)
class TileView:
    """Overlapping tiles, half a tile apart, whose side is the image's shorter side divided by `zoom`."""

    zoom: int

    @property
    def name(self) -> str:
        """Name in the list of attempts."""
        return f"tiles/{self.zoom}"


@dataclass(frozen=True, slots=True)
class CloseUp:
    """A window around a face that was found, `scale` times the longer side of its box."""

    scale: float
    mirrored: bool = False

    @property
    def name(self) -> str:
        """Name in the list of attempts."""
        return f"close-up*{self.scale}" + "m" * self.mirrored


# Pixels of the shorter side from which an image is searched as a photograph. Below lie the usual sets of
# cropped faces (48 to 224 pixels), and a canvas would be enlarged even without a border.
PHOTOGRAPH = 256

# With this border the landmarks of tightly cropped faces lie nearest to the mean over all borders.
FIRST_VIEW = FrameView(0.25)

# In the order that finds most of FER2013's remaining faces soonest; tiles are for small faces on photos.
RETRIES: tuple[FrameView | TileView, ...] = (
    FrameView(0.1),
    FrameView(0.0),
    FrameView(0.25, mirrored=True),
    FrameView(1.0),
    FrameView(0.35),
    FrameView(0.25),
    FrameView(0.75, mirrored=True),
    TileView(1),
    TileView(2),
)

# A little border shows both faces that fill the image and those of a third of its shorter side; with more,
# the smaller ones are missed, and without any, the largest (`experiments/bench/extraction.py --part views`).
PHOTOGRAPH_FIRST_VIEW = FrameView(0.1)

# The views of `RETRIES`, so that no face is lost; first those for
# small faces and for faces beyond the image.
PHOTOGRAPH_RETRIES: tuple[FrameView | TileView, ...] = (
    FrameView(0.0),
    FrameView(0.25),
    FrameView(0.1),
    *RETRIES[2:5],
    *RETRIES[6:],
)

# Mirrored and plain by turns: a mirrored detection errs to the other side.
CLOSE_UPS: tuple[CloseUp, ...] = (
    CloseUp(1.6, mirrored=True),
    CloseUp(2.0),
    CloseUp(2.0, mirrored=True),
    CloseUp(1.6),
    CloseUp(1.3, mirrored=True),
    CloseUp(1.3),
)

# A tile of fewer pixels than this would be blown up for detail that is not in it.
MIN_TILE = 96


@dataclass(frozen=True, slots=True)
class Window:
    """A square of an image: its upper left corner, its side, and whether it is seen in a mirror."""

    x: float
    y: float
    side: float
    mirrored: bool = False

    def canvas(self, image: np.ndarray) -> np.ndarray:
        """Render the window.

        Args:
            image: `uint8 [H, W, 3]`.

        Returns:
            `uint8 [S, S, 3]`, contiguous.
        """
        height, width = image.shape[:2]
        step = _step(self.side)
        on_pixels = all(value % step == 0 for value in (self.x, self.y, self.side))
        outside = self.x >= width or self.y >= height or min(self.x, self.y) + self.side <= 0
        if on_pixels and not outside and self.side >= MIN_CANVAS:
            canvas = self._copied(image, step)
            return np.ascontiguousarray(canvas[:, ::-1]) if self.mirrored else canvas
        size = int(np.clip(round(self.side), MIN_CANVAS, _MAX_FILTERED))
        scale = size / self.side
        # The canvas' columns and rows that lie wholly on the image; there is at least one of each.
        left, right = _covered(-self.x * scale, (width - self.x) * scale, size)
        top, bottom = _covered(-self.y * scale, (height - self.y) * scale, size)
        x0, x1 = _source(self.x + left / scale, self.x + right / scale, width)
        y0, y1 = _source(self.y + top / scale, self.y + bottom / scale, height)
        box, shape = (x0, y0, x1, y1), (right - left, bottom - top)
        if size > self.side and _is_grey(image):
            # The filter treats every channel alike, so that one is enough.
            one = _bordered(_resampled(np.ascontiguousarray(image[..., 0]), box, shape), size, left, top)
            canvas = np.empty((size, size, 3), np.uint8)
            for channel in range(3):
                canvas[..., channel] = one
        else:
            canvas = _bordered(_resampled(image, box, shape), size, left, top)
        return np.ascontiguousarray(canvas[:, ::-1]) if self.mirrored else canvas

    def _copied(self, image: np.ndarray, step: int) -> np.ndarray:
        """The canvas of a window on whole pixels; blocks of `step` by `step` become one, their mean."""
        height, width = image.shape[:2]
        x, y, side = int(self.x), int(self.y), int(self.side)
        if (x, y, side) == (0, 0, width) and width == height and step == 1:
            return np.ascontiguousarray(image)
        x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + side), min(height, y + side)
        inner = image[y0:y1, x0:x1]
        if step > 1:
            inner = np.asarray(Image.fromarray(image).reduce(step, (x0, y0, x1, y1)))
        return _bordered(inner, side // step, (x0 - x) // step, (y0 - y) // step)

    def to_image(self, landmarks: np.ndarray, width: int, height: int) -> np.ndarray:
        """Bring landmarks from fractions of this window to fractions of the image, undoing the mirror.

        Args:
            landmarks: `[478, 3]`.
            width: The image's width in pixels.
            height: The image's height in pixels.

        Returns:
            `[478, 3]` float32.
        """
        points = landmarks.astype(np.float64)
        if self.mirrored:
            # A left point seen in the mirror is reported as the right one of its pair.
            points = points[MIRROR]
            points[:, 0] = 1.0 - points[:, 0]
        points *= self.side
        points[:, :2] += (self.x, self.y)
        return (points / (width, height, width)).astype(np.float32)


def searches(width: int, height: int) -> tuple[FrameView, tuple[FrameView | TileView, ...]]:
    """Return the first view of an image of some size, and those that follow while no face is found."""
    if min(width, height) < PHOTOGRAPH:
        return FIRST_VIEW, RETRIES
    return PHOTOGRAPH_FIRST_VIEW, PHOTOGRAPH_RETRIES


def windows(view: FrameView | TileView, width: int, height: int) -> list[Window]:
    """Return the windows that a view opens on an image of some size; none if it does not apply to it."""
    if isinstance(view, FrameView):
        side = max(width, height) * (1 + 2 * view.border)
        x, y = (width - side) / 2, (height - side) / 2
        if min(width, height) >= PHOTOGRAPH:
            # On whole pixels, or blocks of them, it is copied; resampling takes longer than the search.
            step = _step(side)
            side = math.ceil(round(side) / step) * step
            x, y = (round((length - side) / 2 / step) * step for length in (width, height))
        return [Window(x, y, side, view.mirrored)]
    side = min(width, height) / view.zoom
    whole = max(width, height) <= 1.3 * side
    if whole or side < MIN_TILE:
        return []
    return [Window(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]


def close_up(view: CloseUp, landmarks: np.ndarray, width: int, height: int) -> Window:
    """Return the window around a face.

    Args:
        view: The close-up.
        landmarks: `[478, 3]` fractions of the image.
        width: The image's width in pixels.
        height: The image's height in pixels.
    """
    points = landmarks[:, :2] * (width, height)
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) * view.scale
    x, y = (low + high) / 2 - side / 2
    return Window(float(x), float(y), side, view.mirrored)


def _step(side: float) -> int:
    """How many pixels a side become one of a canvas, where it is not filtered."""
    return max(1, math.ceil(side / MAX_CANVAS))


def _is_grey(image: np.ndarray) -> bool:
    first = image[..., 0]
    return bool((first == image[..., 1]).all() and (first == image[..., 2]).all())


def _resampled(
    image: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """A box of an image, `uint8 [H, W]` or `[H, W, 3]`, in a width and height."""
    resized = Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    return np.asarray(resized)


def _bordered(inner: np.ndarray, size: int, left: int, top: int) -> np.ndarray:
    """A square of `size` pixels with `inner` in it, whose edge is repeated around it."""
    height, width = inner.shape[:2]
    right, bottom = left + width, top + height
    canvas = np.empty((size, size, *inner.shape[2:]), np.uint8)
    canvas[top:bottom, left:right] = inner
    canvas[top:bottom, :left] = inner[:, :1]
    canvas[top:bottom, right:] = inner[:, -1:]
    canvas[:top] = canvas[top]
    canvas[bottom:] = canvas[bottom - 1]
    return canvas


def _covered(start: float, end: float, size: int) -> tuple[int, int]:
    first = min(max(0, int(np.ceil(start - 1e-6))), size - 1)
    return first, min(size, max(first + 1, int(np.floor(end + 1e-6))))


def _source(start: float, end: float, length: int) -> tuple[float, float]:
    # A side so short that it covers no whole pixel of the canvas still gives it one.
    start = min(max(0.0, start), length - 0.5)
    return start, min(float(length), max(end, start + 0.5))


def _starts(length: int, side: float) -> np.ndarray:
    count = max(1, int(np.ceil((length - side) / (side / 2) - 1e-6)) + 1)
    return np.linspace(0.0, length - side, count)
