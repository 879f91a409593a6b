"""A picture of the seven expressions as they are made: weak, medium and strong, without noise."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.data.synthetic.action_units import EXPRESSIONS
from landmarkfer.data.synthetic.parameters import FaceParameters
from landmarkfer.data.synthetic.rendering import render
from landmarkfer.files import replacing

STRENGTHS = (0.35, 0.7, 1.0)
_SIZE, _HEAD, _MARGIN = 192, 34, 110


def write_expression_sheet(path: Path) -> None:
    """Draw the first variant of every expression at three strengths; the suffix of `path` is the format."""
    sheet = Image.new("RGB", (_MARGIN + _SIZE * len(EXPRESSIONS), _HEAD + _SIZE * len(STRENGTHS)), "#ffffff")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for row, strength in enumerate(STRENGTHS):
        top = _HEAD + row * _SIZE
        pen.text((_MARGIN / 2, top + _SIZE / 2), f"{strength:.0%}", "#1a202c", font=font, anchor="mm")
        for column, (label, variants) in enumerate(EXPRESSIONS.items()):
            left = _MARGIN + column * _SIZE
            units = {
                number: (strength * intensity, strength * intensity)
                for number, intensity in variants[0].items()
            }
            image, _ = render(FaceParameters(action_units=units), _SIZE)
            sheet.paste(Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)), (left, top))
            pen.text((left + _SIZE / 2, _HEAD / 2), label, "#1a202c", font=font, anchor="mm")
    with replacing(path) as partial:
        sheet.save(partial)
