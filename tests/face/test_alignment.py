import numpy as np
import pytest

from landmarkfer.face.alignment import MARGIN, aligned_crop
from landmarkfer.face.geometry import eye_centres
from landmarkfer.face.landmarks import CANONICAL


def painted_face(width, height, centre, radius, degrees, squeeze=1.0):
    """The canonical face as landmarks, and an image with a dot in each eye: red right, green left."""
    turn = np.deg2rad(degrees)
    points = CANONICAL * [radius * squeeze, radius, radius]
    points[:, :2] = points[:, :2] @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + centre
    image = np.full((height, width, 3), 40, np.uint8)
    for (x, y), colour in zip(eye_centres(points[:, :2]), ((255, 0, 0), (0, 255, 0)), strict=True):
        dot = max(1, round(radius * 0.1))
        image[round(y) - dot : round(y) + dot + 1, round(x) - dot : round(x) + dot + 1] = colour
    return image, (points / [width, height, width]).astype(np.float32)


def dots(crop):
    """Centres of the red and the green dot, in fractions of the crop."""
    found = []
    for channel, other in ((0, 1), (1, 0)):
        rows, columns = np.nonzero((crop[..., channel].astype(int) - crop[..., other]) > 100)
        found.append((np.array([columns.mean(), rows.mean()]) + 0.5) / len(crop))
    return found


@pytest.mark.parametrize("degrees", [0, 30, -100])
@pytest.mark.parametrize(("radius", "size"), [(60, 128), (20, 160), (300, 64)])
def test_eyes_are_level_and_always_in_the_same_place(degrees, radius, size):
    image, landmarks = painted_face(1800, 1500, (900, 700), radius, degrees)
    right, left = dots(aligned_crop(image, landmarks, size))
    # From the canonical face: its box and the margin fill the crop, which is centred on the box.
    low, high = CANONICAL[:, :2].min(axis=0), CANONICAL[:, :2].max(axis=0)
    side = (high - low).max() * (1 + 2 * MARGIN)
    for seen, eye in zip((right, left), eye_centres(CANONICAL[:, :2]), strict=True):
        np.testing.assert_allclose(seen, (eye - (low + high) / 2) / side + 0.5, atol=0.02)
    assert right[0] < left[0], "the subject's right eye is on the left of the picture"


def test_a_turned_head_is_not_blown_up():
    """A head in profile has its eyes close together; its height still sets the scale."""
    image, landmarks = painted_face(800, 800, (400, 400), 100, 0, squeeze=0.4)
    right, left = dots(aligned_crop(image, landmarks, 128))
    front, frontal = painted_face(800, 800, (400, 400), 100, 0)
    wide = dots(aligned_crop(front, frontal, 128))
    assert (left - right)[0] == pytest.approx(0.4 * (wide[1] - wide[0])[0], rel=0.1)


def test_beyond_the_image_its_edge_is_repeated():
    image = np.full((60, 60, 3), 200, np.uint8)
    _, landmarks = painted_face(60, 60, (5, 5), 40, 20)
    assert (aligned_crop(image, landmarks, 64) == 200).all()


def test_shrinking_does_not_skip_pixels():
    """A fine checkerboard becomes grey, not moire."""
    image = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = np.repeat(image[..., None], 3, axis=2)
    _, landmarks = painted_face(1200, 1200, (600, 600), 250, 10)
    crop = aligned_crop(image, landmarks, 64).astype(float)
    assert abs(crop - 127.5).max() < 30


def test_without_a_face_the_middle_is_taken():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 255
    crop = aligned_crop(image, None, 50)
    assert crop.shape == (50, 50, 3)
    assert (crop[:, 2:-2] == 255).all()
    assert aligned_crop(image[:1, :1], None, 16).shape == (16, 16, 3)


def test_landmarks_in_one_point_still_give_a_crop():
    crop = aligned_crop(np.zeros((50, 50, 3), np.uint8), np.full((478, 3), 0.5, np.float32), 32)
    assert crop.shape == (32, 32, 3)
