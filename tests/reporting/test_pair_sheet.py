import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.audit import audit
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.reporting import pair_sheet
from landmarkfer.reporting.pair_sheet import TILE, write_pair_sheet

LEFT = 2 * pair_sheet._GAP


def picture(seed, change=0):
    noise = np.random.default_rng(seed).integers(0, 250, (6, 6), dtype=np.uint8)
    pixels = np.array(Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC))
    pixels[0, 0] = pixels[0, 0] // 2 + change
    return pixels


def row(name, pixels, label=None, split=None):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    facts = {"label": label, "split": split, "width": 48, "height": 48, "sha256": sha256}
    return Row(id=name, status="no_face", face=file.getvalue(), **facts)


def sheet_of(rows, folder, name="pairs.png"):
    cache = write_cache(folder / "c", rows)
    write_pair_sheet(cache, audit(cache), folder / name)
    with Image.open(folder / name) as sheet:
        return np.array(sheet.convert("RGB"))


def shows(sheet, pixels, left, top):
    """Whether a tile of the sheet is a picture."""
    tile = sheet[top : top + TILE, left : left + TILE].astype(int)
    wanted = Image.fromarray(pixels).convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
    return tile.shape == (TILE, TILE, 3) and np.abs(tile - np.asarray(wanted)).max() == 0


def test_conflicts_stand_above_near_duplicates_side_by_side(tmp_path):
    rows = [row("a", picture(1), "sad", "train"), row("b", picture(1), "sad", "train")]
    rows += [row("c", picture(1), "happy", "test"), row("d", picture(2), "sad", "train")]
    rows += [row("e", picture(2, change=1), "sad", "test")]
    sheet = sheet_of(rows, tmp_path)
    top = pair_sheet._HEAD
    second = LEFT + TILE + pair_sheet._GAP
    assert shows(sheet, picture(1), LEFT, top)
    assert shows(sheet, picture(1), second, top)
    lower = top + TILE + pair_sheet._LINES + 3 * pair_sheet._GAP + pair_sheet._HEAD
    assert shows(sheet, picture(2), LEFT, lower)
    assert shows(sheet, picture(2, change=1), second, lower)

    def coloured(upper):
        text = sheet[upper + TILE : upper + TILE + 20].astype(int)
        return bool((np.ptp(text, axis=-1) > 60).any())

    assert coloured(top), "labels that differ are red"
    assert not coloured(lower)


def test_names_that_are_too_long_keep_their_end():
    name = "a/very/long/folder/of/a/data/set/" + 10 * "with-parts/" + "face-17.png"
    short = pair_sheet._shortened(name, 11)
    assert short.startswith("…")
    assert short.endswith("face-17.png")
    assert pair_sheet._shortened("face.png", 11) == "face.png"


def test_no_more_pairs_than_fit_are_shown(tmp_path):
    rows = [row(f"{n:02}-{k}", picture(n, change=k)) for n in range(20) for k in range(2)]
    sheet = sheet_of(rows, tmp_path)
    whole = pair_sheet.ROWS * (TILE + pair_sheet._LINES + 2 * pair_sheet._GAP)
    assert sheet.shape[0] == whole + 2 * (pair_sheet._HEAD + pair_sheet._GAP)


@pytest.mark.parametrize(
    "rows", [[], [Row(id="a", status="unreadable", error="empty")], [row("a", picture(1))]]
)
def test_there_is_a_picture_even_of_nothing(rows, tmp_path):
    assert sheet_of(rows, tmp_path).shape[1] > 4 * TILE


def test_the_suffix_is_the_format(tmp_path):
    sheet_of([row("a", picture(1))], tmp_path, "pairs.jpg")
    with Image.open(tmp_path / "pairs.jpg") as sheet:
        assert sheet.format == "JPEG"
