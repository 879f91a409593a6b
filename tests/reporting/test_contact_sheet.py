import io

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.extraction.encode import encode
from landmarkfer.face.alignment import aligned_crop, crop_landmarks
from landmarkfer.face.landmarks import CANONICAL, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from landmarkfer.reporting import contact_sheet
from landmarkfer.reporting.contact_sheet import TILE, write_contact_sheet

LEFT, TOP, STEP = contact_sheet._LABEL, contact_sheet._HEAD + contact_sheet._GAP, TILE + contact_sheet._GAP
RED = (220, 38, 38)


def image(value, size=(48, 48)):
    file = io.BytesIO()
    Image.new("L", size, value).save(file, "PNG")
    return file.getvalue()


def row(name, label, value=0, *, points=None, size=(48, 48)):
    status = "no_face" if points is None else "ok"
    return Row(id=name, label=label, status=status, landmarks=points, face=image(value, size))


def all_at(x, y):
    return np.tile(np.array([x, y, 0.0]), (478, 1))


def sheet_of(rows, tmp_path, **kwargs):
    path = tmp_path / "sheets" / "sheet.png"
    write_contact_sheet(write_cache(tmp_path / "c", rows, part_rows=3), path, **kwargs)
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def tile(sheet, line, column):
    top, left = TOP + line * STEP, LEFT + column * STEP
    return sheet[top : top + TILE, left : left + TILE]


def test_landmarks_lie_where_they_were_found_and_a_missed_face_is_framed(tmp_path):
    sheet = sheet_of([row("a", "happy", 90, points=all_at(0.25, 0.75)), row("b", "sad", 200)], tmp_path)
    happy, sad = tile(sheet, 0, 0), tile(sheet, 1, 0)
    drawn = np.argwhere((happy != 90).any(axis=-1))
    assert np.abs(drawn.mean(axis=0) - (0.75 * TILE, 0.25 * TILE)).max() < 1
    assert tuple(sad[0, 0]) == RED
    assert (sad[20:-20, 20:-20] == 200).all()
    assert tuple(happy[0, 0]) == (90, 90, 90)


def test_an_image_that_is_not_square_keeps_its_shape(tmp_path):
    shown = tile(sheet_of([row("a", "sad", 90, points=all_at(0.5, 0.5), size=(80, 40))], tmp_path), 0, 0)
    inside = (shown[:, 10] == 90).all(axis=-1)
    assert inside.sum() == TILE // 2
    assert inside[TILE // 4] and inside[3 * TILE // 4 - 1]
    drawn = np.argwhere((shown != 90).any(axis=-1) & inside[:, None])
    assert np.abs(drawn.mean(axis=0) - TILE / 2).max() < 1


def test_landmarks_are_drawn_into_an_aligned_crop_where_the_crop_has_them(tmp_path):
    # A tilted face whose points are marked in the picture by a bright square about the nose tip.
    angle = 0.5
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = (CANONICAL[:, :2] @ turn * 60 + [150, 110]) / [300, 220]
    pixels = np.full((220, 300, 3), 60, np.uint8)
    x, y = np.round(points[1, :2] * [300, 220]).astype(int)
    pixels[y - 6 : y + 7, x - 6 : x + 7] = 255
    face = Row(id="a", label="sad", width=300, height=220, landmarks=points)
    face.face = encode(aligned_crop(pixels, points, 96))
    path = tmp_path / "sheet.png"
    write_contact_sheet(write_cache(tmp_path / "c", [face], settings={"crop": 96}), path)
    with Image.open(path) as picture:
        shown = tile(np.array(picture.convert("RGB")), 0, 0).astype(int)
    placed = crop_landmarks(points, 300, 220, TILE)
    bright = np.argwhere((shown > 200).all(axis=-1))
    assert np.abs(bright.mean(axis=0)[::-1] - placed[1, :2]).max() < 3, "the square and the nose tip agree"
    eyes = [placed[list(corners), 1].mean() for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS)]
    assert abs(eyes[0] - eyes[1]) < 1, "the crop has level eyes"
    coloured = np.argwhere(np.ptp(shown, axis=-1) > 40)
    assert np.abs(coloured.min(axis=0)[::-1] - placed[:, :2].min(axis=0)).max() < 6
    assert np.abs(coloured.max(axis=0)[::-1] - placed[:, :2].max(axis=0)).max() < 6


def test_missed_faces_have_the_last_places_of_a_full_row(tmp_path):
    rows = [row(f"f{i:02}", "sad", 100, points=all_at(0.5, 0.5)) for i in range(30)]
    rows += [row(f"m{i}", "sad", 100) for i in range(5)]
    sheet = sheet_of(rows, tmp_path)
    framed = [tuple(tile(sheet, 0, column)[0, 0]) == RED for column in range(contact_sheet.COLUMNS)]
    assert framed == [False] * 8 + [True] * 2


def test_a_class_with_few_faces_shows_more_missed_ones(tmp_path):
    rows = [row("f", "sad", 100, points=all_at(0.5, 0.5)), *(row(f"m{i}", "sad", 100) for i in range(5))]
    sheet = sheet_of(rows, tmp_path)
    assert [tuple(tile(sheet, 0, column)[0, 0]) == RED for column in range(7)] == [False] + [True] * 5 + [
        False
    ]


def test_seed_decides_the_choice(tmp_path):
    rows = [row(f"{i:03}", "sad", i, points=all_at(0.5, 0.5)) for i in range(100)]
    first, again, other = (sheet_of(rows, tmp_path / str(n), seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert (first == again).all()
    assert not (first == other).all()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row(id="a", label="sad", status="unreadable", error="empty")],
        [Row(id="a", status="unreadable", error="empty"), row("b", None, 5)],
    ],
)
def test_there_is_a_sheet_even_of_nothing(rows, tmp_path):
    assert sheet_of(rows, tmp_path).shape[1] > contact_sheet.COLUMNS * TILE
