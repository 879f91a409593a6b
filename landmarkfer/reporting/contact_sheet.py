"""A contact sheet of a cache: one row of sample images per class, with the landmarks drawn on them.

Shows at a glance whether labels, images and landmarks belong together. Images without a face are framed in
red and stand at the end of their row, where there are always some if the class has any, so that what the
detector misses can be seen too.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.face.alignment import crop_landmarks
from landmarkfer.face.geometry import to_pixels
from landmarkfer.files import replacing
from landmarkfer.progress import counted
from landmarkfer.reporting.graph import draw_landmarks

COLUMNS = 10
UNDETECTED_COLUMNS = 2
TILE = 160  # pixels; small faces are enlarged to it, so that the landmarks can be distinguished
_GAP, _LABEL, _HEAD = 6, 150, 44
_PAPER, _INK, _FAINT, _RED = "#ffffff", "#1a202c", "#6b7280", "#dc2626"


def write_contact_sheet(cache: LandmarkCache, path: Path, *, seed: int = 0) -> None:
    """Draw the sheet and write it as a picture; the suffix of `path` chooses the format.

    Up to `COLUMNS` images of each class are drawn at random, up to `UNDETECTED_COLUMNS` of them without a
    face; unreadable images cannot be shown. Images without a label make a row of their own.

    Args:
        cache: The cache, complete or not.
        path: File to write or replace.
        seed: Seed of the choice; the same cache and seed give the same sheet.
    """
    frame = cache.frame(["label", "status", "width", "height"])
    rng = np.random.default_rng(seed)
    labels = [name for name in cache.manifest.classes if (frame["label"] == name).any()]
    groups = [(name, frame[frame["label"] == name]) for name in labels]
    if (unlabelled := frame[frame["label"].isna()]).size:
        groups.append(("no label", unlabelled))
    chosen = [_choose(group, rng) for _, group in groups]
    width = _LABEL + COLUMNS * (TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _HEAD + max(1, len(groups)) * (TILE + _GAP) + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    heading = f"{cache.path.resolve().name}: {counted(len(frame), 'image')}, {cache.manifest.detector.name}"
    pen.text((2 * _GAP, _HEAD / 2), heading, _INK, font=_font(18), anchor="lm")
    pen.text((width - 2 * _GAP, _HEAD / 2), "red frame: no face found", _RED, font=_font(16), anchor="rm")
    for number, ((name, group), rows) in enumerate(zip(groups, chosen, strict=True)):
        top = _HEAD + _GAP + number * (TILE + _GAP)
        _label(pen, top, name, group)
        for column, (tile, found) in enumerate(draw_tiles(cache, rows)):
            left = _LABEL + column * (TILE + _GAP)
            sheet.paste(tile, (left, top))
            if not found:
                pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), outline=_RED, width=4)
    with replacing(path) as partial:
        sheet.save(partial)


def _choose(group: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers of the images to show, those with a face first."""
    # Copies: an index is read-only, and `permutation` of some NumPy versions wants to write.
    found = group.index[group["status"] == "ok"].to_numpy(copy=True)
    missed = group.index[group["status"] == "no_face"].to_numpy(copy=True)
    kept = max(UNDETECTED_COLUMNS, COLUMNS - len(found))
    missed = np.sort(rng.permutation(missed)[:kept])
    found = np.sort(rng.permutation(found)[: COLUMNS - len(missed)])
    return np.concatenate([found, missed]).astype(np.int64)


def _label(pen: ImageDraw.ImageDraw, top: int, name: str, group: pd.DataFrame) -> None:
    detected = (group["status"] == "ok").mean()
    middle = top + TILE / 2
    size = next((s for s in (20, 16, 13) if _font(s).getlength(name) <= _LABEL - 3 * _GAP), 11)
    pen.text((2 * _GAP, middle - 16), name, _INK, font=_font(size), anchor="lm")
    pen.text((2 * _GAP, middle + 8), counted(len(group), "image"), _FAINT, font=_font(14), anchor="lm")
    pen.text((2 * _GAP, middle + 27), f"{100 * detected:.1f} % found", _FAINT, font=_font(14), anchor="lm")


def draw_tiles(
    cache: LandmarkCache, rows: NDArray[np.int64], *, point_size: float = 1.8
) -> list[tuple[Image.Image, bool]]:
    """Images of a cache as square tiles of `TILE` pixels with their landmarks, and whether a face was found.

    Args:
        cache: The cache.
        rows: Row numbers.
        point_size: Diameter of the points, in pixels of the tile.
    """
    crop = cache.manifest.settings.get("crop")
    frame = cache.frame(["width", "height"]).iloc[rows]
    sides = zip(frame["width"], frame["height"], strict=True)
    tiles = []
    for data, points, (width, height) in zip(cache.faces(rows), cache.landmarks(rows), sides, strict=True):
        tile = Image.new("RGB", (TILE, TILE), "#e5e7eb")
        found = bool(np.isfinite(points).all())
        if data is not None:
            with Image.open(io.BytesIO(data)) as image:
                image.draft(None, (2 * TILE, 2 * TILE))
                picture = image.convert("RGB")
            scale = TILE / max(picture.size)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            picture = picture.resize(size, Image.Resampling.BICUBIC)
            placed = to_pixels(points, *size) if crop is None else crop_landmarks(points, width, height, TILE)
            picture = draw_landmarks(picture, placed, point_size=point_size)
            tile.paste(picture, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
        tiles.append((tile, found))
    return tiles


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
