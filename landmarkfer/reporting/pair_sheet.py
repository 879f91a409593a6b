"""A picture of identical images with conflicting labels and of near-duplicates, pairs side by side.

Shows with names and labels what the audit counts, so that one can judge whether the pairs are the same
photograph, and whose label is wrong.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.data.audit_report import Audit
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.files import replacing

COLUMNS = 4
"""Pairs beside each other."""
ROWS = 4
"""Rows of pairs of each kind, at most."""
TILE = 150
_GAP, _HEAD, _LINES = 6, 40, 56
_PAPER, _INK, _FAINT, _RED = "#ffffff", "#1a202c", "#6b7280", "#dc2626"


@dataclass(frozen=True)
class _Pair:
    names: tuple[str, str]
    note: str


def write_pair_sheet(cache: LandmarkCache, found: Audit, path: Path) -> None:
    """Draw the pairs and write them as a picture; the suffix of `path` chooses the format.

    Of a group of identical images, the first and the first with another label are shown; of near-duplicates,
    those with different labels come first, then those in different splits.

    Args:
        cache: The cache.
        found: Its audit.
        path: File to write or replace.
    """
    frame = cache.frame(["id", "label", "split"])
    rows = pd.Series(range(len(frame)), index=frame["id"])
    labels = dict(zip(frame["id"], frame["label"], strict=True))
    conflicts = []
    for group in found.conflicting:
        known = [name for name in group.ids if not pd.isna(labels[name])]
        other = next(name for name in known if labels[name] != labels[known[0]])
        conflicts.append(_Pair((known[0], other), "identical pixels"))
    near = [_Pair((p.first, p.second), f"similarity {p.similarity:.2f}") for p in found.near_by_interest]
    sections = [("Identical images with conflicting labels", conflicts), ("Near-duplicates", near)]
    width = _GAP + COLUMNS * (2 * TILE + 4 * _GAP)
    height = sum(_HEAD + _rows(pairs) * (TILE + _LINES + 2 * _GAP) + _GAP for _, pairs in sections)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    top = 0
    for title, pairs in sections:
        shown = pairs[: ROWS * COLUMNS]
        count = (
            f"{len(pairs):,} pairs" if len(shown) == len(pairs) else f"{len(shown)} of {len(pairs):,} pairs"
        )
        pen.text((2 * _GAP, top + _HEAD / 2), f"{title}: {count}", _INK, font=_font(18), anchor="lm")
        top += _HEAD
        for number, pair in enumerate(shown):
            left = 2 * _GAP + number % COLUMNS * (2 * TILE + 4 * _GAP)
            upper = top + number // COLUMNS * (TILE + _LINES + 2 * _GAP)
            facts = frame.iloc[[rows[name] for name in pair.names]]
            _draw_pair(sheet, pen, (left, upper), pair, facts, cache.faces(facts.index.to_numpy()))
        top += _rows(pairs) * (TILE + _LINES + 2 * _GAP) + _GAP
    with replacing(path) as partial:
        sheet.save(partial)


def _rows(pairs: Sequence[_Pair]) -> int:
    return min(ROWS, -(-len(pairs) // COLUMNS))


def _draw_pair(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    pair: _Pair,
    facts: pd.DataFrame,
    files: Sequence[bytes | None],
) -> None:
    left, top = corner
    differ = facts["label"].nunique() > 1
    for place, (data, label, split) in enumerate(zip(files, facts["label"], facts["split"], strict=True)):
        x = left + place * (TILE + _GAP)
        sheet.paste(_tile(data), (x, top))
        words = [str(word) for word in (label, split) if not pd.isna(word)]
        text = _shortened(", ".join(words) or "no label", 13)
        pen.text((x, top + TILE + 10), text, _RED if differ else _INK, font=_font(13), anchor="lm")
        name = _shortened(pair.names[place], 11)
        pen.text((x, top + TILE + 27), name, _FAINT, font=_font(11), anchor="lm")
    pen.text((left, top + TILE + 43), pair.note, _FAINT, font=_font(11), anchor="lm")


def _tile(data: bytes | None) -> Image.Image:
    tile = Image.new("RGB", (TILE, TILE), "#e5e7eb")
    if data is not None:
        with Image.open(io.BytesIO(data)) as image:
            image.draft(None, (2 * TILE, 2 * TILE))
            picture = image.convert("RGB")
        scale = TILE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        place = ((TILE - size[0]) // 2, (TILE - size[1]) // 2)
        tile.paste(picture.resize(size, Image.Resampling.BICUBIC), place)
    return tile


def _shortened(text: str, size: int) -> str:
    """The end of a text that is as wide as a tile; names differ at their ends."""
    font = _font(size)
    if font.getlength(text) <= TILE:
        return text
    while font.getlength("…" + text) > TILE:
        text = text[1:]
    return "…" + text


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
