import io
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.duplicates.patches import look
from landmarkfer.data.duplicates.search import THRESHOLD, Change, find_near
from landmarkfer.face.landmarks import MIRROR


def jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file).convert(picture.mode)


def found_among(rows, folder, **keywords):
    cache = write_cache(folder, rows)
    near = find_near(look(cache, np.arange(len(cache))), **keywords)
    ids = cache.frame(["id"])["id"]
    return {(ids[a], ids[b]): s for (a, b), s in zip(near.pairs, near.similarity.tolist(), strict=True)}


WHOLE = {
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "on its side": partial(Image.Image.transpose, method=Image.Transpose.ROTATE_90),
    "mirrored on its side": partial(Image.Image.transpose, method=Image.Transpose.TRANSVERSE),
    "turned": lambda one: one.rotate(5, Image.Resampling.BICUBIC),
    "recompressed": jpeg,
    "enlarged": lambda one: one.resize((192, 192), Image.Resampling.BICUBIC),
    "made smaller": lambda one: one.resize((48, 48), Image.Resampling.BICUBIC),
    "cropped": lambda one: one.crop((8, 12, 86, 88)),
    "cropped and mirrored": lambda one: ImageOps.mirror(one.crop((10, 10, 88, 86))),
    "in colour": lambda one: one.convert("RGB"),
    "blurred": lambda one: one.filter(ImageFilter.GaussianBlur(1)),
    "darker": lambda one: ImageEnhance.Brightness(one).enhance(0.7),
    "of less contrast": lambda one: one.point(lambda value: value * 0.8 + 20),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("first", ["the original", "the copy"])
def test_copies_of_images_without_a_face_are_found(name, first, photo, make_row, tmp_path):
    pictures = {f"other {seed}": photo(seed) for seed in range(2, 12)}
    one, other = photo(1), WHOLE[name](photo(1))
    pictures |= {"a": one, "b": other} if first == "the original" else {"a": other, "b": one}
    rows = [make_row(name, picture) for name, picture in sorted(pictures.items())]
    found = found_among(rows, tmp_path / "c")
    assert list(found) == [("a", "b")], "and no other pair"
    assert THRESHOLD <= found["a", "b"] <= 1


def moved(points, rng):
    """Landmarks as a detector finds them anew: displaced together by 1 %, and each by 0.5 %."""
    return (points + rng.normal(0, 0.01, (1, 3)) + rng.normal(0, 0.005, points.shape)).astype(np.float32)


def mirrored(image, points):
    across = points[MIRROR].copy()
    across[:, 0] = 1 - across[:, 0]
    return ImageOps.mirror(image), across


def turned(image, points, degrees=10):
    angle = np.deg2rad(degrees)
    x, y = (points[:, :2] - 0.5).T
    new = points.copy()
    new[:, 0] = np.cos(angle) * x + np.sin(angle) * y + 0.5
    new[:, 1] = np.cos(angle) * y - np.sin(angle) * x + 0.5
    return image.rotate(degrees, Image.Resampling.BICUBIC), new


def cropped(image, points):
    low, high = np.array([0.13, 0.06]), np.array([0.9, 0.95])
    box = np.round(np.concatenate([low, high]) * image.width)
    new = points.copy()
    new[:, :2] = (points[:, :2] * image.width - box[:2]) / (box[2:] - box[:2])
    return image.crop(tuple(int(side) for side in box)), new


def rescaled(image, points):
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC), points


FACE = {
    "mirrored": [mirrored],
    "turned": [turned],
    "turned far": [partial(turned, degrees=35)],
    "cropped": [cropped],
    "rescaled": [rescaled],
    "cropped and mirrored": [cropped, mirrored],
    "mirrored, turned and rescaled": [mirrored, turned, rescaled],
}


@pytest.mark.parametrize("name", FACE)
def test_copies_of_faces_are_found(name, faces, make_row, tmp_path):
    original, landmarks, _ = faces[0]
    image, points = original, landmarks
    for step in FACE[name]:
        image, points = step(image, points)
    rng = np.random.default_rng(0)
    rows = [
        make_row("a", original, landmarks),
        make_row("b", image, moved(points, rng)),
    ]
    assert ("a", "b") in found_among(rows, tmp_path / "c")


def test_unrelated_images_are_no_pairs(photo, make_row, tmp_path):
    assert found_among([make_row(f"{n:03}", photo(n)) for n in range(60)], tmp_path / "c") == {}


def test_blank_images_are_no_pairs(make_row, tmp_path):
    rows = [make_row(str(n), Image.new("L", (48, 48), n)) for n in (5, 90, 200)]
    assert found_among(rows, tmp_path / "c") == {}


def test_a_copy_is_more_similar_than_any_other_expression(faces, make_row, tmp_path):
    rows = [make_row(f"{n:02}", *face[:2]) for n, face in enumerate(faces) if face[2] != faces[0][2]]
    rows += [make_row("copy", *mirrored(*faces[0][:2])), make_row("original", *faces[0][:2])]
    found = found_among(rows, tmp_path / "c", threshold=0)
    others = [similarity for pair, similarity in found.items() if pair[0] != "copy" and pair[1] == "original"]
    assert found["copy", "original"] > 0.98 > max(others)


def test_a_higher_threshold_finds_fewer(photo, make_row, tmp_path):
    rows = [make_row("a", photo(1)), make_row("b", WHOLE["cropped"](photo(1)))]
    similarity = found_among(rows, tmp_path / "c")["a", "b"]
    assert found_among(rows, tmp_path / "d", threshold=similarity) == {("a", "b"): similarity}
    assert found_among(rows, tmp_path / "e", threshold=similarity + 1e-3) == {}


@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image_have_no_pairs(count, photo, make_row, tmp_path):
    assert found_among([make_row(str(n), photo(n)) for n in range(count)], tmp_path / "c") == {}


def test_each_pair_is_found_once(photo, make_row, tmp_path):
    symmetric = Image.fromarray(np.maximum(np.asarray(photo(1)), np.asarray(photo(1))[:, ::-1]))
    rows = [make_row("a", symmetric), make_row("b", WHOLE["blurred"](symmetric))]
    assert list(found_among(rows, tmp_path / "c")) == [("a", "b")], "as it is, and mirrored too"


def test_progress_reaches_the_end(photo, make_row, tmp_path, recorder):
    cache = write_cache(tmp_path / "c", [make_row("a", photo(1)), make_row("b", WHOLE["blurred"](photo(1)))])
    find_near(look(cache, np.arange(2)), progress=recorder)
    assert recorder.ends["comparing images"][0] == recorder.ends["comparing images"][1]
    assert recorder.ends["verifying pairs"][0] == recorder.ends["verifying pairs"][1] > 0


def test_changes_are_those_of_pillow(photo, make_row, tmp_path):
    pictures = [photo(1), ImageOps.mirror(photo(1)), WHOLE["on its side"](photo(1))]
    cache = write_cache(tmp_path / "c", [make_row(str(n), one) for n, one in enumerate(pictures)])
    whole = look(cache, np.arange(3)).whole
    for change, row in ((Change(mirrored=True), 1), (Change(turns=1), 2)):
        assert np.abs(change(whole).values[0].astype(int) - whole.values[row]).max() <= 3
