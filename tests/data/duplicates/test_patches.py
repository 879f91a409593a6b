import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.duplicates.patches import SIDE, Patches, look
from landmarkfer.data.row import Row
from landmarkfer.face.alignment import aligned_crop


def grey(picture):
    return np.asarray(picture.convert("L").resize((SIDE, SIDE)))[None]


def everywhere(count=1):
    return np.ones((count, SIDE, SIDE), bool)


def correlation(first, second, both):
    return np.corrcoef(first[both].astype(float), second[both].astype(float))[0, 1]


def test_brightness_and_contrast_do_not_count(photo):
    plain, changed = (
        Patches.of(grey(one), everywhere())
        for one in (photo(1), photo(1).point(lambda value: value * 0.6 + 30))
    )
    assert correlation(plain.values, changed.values, everywhere()) > 0.99
    assert plain.valid.all()
    assert changed.valid.all()


def test_a_blank_patch_is_not_valid():
    patches = Patches.of(np.full((1, SIDE, SIDE), 90, np.uint8), everywhere())
    assert not patches.valid.any()
    assert (patches.values == 0).all()


def test_a_patch_that_is_mostly_beside_the_image_is_not_valid(photo):
    inside = everywhere()
    inside[:, :, SIDE // 3 :] = False
    assert not Patches.of(grey(photo(1)), inside).valid.any()


def test_what_lies_beside_the_image_does_not_count(photo):
    inside = everywhere()
    inside[:, :, 24:] = False
    other = grey(photo(1)).copy()
    other[:, :, 24:] = 255
    first, second = (Patches.of(one, inside) for one in (grey(photo(1)), other))
    assert (first.values[~inside] == 0).all()
    # The smoothing reaches over the edge, by little.
    assert correlation(first.values, second.values, inside) > 0.9


def test_the_middle_is_that_of_the_image(photo):
    picture = photo(3, 80)
    whole = Patches.of(grey(picture), everywhere())
    cut = Patches.of(grey(picture.crop((8, 8, 72, 72))), everywhere())
    assert correlation(whole.middle().values, cut.values, everywhere()) > 0.9
    assert correlation(whole.values, cut.values, everywhere()) < 0.8


def test_the_face_is_brought_upright(faces, make_row, tmp_path):
    picture, landmarks, _ = faces[0]
    side = picture.width
    angle = np.deg2rad(20)
    turned = picture.rotate(20, Image.Resampling.BICUBIC)
    points = landmarks.copy()
    x, y = (landmarks[:, :2] - 0.5).T
    points[:, 0], points[:, 1] = (
        np.cos(angle) * x + np.sin(angle) * y + 0.5,
        np.cos(angle) * y - np.sin(angle) * x + 0.5,
    )
    rows = [make_row("a", picture, landmarks), make_row("b", turned, points)]
    rows.append(make_row("c", turned.resize((side // 2, side // 2)), points))
    rows.append(Row(id="d", status="unreadable", error="empty"))
    seen = look(write_cache(tmp_path / "c", rows), np.arange(4))
    assert seen.face.valid.tolist() == [True, True, True, False]
    assert seen.whole.valid.tolist() == [True, True, True, False]
    for other in (1, 2):
        both = seen.face.inside[0] & seen.face.inside[other]
        assert correlation(seen.face.values[0], seen.face.values[other], both) > 0.9
        assert correlation(seen.whole.values[0], seen.whole.values[other], both) < 0.7


@pytest.mark.parametrize("crop", [96])
def test_a_stored_crop_shows_the_same_face(faces, make_row, tmp_path, crop):
    picture, landmarks, _ = faces[0]
    whole = make_row("a", picture, landmarks)
    cut = make_row("a", Image.fromarray(aligned_crop(np.asarray(picture), landmarks, crop)), landmarks)
    cut.width, cut.height = whole.width, whole.height
    one = look(write_cache(tmp_path / "whole", [whole]), [0]).face
    other = look(write_cache(tmp_path / "cut", [cut], settings={"crop": crop}), [0]).face
    assert (one.inside == other.inside).all()
    assert correlation(one.values, other.values, one.inside) > 0.95


def test_progress_reaches_the_end(photo, make_row, tmp_path, recorder):
    cache = write_cache(tmp_path / "c", [make_row(str(n), photo(n)) for n in range(5)], part_rows=2)
    look(cache, np.arange(5), recorder)
    assert recorder.calls == [("cutting faces", done, 5) for done in (2, 4, 5)]
