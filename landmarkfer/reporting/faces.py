"""Pictures of predicted faces: each image with its faces' boxes, landmarks, labels and probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.reporting.graph import draw_landmarks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#38bdf8", "#fbbf24", "#a3e635", "#f472b6", "#c4b5fd", "#fb923c")
"""Of boxes and captions, each readable under dark text."""
_TEXT, _TRACK = "#0f172a", "#e2e8f0"
_SMALLEST = 240
"""Images of fewer pixels on the longer side are enlarged to this, so that points and text can be seen."""


_LEAST_POINTS = 11
"""Smaller text cannot be read."""


@dataclass(frozen=True)
class FaceNote:
    """What is drawn of one face.

    Attributes:
        points: `[478, 2]` or `[478, 3]` in pixels of the image; None where there is no face.
        caption: What stands above the box, or at the top of the image without one.
        details: What follows the caption where there is room.
        bars: Classes with their probabilities, drawn as bars under the box where there is room.
        colour: Of the box, the caption and the bars.
    """

    points: ArrayLike | None = None
    caption: str | None = None
    details: str = ""
    bars: Sequence[tuple[str, float]] = ()
    colour: str = COLOURS[0]


def annotate_image(pixels: ArrayLike, notes: Sequence[FaceNote]) -> Image.Image:
    """A copy of an image with the boxes, landmarks, captions and bars of its faces.

    Text is as large as the face and the image allow. It covers no other face and no other text where there is
    room elsewhere; bars without room are left out.

    Args:
        pixels: uint8 `[H, W, 3]`.
        notes: Its faces, the most important first.

    Returns:
        An RGB image of the same shape; small ones are enlarged.
    """
    image = Image.fromarray(np.asarray(pixels)).convert("RGB")
    scale = max(1.0, _SMALLEST / max(image.size))
    if scale > 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BICUBIC)
    unit = max(image.size) / 500
    boxes: list[_Rectangle | None] = []
    for note in notes:
        if note.points is None:
            boxes.append(None)
            continue
        points = np.asarray(note.points, float)[:, :2] * scale
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        boxes.append((x0, y0, x1, y1))
        # A small face keeps its features visible under the points.
        point_size = float(np.clip(max(x1 - x0, y1 - y0) / 110, 1, 4 * unit))
        image = draw_landmarks(image, points, point_size=point_size)
    pen = ImageDraw.Draw(image)
    for note, box in zip(notes, boxes, strict=True):
        if box is not None:
            width = max(1, round(min(2 * unit, (box[2] - box[0]) / 40)))
            pen.rectangle(box, outline=note.colour, width=width)
    taken = [box for box in boxes if box is not None]
    texts = [_Text(pen, image.size, taken, box, unit, alone=len(notes) == 1) for box in boxes]
    # All captions come before the bars, which are worth less.
    for note, text in zip(notes, texts, strict=True):
        if note.caption:
            text.draw_caption(note.caption, note.details, note.colour)
    for note, text in zip(notes, texts, strict=True):
        if note.bars:
            text.draw_bars(note.bars, note.colour)
    return image


_Rectangle = tuple[float, float, float, float]


class _Text:
    """The texts of one face.

    Args:
        pen: Draws on the image.
        size: Width and height of the image.
        taken: Rectangles that are not to be covered; what is drawn is added.
        box: Of the face; None without one.
        unit: A 500th of the image's longer side.
        alone: Whether it is the only face.
    """

    def __init__(
        self,
        pen: ImageDraw.ImageDraw,
        size: tuple[int, int],
        taken: list[_Rectangle],
        box: _Rectangle | None,
        unit: float,
        alone: bool,
    ) -> None:
        self.pen, self.size, self.taken, self.box, self.alone = pen, size, taken, box, alone
        wanted = 15 * unit if box is None else min(15 * unit, (box[2] - box[0]) / 6)
        self.points = max(_LEAST_POINTS, round(wanted))

    def draw_caption(self, caption: str, details: str, colour: str) -> None:
        """Draw a caption above the box, else below it, else in its upper part."""
        font = self._font(caption)
        texts = [caption]
        longer = f"{caption} (or {details})"
        room = self.size[0] if self.alone or self.box is None else 1.5 * (self.box[2] - self.box[0])
        if details and self.pen.textlength(longer, font=font) + 4 <= min(room, self.size[0]):
            texts.insert(0, longer)
        height = self._line(font)
        x0, y0, _, y1 = self.box or (0.0, height, 0.0, height)
        places = [
            self._inside(x0, y, self.pen.textlength(text, font=font) + 4, height)
            for text in texts
            for y in (y0 - height, y1, y0)
        ]
        chosen = int(np.argmin([self._covered(place) for place in places]))  # the first of equal ones
        text, place = texts[chosen // 3], places[chosen]
        self.pen.rectangle(place, fill=colour)
        self.pen.text((place[0] + 2, place[1] + 1), text, fill=_TEXT, font=font)
        self.taken.append(place)

    def draw_bars(self, bars: Sequence[tuple[str, float]], colour: str) -> None:
        """Draw a line for each class, its name on a bar as long as its probability, where there is room."""
        if self.box is None:
            return
        x0, y0, x1, y1 = self.box
        font = self._font(max((name for name, _ in bars), key=len))
        height = self._line(font)
        width = max(x1 - x0, max(self.pen.textlength(name, font=font) for name, _ in bars) + 4)
        every = height * len(bars)
        places = [
            self._inside(x, y, width, every) for x, y in ((x0, y1 + 3), (x1 + 3, y0), (x0 - width - 3, y0))
        ]
        # Not over the face itself, as a caption may lie: they would hide its mouth.
        place = next((one for one in places if not any(_shared(one, other) for other in self.taken)), None)
        if place is None:
            return
        left, top = place[:2]
        for number, (name, probability) in enumerate(bars):
            y = top + number * height
            self.pen.rectangle((left, y, left + width, y + height - 1), fill=_TRACK)
            self.pen.rectangle((left, y, left + width * probability, y + height - 1), fill=colour)
            self.pen.text((left + 2, y), name, fill=_TEXT, font=font)
        self.taken.append(place)

    def _font(self, text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """The font of this face, smaller where a text would not fit into the image."""
        font = ImageFont.load_default(self.points)
        width = self.pen.textlength(text, font=font) + 4
        if width <= self.size[0]:
            return font
        return ImageFont.load_default(max(6, int(self.points * self.size[0] / width)))

    def _line(self, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> float:
        return self.pen.textbbox((0, 0), "Ag", font=font)[3] + 3

    def _inside(self, x: float, y: float, width: float, height: float) -> _Rectangle:
        """A rectangle moved into the image."""
        left = min(max(0.0, x), max(0.0, self.size[0] - width - 1))
        top = min(max(0.0, y), max(0.0, self.size[1] - height - 1))
        return left, top, left + width, top + height

    def _covered(self, place: _Rectangle) -> float:
        """How much a place covers of other faces and of texts, in pixels."""
        return sum(_shared(place, one) for one in self.taken if one != self.box)


def _shared(one: _Rectangle, other: _Rectangle) -> float:
    """The area that two rectangles share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    return max(0.0, width) * max(0.0, min(one[3], other[3]) - max(one[1], other[1]))


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
