"""Pictures of faces: what is drawn lies where it hides nothing that counts."""

import numpy as np
import pytest

from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.reporting.faces import FaceNote, annotate_image

GREY = 120
BARS = (("happy", 0.75), ("neutral", 0.25), ("fear", 0.0))


def points(low, high):
    """A face whose bounds are `low` to `high` pixels in both directions."""
    face = np.asarray(CANONICAL)[:, :2]
    return low + (face - face.min(axis=0)) / np.ptp(face, axis=0) * (high - low)


def drawn(bars, low, high, side=400):
    pixels = np.full((side, side, 3), GREY, np.uint8)
    return np.asarray(annotate_image(pixels, [FaceNote(points(low, high), "happy 75 %", bars)]))


def test_bars_under_a_face_leave_the_image_its_size():
    assert drawn(BARS, 100, 250).shape == (400, 400, 3)
    assert drawn((), 100, 399).shape == (400, 400, 3)


@pytest.mark.parametrize("high", [380, 399, 700])
def test_bars_do_not_hide_a_face_at_the_lower_border(high):
    with_bars, without = drawn(BARS, 100, high), drawn((), 100, high)
    assert with_bars.shape[0] > 400 and with_bars.shape[0] < 500 and with_bars.shape[1:] == (400, 3)
    shown = min(high + 2, 400)
    np.testing.assert_array_equal(with_bars[:shown], without[:shown])


def test_a_bar_is_as_long_as_its_probability():
    image, width = drawn(BARS, 100, 300), 200
    found = np.flatnonzero((np.abs(image[302:] - np.array([56, 189, 248])).sum(axis=2) < 9).any(axis=0))
    assert found.max() - found.min() == pytest.approx(0.75 * width, abs=3)


def test_small_images_are_enlarged():
    assert drawn((), 10, 40, side=48).shape == (240, 240, 3)
    assert annotate_image(np.zeros((20, 10, 3), np.uint8), [FaceNote(None, "no face")]).size == (120, 240)
