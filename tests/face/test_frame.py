"""The frame of training images: the square that shows a face as they do."""

import numpy as np
import pytest

from landmarkfer.face.frame import Frame
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.landmarks import CANONICAL


def face(size=0.2, centre=(0.5, 0.5), turn=0.0):
    """A face `[478, 3]` in fractions of a square image."""
    points = CANONICAL * np.float32(size)
    cos, sin = np.cos(turn), np.sin(turn)
    points[:, :2] = points[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32) + centre
    return points.astype(np.float32)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    faces = [face(0.2 * np.exp(rng.normal(0, 0.05)), 0.5 + rng.normal(0, 0.02, 2)) for _ in range(60)]
    return Frame.of(np.stack(faces)[..., :2], 48, grey=True)


def test_what_it_states(frame):
    np.testing.assert_allclose(frame.array, face()[:, :2], atol=0.02)
    scale, turn, place = frame.spread
    assert 0.03 < scale < 0.08 and turn < 1e-3 and 0.01 < place < 0.03
    assert Frame.model_validate_json(frame.model_dump_json()) == frame


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("size", [0.02, 0.1])
def test_a_face_anywhere_is_brought_to_the_mean_positions(frame, turn, size):
    points = face(size, (0.3, 0.7), turn)
    square = frame.square(points, 640, 640)
    placed = square.place(to_pixels(points, 640, 640), 1)
    np.testing.assert_allclose(placed[:, :2], frame.array, atol=1e-3)
    assert np.ptp(placed[:, 2]) == pytest.approx(np.ptp(face()[:, 2]), rel=0.05), "depth has the scale of x"


def test_oblong_images(frame):
    points = face(0.1, (0.5, 0.5)) / np.float32([2, 1, 2])  # an image twice as wide as high
    square = frame.square(points, 800, 400)
    placed = square.place(to_pixels(points, 800, 400), 1)
    # Undo the shift that dividing made.
    assert np.ptp(placed[:, 1]) == pytest.approx(np.ptp(frame.array[:, 1]), rel=0.05)


def test_an_image_that_is_framed_already_is_taken_whole(frame):
    square = frame.square(face(0.205, (0.51, 0.49)), 48, 48)
    assert square.side == 48 and square.centre.tolist() == [24, 24] and square.along.tolist() == [1, 0]
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    np.testing.assert_array_equal(square.cut(pixels, 48), pixels)
    assert frame.square(face(0.15), 48, 48).side < 40, "too small for the frame"
    assert abs(frame.square(face(turn=0.2), 48, 48).along[1]) > 0.1, "turned"


def test_a_face_of_no_extent_does_not_raise(frame):
    square = frame.square(np.full((478, 3), 0.5, np.float32), 64, 64)
    assert np.isfinite(square.side)
