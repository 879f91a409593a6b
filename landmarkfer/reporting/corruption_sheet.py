"""A picture of every corruption at every severity, on a face that may be shown."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.data.synthetic.portrait import load_portrait
from landmarkfer.extraction.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from landmarkfer.files import replacing

_SIDE, _GAP, _HEAD, _MARGIN = 144, 6, 30, 128
_AROUND = 1.25  # side of the square that is shown, over the face's height
_PAPER, _INK = "#ffffff", "#1a202c"


def write_corruption_sheet(path: Path) -> None:
    """Draw the portrait in a row for each corruption, clean at first; the suffix of `path` is the format."""
    face, landmarks = shown_face()
    severities = ("clean", *map(str, SEVERITIES))
    size = (_MARGIN + len(severities) * (_SIDE + _GAP), _HEAD + len(CORRUPTIONS) * (_SIDE + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for column, text in enumerate(severities):
        left = _MARGIN + column * (_SIDE + _GAP)
        pen.text((left + _SIDE / 2, _HEAD / 2), text, _INK, font=font, anchor="mm")
    for row, name in enumerate(CORRUPTIONS):
        top = _HEAD + row * (_SIDE + _GAP)
        pen.text((_GAP, top + _SIDE / 2), name, _INK, font=font, anchor="lm")
        tiles = [face, *(corrupt(face, name, severity, landmarks, "portrait") for severity in SEVERITIES)]
        for column, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (_MARGIN + column * (_SIDE + _GAP), top))
    with replacing(path) as partial:
        sheet.save(partial)


def shown_face() -> tuple[np.ndarray, np.ndarray]:
    """The portrait's face, `uint8 [S, S, 3]`, with its landmarks `[478, 3]` as fractions of it."""
    portrait = load_portrait()
    low, high = portrait.landmarks[:, :2].min(axis=0), portrait.landmarks[:, :2].max(axis=0)
    side = _AROUND * float((high - low).max())
    left, top = (low + high) / 2 - side / 2
    cut = Image.fromarray(portrait.image).transform(
        (_SIDE, _SIDE),
        Image.Transform.EXTENT,
        (left, top, left + side, top + side),
        Image.Resampling.BICUBIC,
    )
    landmarks = (portrait.landmarks - (left, top, 0.0)) / side
    return np.asarray(cut), landmarks
