"""The frame of a cache's training images."""

import io

import numpy as np
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.framing import training_frame
from landmarkfer.data.row import Row
from landmarkfer.face.landmarks import CANONICAL


def rows(count=6, size=48, mode="L", width=None):
    points = (CANONICAL * 0.2 + [0.5, 0.5, 0]).astype(np.float32)
    file = io.BytesIO()
    Image.new(mode, (width or size, size)).save(file, "PNG")
    return [
        Row(
            id=f"{number}",
            label="happy",
            split="train",
            width=width or size,
            height=size,
            landmarks=points + np.float32([0.01 * (number % 2), 0, 0]),
            face=file.getvalue(),
        )
        for number in range(count)
    ]


def frame_of(tmp_path, made, **options):
    cache = write_cache(tmp_path / "cache", made, **options)
    return training_frame(cache, np.arange(len(made)))


def test_of_small_squares(tmp_path):
    frame = frame_of(tmp_path, rows())
    assert (frame.size, frame.grey) == (48, True)
    np.testing.assert_allclose(frame.array, (CANONICAL * 0.2 + [0.505, 0.5, 0])[:, :2], atol=1e-4)


def test_colour(tmp_path):
    assert not frame_of(tmp_path, rows(mode="RGB")).grey


def test_of_aligned_crops_it_is_that_of_the_images(tmp_path):
    whole, cropped = (frame_of(tmp_path / str(crop), rows(), settings={"crop": crop}) for crop in (None, 32))
    assert cropped == whole and cropped.size == 48


def test_images_that_are_no_crops_have_none(tmp_path):
    assert frame_of(tmp_path / "a", rows(width=60)) is None, "not square"
    assert frame_of(tmp_path / "b", [*rows(3), *[row for row in rows(6, 64) if int(row.id) > 2]]) is None
    missing = [
        Row(id=f"{n}", label="sad", split="train", status="no_face", width=48, height=48) for n in range(3)
    ]
    assert frame_of(tmp_path / "d", missing) is None
