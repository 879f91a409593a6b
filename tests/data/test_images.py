import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data import images
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.images import load_images, natural_size, to_square
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def row(name, pixels):
    height, width = pixels.shape[:2]
    return Row(id=name, label="sad", status="no_face", width=width, height=height, face=encoded(pixels))


@pytest.fixture
def cache(make_pictured_rows, tmp_path):
    return write_cache(tmp_path / "faces", make_pictured_rows(train=6, test=3), part_rows=10)


def test_pixels_are_those_of_the_stored_files(cache):
    pixels = load_images(cache, natural_size(cache), 1)
    assert pixels.shape == (len(cache), 1, 24, 24)
    statuses = cache.frame()["status"].tolist()
    for number, data in enumerate(cache.faces(range(len(cache)))):
        if data is None:
            assert statuses[number] == "unreadable"
            assert (pixels[number] == 0).all()
        else:
            np.testing.assert_array_equal(pixels[number, 0], np.asarray(Image.open(io.BytesIO(data))))
    assert statuses.count("unreadable") == 1


def test_they_are_decoded_once(cache, monkeypatch):
    first = load_images(cache, 24, 1)
    monkeypatch.setattr(images, "to_square", None)
    again = load_images(cache, 24, 1)
    np.testing.assert_array_equal(first, again)
    assert not isinstance(again, np.memmap)
    monkeypatch.setattr(images, "MAPPED_BYTES", 100)
    mapped = load_images(cache, 24, 1)
    assert isinstance(mapped, np.memmap), "large arrays stay on the disk"
    mapped[0] = 0
    np.testing.assert_array_equal(load_images(cache, 24, 1), first, "nothing is ever written back")


def test_two_that_want_them_at_once_decode_once(cache, monkeypatch):
    begun = []
    original = images._fill

    def slowly(*args):
        begun.append(args)
        time.sleep(0.3)
        original(*args)

    monkeypatch.setattr(images, "_fill", slowly)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load_images(cache, 24, 1), range(2))
    assert len(begun) == 1
    np.testing.assert_array_equal(first, second)
    assert first.any()


def test_other_content_is_decoded_anew(make_pictured_rows, cache, tmp_path):
    load_images(cache, 24, 1)
    (kept,) = (cache.path / "images").iterdir()
    other = write_cache(tmp_path / "other", make_pictured_rows(train=6, test=3, seed=5), part_rows=10)
    (other.path / "images").mkdir()
    kept.rename(other.path / "images" / kept.name)
    pixels = load_images(other, 24, 1)
    np.testing.assert_array_equal(pixels[0, 0], np.asarray(Image.open(io.BytesIO(other.faces([0])[0]))))
    assert len(list((other.path / "images").iterdir())) == 1, "what fits no more is removed"


def test_where_nothing_can_be_kept_they_are_decoded_all_the_same(cache, monkeypatch, caplog):
    expected = load_images(cache, 24, 3)

    def full(*_, **__):
        raise OSError("No space left on device")

    for path in (cache.path / "images").iterdir():
        path.unlink()
    monkeypatch.setattr(np.lib.format, "open_memmap", full)
    np.testing.assert_array_equal(load_images(cache, 24, 3), expected)
    assert "cannot be written (No space left on device)" in caplog.text


def test_a_damaged_array_is_named(cache):
    load_images(cache, 24, 1)
    (kept,) = (cache.path / "images").iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    with pytest.raises(CacheError, match=r"24x1-.*\.npy is damaged .*delete it"):
        load_images(cache, 24, 1)


def test_a_damaged_image_is_named(tmp_path):
    broken = row("b.png", np.zeros((8, 8), np.uint8))
    broken.face = broken.face[:40]
    cache = write_cache(tmp_path / "c", [row("a.png", np.zeros((8, 8), np.uint8)), broken])
    with pytest.raises(CacheError, match=r"stored image of b\.png .*is damaged"):
        load_images(cache, 8, 1)
    assert not list((cache.path / "images").glob("*.npy")), "half an array is not kept"


def test_progress_counts_the_images(cache, monkeypatch, recorder):
    monkeypatch.setattr(images, "_CHUNK", 4)
    load_images(cache, 24, 1, recorder)
    total = len(cache)
    assert recorder.steps == [(0, total), *((min(done, total), total) for done in range(4, total + 4, 4))]


class TestSize:
    def test_images_of_one_size_keep_it(self, cache):
        assert natural_size(cache) == 24

    @pytest.mark.parametrize("shape", [(20, 24), (200, 200)])
    def test_other_images_get_the_default(self, tmp_path, shape):
        assert natural_size(write_cache(tmp_path / "c", [row("a", np.zeros(shape, np.uint8))])) == 128

    def test_of_crops(self, tmp_path):
        rows = [row("a", np.zeros((300, 500), np.uint8))]
        assert natural_size(write_cache(tmp_path / "c", rows, settings={"crop": 96})) == 96


class TestSquare:
    def test_the_longer_side_fills_it(self):
        picture = Image.fromarray(np.full((10, 20), 200, np.uint8))
        pixels = to_square(picture, 40, 1)
        assert pixels.shape == (1, 40, 40)
        assert (pixels[0, 10:30] == 200).all()
        assert (pixels[0, :10] == 0).all() and (pixels[0, 30:] == 0).all()

    def test_channels(self):
        colour = Image.fromarray(np.full((8, 8, 3), (255, 0, 0), np.uint8))
        assert to_square(colour, 8, 3)[:, 0, 0].tolist() == [255, 0, 0]
        assert to_square(colour, 8, 1)[0, 0, 0] == 76  # 0.299 * 255
        grey = Image.fromarray(np.full((8, 8), 90, np.uint8))
        assert to_square(grey, 8, 3)[:, 0, 0].tolist() == [90, 90, 90]
