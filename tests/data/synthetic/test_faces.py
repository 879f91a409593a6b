import dataclasses

import numpy as np
import pytest

from landmarkfer.data.synthetic import CLASSES, FaceParameters, make_face, make_faceless, make_faces
from landmarkfer.data.synthetic.motion import move_face
from landmarkfer.data.synthetic.portrait import Placement, load_portrait, read_landmarks
from landmarkfer.data.synthetic.portrait_warp import backward_map
from landmarkfer.data.synthetic.rendering import place_face, render, resting_portrait
from landmarkfer.face.geometry import eye_centres, interocular
from landmarkfer.face.landmarks import INNER_LIPS_RING, LEFT_EYE_RING, MIRROR, RIGHT_EYE_RING

SURPRISE = {1: (0.9, 0.9), 2: (1.0, 1.0), 5: (0.8, 0.8), 26: (0.9, 0.9)}


def detected(detector, image):
    found = detector.detect(image, threshold=0.3)
    assert len(found) == 1
    return found[0].landmarks[:, :2] * image.shape[1::-1]


def opening(landmarks):
    return (landmarks[14, 1] - landmarks[13, 1]) / interocular(landmarks)


def test_a_face_is_what_it_says(synthetic_faces):
    for face in synthetic_faces:
        assert face.image.shape == (192, 192, 3) and face.image.dtype == np.uint8
        assert face.landmarks.shape == (478, 2) and face.landmarks.dtype == np.float32
        assert face.landmarks.min() > 0 and face.landmarks.max() < 192
        assert face.image.std() > 25
        if face.label == "neutral":
            assert face.strength == 0
        else:
            assert 0.3 <= face.strength <= 1
    assert [face.label for face in synthetic_faces] == [*CLASSES, *CLASSES]


def test_seed_and_number_decide_a_face():
    first, again, other = (
        make_face("sad", 3, seed=5),
        make_face("sad", 3, seed=5),
        make_face("sad", 4, seed=5),
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)
    assert np.abs(first.landmarks - other.landmarks).mean() > 1
    in_series = list(make_faces(4, seed=5, classes=["sad"]))[3]
    np.testing.assert_array_equal(in_series.image, first.image)


def test_landmarks_scale_with_the_image():
    small, large = make_face("happy", 1, size=48), make_face("happy", 1, size=240)
    assert small.image.shape == (48, 48, 3)
    np.testing.assert_allclose(small.landmarks * 5, large.landmarks, rtol=1e-4)
    # Reduced, the large one is the small one, up to noise and blur.
    reduced = large.image.reshape(48, 5, 48, 5, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small.image).mean() < 8


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match=r"label must be one of angry, .* got 'bored'"):
        make_face("bored")
    with pytest.raises(ValueError, match="at least 32 pixels, got 16"):
        make_face("happy", size=16)


def test_detected_points_follow_the_intended_ones(synthetic_faces, detector):
    errors = np.array(
        [np.linalg.norm(detected(detector, face.image) - face.landmarks, axis=1) for face in synthetic_faces]
    )
    assert np.median(errors, axis=1).max() < 3.0
    assert np.median(errors) < 2.0


def test_the_detector_sees_the_mouth_open_as_far_as_meant(detector):
    for mirrored in (False, True):
        rest, rest_points = render(FaceParameters(mirrored=mirrored), 192)
        wide, wide_points = render(FaceParameters(mirrored=mirrored, action_units=SURPRISE), 192)
        seen = opening(detected(detector, wide.astype(np.uint8)))
        assert opening(rest_points) == pytest.approx(0.012, abs=0.01)
        assert opening(wide_points) > 0.2
        assert seen == pytest.approx(opening(wide_points), rel=0.4)
        assert opening(detected(detector, rest.astype(np.uint8))) < 0.05


def test_no_face_where_none_was_made(detector):
    first, second = make_faceless(0), make_faceless(1)
    assert not np.array_equal(first, second)
    for image in (first, second):
        assert image.shape == (192, 192, 3)
        assert not detector.detect(image, threshold=0.3)


def test_one_half_moves_alone_and_the_mirror_image_moves_the_same_half():
    for mirrored in (False, True):
        still = render(FaceParameters(mirrored=mirrored), 192)[1]
        moved = render(FaceParameters(mirrored=mirrored, action_units={12: (1.0, 0.0)}), 192)[1]
        shift = np.linalg.norm(moved - still, axis=1)
        assert shift[61] > 3 and shift[291] < 0.1
        # The subject's right is on the left of the picture either way.
        assert moved[61, 0] < moved[291, 0]


@pytest.mark.parametrize(
    ("change", "direction"),
    [({"yaw": 8.0}, (1, 0)), ({"pitch": 8.0}, (0, 1)), ({"shift": (0.1, 0.0)}, (1, 0))],
)
def test_pose_turns_the_nose_where_it_says(change, direction):
    still, turned = (render(FaceParameters(**fields), 192)[1] for fields in ({}, change))
    moved = (turned[1] - still[1]) @ np.array(direction)
    assert moved > 2


def test_roll_is_clockwise_as_seen():
    points = render(FaceParameters(roll=10.0), 192)[1]
    right, left = eye_centres(points)
    assert np.rad2deg(np.arctan2(*(left - right)[::-1])) == pytest.approx(10.0, abs=0.01)


def test_skin_neither_folds_nor_tears(synthetic_faces):
    holes = [INNER_LIPS_RING, RIGHT_EYE_RING, LEFT_EYE_RING]
    for face in synthetic_faces:
        parameters = face.parameters
        rest = resting_portrait(parameters.mirrored)
        target = move_face(
            rest.face, parameters.action_units, parameters.shape, parameters.yaw, parameters.pitch
        )
        placement = place_face(parameters, 192)
        backward = backward_map(rest, target, placement, 192, controls=260, grid=49)
        (xy, xx), (yy, yx) = np.gradient(backward[..., 0]), np.gradient(backward[..., 1])
        folded = (xx * yy - xy * yx) < 0
        assert folded.mean() < 0.005
        # Mouth and eyes may fold, being covered; the rest of the face must be whole.
        ys, xs = np.nonzero(folded)
        pixels = np.column_stack([xs, ys]) + 0.5
        away = np.ones(len(pixels), dtype=bool)
        for ring in holes:
            contour = face.landmarks[list(ring)]
            margin = 0.12 * parameters.unit * 192
            away &= ((pixels < contour.min(axis=0) - margin) | (pixels > contour.max(axis=0) + margin)).any(
                axis=1
            )
        assert away.sum() < 40


def test_corners_are_backdrop_however_the_head_is_turned():
    for roll in (-20.0, 20.0):
        for unit in (0.22, 0.29):
            image = render(FaceParameters(roll=roll, unit=unit, shift=(0.03, 0.05)), 192)[0]
            # Bright and almost even, as the backdrop is; a border of zeros would be black.
            for corner in (image[:8, :8], image[:8, -8:]):
                assert corner.mean() > 60


def test_the_stored_landmarks_are_those_of_the_portrait(detector):
    from skimage.data import astronaut

    found = detected(detector, astronaut()[:256, 96:352]) + np.array([96, 0])
    error = np.linalg.norm(found - read_landmarks()[:, :2], axis=1)
    assert np.median(error) < 1.0 and error.max() < 4.0


def test_the_mirrored_portrait_is_the_mirror_image():
    portrait, mirrored = load_portrait(), load_portrait(mirrored=True)
    np.testing.assert_array_equal(mirrored.image, portrait.image[:, ::-1])
    np.testing.assert_allclose(mirrored.landmarks[MIRROR][:, 0], 512 - portrait.landmarks[:, 0])
    np.testing.assert_allclose(mirrored.face[MIRROR] * (-1, 1, 1), portrait.face, atol=1e-9)


def test_face_coordinates_are_level_and_in_units_of_the_eyes_distance():
    right, left = eye_centres(load_portrait().face[:, :2])
    np.testing.assert_allclose([right, left], [[-0.5, 0.0], [0.5, 0.0]], atol=1e-9)
    placement = Placement((10.0, 20.0), np.pi / 2, 5.0)
    # A quarter turn clockwise takes the image right to the bottom.
    np.testing.assert_allclose(placement.to_pixels(np.array([1.0, 0.0])), [10.0, 25.0], atol=1e-9)
    points = np.array([[0.3, -0.7], [2.0, 1.0]])
    np.testing.assert_allclose(placement.to_face(placement.to_pixels(points)), points)


def test_the_shared_portraits_cannot_be_changed():
    for portrait in (load_portrait(), resting_portrait()):
        with pytest.raises(ValueError, match="read-only"):
            portrait.image[0, 0] = 0
        with pytest.raises(dataclasses.FrozenInstanceError):
            portrait.image = None
