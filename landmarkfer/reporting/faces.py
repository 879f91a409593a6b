"""Pictures of predicted faces: each image with the face's box, its landmarks and what was predicted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.reporting.graph import draw_landmarks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOX, _TEXT = "#38bdf8", "#0f172a"
_SMALLEST = 240
"""Images of fewer pixels on the longer side are enlarged to this, so that points and text can be seen."""


def annotate_face(pixels: ArrayLike, points: ArrayLike | None, caption: str | None = None) -> Image.Image:
    """A copy of an image with a face's box, its landmarks and a caption on it.

    Args:
        pixels: uint8 `[H, W, 3]`.
        points: `[478, 2]` or `[478, 3]` in pixels of the image; None where there is no face.
        caption: What stands above the box, or at the top without one.

    Returns:
        An RGB image of the same shape; small ones are enlarged.
    """
    image = Image.fromarray(np.asarray(pixels))
    scale = max(1.0, _SMALLEST / max(image.size))
    if scale > 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    unit = max(image.size) / 500
    corner = (0.0, 0.0)
    pen = None
    if points is not None:
        placed = np.asarray(points, float)[:, :2] * scale
        image = draw_landmarks(image, placed, point_size=max(1.5, 1.5 * unit))
        (x0, y0), (x1, y1) = placed.min(axis=0), placed.max(axis=0)
        pen = ImageDraw.Draw(image)
        pen.rectangle((x0, y0, x1, y1), outline=_BOX, width=max(2, round(2 * unit)))
        corner = (x0, y0)
    if caption:
        pen = pen or ImageDraw.Draw(image)
        font = ImageFont.load_default(max(12, round(16 * unit)))
        _, _, width, height = pen.textbbox((0, 0), caption, font=font)
        left = min(max(0.0, corner[0]), max(0.0, image.width - width))
        top = max(0.0, corner[1] - height - 2)
        pen.rectangle((left, top, left + width + 2, top + height + 2), fill=_BOX)
        pen.text((left + 1, top), caption, fill=_TEXT, font=font)
    return image


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
