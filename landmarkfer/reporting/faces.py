"""Pictures of predicted faces: each image with its faces' boxes, landmarks, labels and probabilities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.reporting.graph import draw_landmarks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOX, _TEXT, _TRACK = "#38bdf8", "#0f172a", "#e2e8f0"
_GAP = 3
"""Pixels between a face's box and its bars."""
_SMALLEST = 240
"""Images of fewer pixels on the longer side are enlarged to this, so that points and text can be seen."""


@dataclass(frozen=True)
class FaceNote:
    """What is drawn of one face.

    Attributes:
        points: `[478, 2]` or `[478, 3]` in pixels of the image; None where there is no face.
        caption: What stands above the box, or at the top of the image without one.
        bars: Classes with their probabilities, drawn as bars under the box.
    """

    points: ArrayLike | None = None
    caption: str | None = None
    bars: Sequence[tuple[str, float]] = ()


def annotate_image(pixels: ArrayLike, notes: Sequence[FaceNote]) -> Image.Image:
    """A copy of an image with the boxes, landmarks, captions and bars of its faces.

    Args:
        pixels: uint8 `[H, W, 3]`.
        notes: Its faces.

    Returns:
        An RGB image of the same shape; small ones are enlarged, and where bars do not fit under a face, the
        image is continued below, so that they do not hide it.
    """
    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    scale = max(1.0, _SMALLEST / max(image.size))
    if scale > 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    unit = max(image.size) / 500
    placed = [
        None if note.points is None else np.asarray(note.points, float)[:, :2] * scale for note in notes
    ]
    for points in placed:
        if points is not None:
            # A small face keeps its features visible under the points.
            size_of_face = float(np.ptp(points, axis=0).max())
            image = draw_landmarks(image, points, point_size=float(np.clip(size_of_face / 110, 1, 4 * unit)))
    font = ImageFont.load_default(max(11, round(15 * unit)))
    ends = [
        min(points[:, 1].max(), image.height) + _GAP + len(note.bars) * _line_height(font)
        for note, points in zip(notes, placed, strict=True)
        if points is not None and note.bars
    ]
    if max(ends, default=0) > image.height:
        image = image.crop((0, 0, image.width, math.ceil(max(ends))))  # what is beyond the border is black
    pen = ImageDraw.Draw(image)
    for note, points in zip(notes, placed, strict=True):
        box = None
        if points is not None:
            (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
            box = (x0, y0, x1, y1)
            pen.rectangle(box, outline=_BOX, width=max(1, round(2 * unit)))
        if note.caption:
            _draw_caption(pen, font, note.caption, box, image.size)
        if box is not None and note.bars:
            _draw_bars(pen, font, note.bars, box, image.size)
    return image


def _draw_caption(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    text: str,
    box: tuple[float, float, float, float] | None,
    size: tuple[int, int],
) -> None:
    left, _, right, bottom = pen.textbbox((0, 0), text, font=font)
    x, y = (0.0, 0.0) if box is None else box[:2]
    x = min(max(0.0, x), max(0.0, size[0] - (right - left) - 4))
    y = max(0.0, y - bottom - 4)
    pen.rectangle((x, y, x + right - left + 4, y + bottom + 4), fill=_BOX)
    pen.text((x + 2, y + 1), text, fill=_TEXT, font=font)


def _draw_bars(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    bars: Sequence[tuple[str, float]],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> None:
    """A line for each class under the box: its name on a bar as long as its probability."""
    x0, _, x1, y1 = box
    height = _line_height(font)
    width = max(x1 - x0, max(pen.textlength(name, font=font) for name, _ in bars) + 4)
    left = min(max(0.0, x0), max(0.0, size[0] - width))
    top = min(y1 + _GAP, size[1] - height * len(bars))
    for number, (name, probability) in enumerate(bars):
        y = top + number * height
        pen.rectangle((left, y, left + width, y + height - 1), fill=_TRACK)
        pen.rectangle((left, y, left + width * probability, y + height - 1), fill=_BOX)
        pen.text((left + 2, y), name, fill=_TEXT, font=font)


def _line_height(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> float:
    return font.getbbox("Ag")[3] + 2


def faces_figure(pictures: Sequence[Image.Image | None], titles: Sequence[str], columns: int = 4) -> "Figure":
    """Pictures in a grid with a title above each; a grey field stands for a picture that there is not."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, len(pictures)))
    lines = max(1, -(-len(pictures) // columns))
    figure = Figure(figsize=(2.8 * columns, 3.1 * lines), layout="constrained")
    axes: NDArray = np.atleast_1d(figure.subplots(lines, columns, squeeze=False)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        axis.imshow(np.full((1, 1, 3), 225, np.uint8) if picture is None else np.asarray(picture))
        axis.set_title(title, fontsize=9)
    return figure
