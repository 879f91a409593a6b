import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.compare import sheet as outcome_sheet
from landmarkfer.evaluation.compare.sheet import COLUMNS, write_outcome_sheet
from landmarkfer.reporting.contact_sheet import TILE

GAP, HEAD, TEXT = outcome_sheet._GAP, outcome_sheet._HEAD, outcome_sheet._TEXT


@pytest.fixture
def cache(tmp_path):
    rows = []
    for number in range(10):
        file = io.BytesIO()
        Image.new("L", (48, 48), 20 * number + 10).save(file, "PNG")
        rows.append(
            Row(id=f"{number}", label="sad", status="no_face", face=file.getvalue(), width=48, height=48)
        )
    return write_cache(tmp_path / "c", rows, part_rows=4)


def disagreements(*ids, first="sad", second="fear"):
    frame = pd.DataFrame(index=pd.Index(ids, name="id"))
    frame["label"], frame["predicted_first"], frame["predicted_second"] = "sad", first, second
    frame["confidence_first"], frame["confidence_second"] = 0.61, 0.52
    return frame


def sheet_of(cache, frame, path, names=("one", "other")):
    write_outcome_sheet(cache, frame, path, names, "images")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def corner(number):
    return HEAD + number // COLUMNS * (TILE + TEXT + GAP), GAP + number % COLUMNS * (TILE + GAP)


def has(pixels, hexadecimal):
    wanted = [int(hexadecimal[start : start + 2], 16) for start in (1, 3, 5)]
    return bool((np.abs(pixels - wanted).max(axis=-1) < 30).any())


def test_images_stand_in_the_order_given(cache, tmp_path):
    order = ["7", "2", *"013456", "9"]
    sheet = sheet_of(cache, disagreements(*order), tmp_path / "s.png")
    for number, name in enumerate(order):
        top, left = corner(number)
        assert (sheet[top : top + TILE, left : left + TILE] == 20 * int(name) + 10).all()
    assert len(sheet) == HEAD + 2 * (TILE + TEXT + GAP)


def test_right_is_green_and_wrong_red(cache, tmp_path):
    sheet = sheet_of(cache, disagreements("1"), tmp_path / "s.png")
    top, left = corner(0)
    first, second = (
        sheet[top + TILE + 2 + line * 19 : top + TILE + 20 + line * 19, left : left + TILE] for line in (1, 2)
    )
    assert has(first, outcome_sheet._GREEN) and not has(first, outcome_sheet._RED)
    assert has(second, outcome_sheet._RED) and not has(second, outcome_sheet._GREEN)


def test_long_names_stay_inside(cache, tmp_path):
    plain = sheet_of(cache, disagreements("1", "2"), tmp_path / "a.png", ("n" * 300, "m" * 300))
    long = sheet_of(
        cache, disagreements("1", "2", second="w" * 60), tmp_path / "b.png", ("n" * 300, "m" * 300)
    )
    assert plain.shape == long.shape
    top, left = corner(0)
    gap = long[top:, left + TILE + 1 : left + TILE + GAP - 1]
    assert (gap == 255).all(), "nothing is written into the gap"


def test_images_that_are_not_there_are_refused(cache, tmp_path):
    with pytest.raises(CacheError, match="lacks 1 of 2"):
        sheet_of(cache, disagreements("1", "x"), tmp_path / "s.png")
