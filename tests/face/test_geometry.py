import numpy as np
import pytest

from landmarkfer.face.geometry import (
    eye_centres,
    interocular,
    mirror,
    normalise,
    roll_angle,
    rotate,
    to_pixels,
)
from landmarkfer.face.landmarks import CANONICAL, LEFT_EYE_CORNERS, MIRROR, RIGHT_EYE_CORNERS


def faces(n=5, seed=0):
    """Faces in square pixels, `[n, 478, 3]`, every one another shape."""
    noise = np.random.default_rng(seed).standard_normal((n, 478, 3))
    return (60 * (CANONICAL + 0.05 * noise)).astype(np.float32)


def in_image(pixels, width, height, shift=(0.0, 0.0)):
    """As the detector gives it: fractions of an image, the face's centre moved from the middle."""
    centre = np.array([width / 2 + shift[0], height / 2 + shift[1], 0])
    return ((pixels + centre) / [width, height, width]).astype(np.float32)


def turned(pixels, angle):
    """Clockwise as seen in the image, y down: the subject's left (on the right) goes down."""
    cos, sin = np.cos(angle), np.sin(angle)
    return pixels @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


@pytest.mark.parametrize("align", ["roll", "none"])
@pytest.mark.parametrize("scale", ["rms", "interocular"])
def test_the_shape_of_the_image_does_not_matter(align, scale):
    face = faces()
    square = normalise(in_image(face, 400, 400), 400, 400, align=align, scale=scale)
    wide = normalise(in_image(face, 800, 400), 800, 400, align=align, scale=scale)
    tall = normalise(in_image(face, 300, 900), 300, 900, align=align, scale=scale)
    np.testing.assert_allclose(wide, square, atol=1e-5)
    np.testing.assert_allclose(tall, square, atol=1e-5)
    # Without the aspect restored, the wide image squeezes the face to half its width.
    squeezed = normalise(in_image(face, 800, 400), 1, 1, align=align, scale=scale)
    assert np.abs(squeezed - square).max() > 0.1


def test_place_size_and_roll_do_not_matter():
    face = faces()
    plain = normalise(in_image(face, 400, 300), 400, 300)
    for changed in (
        in_image(face, 400, 300, shift=(70, -40)),
        in_image(2.5 * face, 400, 300),
        in_image(turned(face, 0.7), 400, 300),
        in_image(turned(0.3 * face, -2.9), 400, 300, shift=(500, 0)),
    ):
        np.testing.assert_allclose(normalise(changed, 400, 300), plain, atol=2e-4)


def test_what_is_one_and_what_is_level_afterwards():
    landmarks = in_image(turned(faces(), 0.4), 640, 480, shift=(50, 20))
    rms = normalise(landmarks, 640, 480)
    np.testing.assert_allclose(rms.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose((rms[..., :2] ** 2).sum(-1).mean(-1), 1, atol=1e-5)
    right, left = eye_centres(rms)
    np.testing.assert_allclose(right[:, 1], left[:, 1], atol=1e-5)
    assert (right[:, 0] < left[:, 0]).all(), "the subject's right eye is on the left of the picture"

    by_eyes = normalise(landmarks, 640, 480, scale="interocular")
    np.testing.assert_allclose(interocular(by_eyes), 1, atol=1e-5)
    kept = normalise(landmarks, 640, 480, align="none")
    np.testing.assert_allclose(roll_angle(kept), roll_angle(to_pixels(landmarks, 640, 480)), atol=1e-4)
    assert (np.abs(roll_angle(kept)) > 0.2).all()


def test_depth_is_on_the_scale_of_the_width():
    face = faces(1)
    landmarks = in_image(face, 800, 400)
    pixels = to_pixels(landmarks, 800, 400)
    np.testing.assert_allclose(pixels[..., 2], face[..., 2], atol=1e-3)
    result = normalise(landmarks, 800, 400, align="none")
    size = np.sqrt(np.square(face[..., :2] - face[..., :2].mean(1)).sum(-1).mean())
    np.testing.assert_allclose(result[0, :, 2], (face[0, :, 2] - face[0, :, 2].mean()) / size, atol=1e-4)


def test_roll_angle_by_hand():
    face = np.zeros((478, 3), np.float32)
    face[list(RIGHT_EYE_CORNERS), :2] = [[0, 0], [2, 0]]
    face[list(LEFT_EYE_CORNERS), :2] = [[3, 2], [5, 2]]
    right, left = eye_centres(face)
    np.testing.assert_array_equal(right, [1, 0, 0])
    np.testing.assert_array_equal(left, [4, 2, 0])
    assert roll_angle(face) == pytest.approx(np.arctan2(2, 3))
    assert interocular(face) == pytest.approx(np.sqrt(13))


def test_rotate_by_a_quarter_is_clockwise_in_the_image():
    points = np.array([[[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]]])
    np.testing.assert_allclose(rotate(points, np.array([np.pi / 2])), [[[0, 1, 5], [-1, 0, 5]]], atol=1e-12)


def test_missing_faces_stay_missing_and_touch_no_other():
    landmarks = in_image(faces(), 400, 300)
    alone = normalise(landmarks, 400, 300)
    landmarks[[1, 3]] = np.nan
    with np.errstate(all="raise"):
        result = normalise(landmarks, 400, 300)
    assert np.isnan(result[[1, 3]]).all()
    np.testing.assert_array_equal(result[[0, 2, 4]], alone[[0, 2, 4]])


def test_a_batch_is_its_faces_one_by_one():
    widths, heights = np.array([400, 200, 640, 96, 48]), np.array([300, 500, 480, 96, 48])
    batch = np.stack([in_image(f, w, h) for f, w, h in zip(faces(), widths, heights, strict=True)])
    together = normalise(batch, widths, heights)
    single = [normalise(f, w, h) for f, w, h in zip(batch, widths, heights, strict=True)]
    np.testing.assert_array_equal(together, np.stack(single))
    assert together.dtype == np.float32
    assert single[0].shape == (478, 3)


def test_normalising_does_not_change_its_input():
    landmarks = in_image(faces(), 400, 300)
    before = landmarks.copy()
    normalise(landmarks, 400, 300)
    np.testing.assert_array_equal(landmarks, before)


def test_mirror_commutes_with_normalise():
    landmarks = in_image(turned(faces(), 0.3), 640, 480, shift=(80, 10))
    flipped = landmarks[:, MIRROR].copy()
    flipped[..., 0] = 1 - flipped[..., 0]  # the detector on the mirrored image
    np.testing.assert_allclose(
        normalise(flipped, 640, 480), mirror(normalise(landmarks, 640, 480)), atol=1e-4
    )
    # Without the swap of left and right, the mirrored face would be aligned upside down.
    unswapped = landmarks.copy()
    unswapped[..., 0] = 1 - unswapped[..., 0]
    difference = normalise(unswapped, 640, 480) - mirror(normalise(landmarks, 640, 480))
    assert np.abs(difference).max() > 0.5


def test_mirror_is_an_involution_and_copies():
    face = faces(2)
    before = face.copy()
    np.testing.assert_array_equal(mirror(mirror(face)), face)
    np.testing.assert_array_equal(face, before)
    assert mirror(face)[0, 33, 0] == -face[0, 263, 0]


@pytest.mark.parametrize("scale", ["rms", "interocular"])
def test_a_face_without_extent_stays_finite(scale):
    point = np.full((3, 478, 3), 0.3, np.float32)
    point[1, :, 2] = np.linspace(-1, 1, 478)  # all in one line toward the camera
    point[2, 100:, 0] += 0.4  # some extent, but both eyes in one place
    with np.errstate(all="raise"):
        assert np.isfinite(normalise(point, 400, 300, scale=scale)).all()


@pytest.mark.parametrize("shape", [(478,), (478, 2), (3, 468, 3), (2, 3, 478)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[\.\.\., 478, 3\], got"):
        normalise(np.zeros(shape, np.float32), 1, 1)


@pytest.mark.parametrize(("keyword", "known"), [("align", "roll"), ("scale", "interocular")])
def test_unknown_choices_are_refused(keyword, known):
    with pytest.raises(ValueError, match=f"{known}.*got 'eyes'"):
        normalise(faces(1), 1, 1, **{keyword: "eyes"})
