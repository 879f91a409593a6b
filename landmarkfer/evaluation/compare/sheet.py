"""A contact sheet of images that one of two systems predicts correctly and the other does not."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import CacheError
from landmarkfer.files import replacing
from landmarkfer.progress import counted
from landmarkfer.reporting.contact_sheet import TILE, draw_tiles

COLUMNS = 8
_GAP, _HEAD, _TEXT, _LINE = 10, 56, 62, 19
_PAPER, _INK, _FAINT, _GREEN, _RED = "#ffffff", "#1a202c", "#6b7280", "#15803d", "#b91c1c"
_THIN = 1.2  # diameter of the landmarks: the face under them is what is to be seen


def write_outcome_sheet(
    cache: LandmarkCache, disagreements: pd.DataFrame, path: Path, names: Sequence[str], title: str
) -> None:
    """Draw the sheet and write it as a picture; the suffix of `path` chooses the format.

    Args:
        cache: Where the images are.
        disagreements: Rows of `image_disagreements`, by image id, in the order to be drawn.
        path: File to write or replace.
        names: What the first and the second system are called.
        title: What the sheet shows.

    Raises:
        CacheError: The cache lacks some of the images.
    """
    rows = pd.Index(cache.frame(["id"])["id"]).get_indexer(disagreements.index)
    if (rows < 0).any():
        raise CacheError(f"{cache.path} lacks {(rows < 0).sum()} of {counted(len(rows), 'image')}.")
    columns = min(COLUMNS, max(4, len(rows)))  # so that the heading has room
    width = _GAP + columns * (TILE + _GAP)
    lines = max(1, -(-len(rows) // columns))
    sheet = Image.new("RGB", (width, _HEAD + lines * (TILE + _TEXT + _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, 18), title, _INK, font=_font(18), anchor="lm")
    key = f"A: {names[0]},  B: {names[1]}; percent: mean probability of what is predicted"
    pen.text((_GAP, 40), _fitting(key, 13, width - 2 * _GAP), _FAINT, font=_font(13), anchor="lm")
    tiles = draw_tiles(cache, rows, point_size=_THIN)
    columns_shown = ["label", "predicted_first", "confidence_first", "predicted_second", "confidence_second"]
    said = disagreements[columns_shown].itertuples(index=False, name=None)
    for number, ((tile, _), (label, *both)) in enumerate(zip(tiles, said, strict=True)):
        left = _GAP + number % columns * (TILE + _GAP)
        top = _HEAD + number // columns * (TILE + _TEXT + _GAP)
        sheet.paste(tile, (left, top))
        pen.text((left, top + TILE + 11), _fitting(label, 15, TILE), _INK, font=_font(15), anchor="lm")
        for line, (who, predicted, confidence) in enumerate((("A", *both[:2]), ("B", *both[2:])), start=1):
            text = _fitting(f"{who}: {predicted} {100 * confidence:.0f} %", 14, TILE)
            colour = _GREEN if predicted == label else _RED
            pen.text((left, top + TILE + 11 + line * _LINE), text, colour, font=_font(14), anchor="lm")
    with replacing(path) as partial:
        sheet.save(partial)


def _fitting(text: str, size: int, width: int) -> str:
    """The text, cut where it would be wider than `width` pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
