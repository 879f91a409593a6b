import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from landmarkfer.data.synthetic.motion import turn
from landmarkfer.face.geometry import roll_angle
from landmarkfer.face.landmarks import CANONICAL, LEFT_EYE_CORNERS, MIRROR, OUTER_LIPS_RING, RIGHT_EYE_CORNERS
from landmarkfer.face.pose import STEADY, head_angles, misfit

NOSE_TIP = 1


def turned(yaw=0.0, pitch=0.0, roll=0.0, size=40.0):
    """The canonical face, turned; by hand: x right, y down, z away from the camera."""
    turns = Rotation.from_euler("ZYX", [roll, -yaw, -pitch], degrees=True)
    return size * turns.apply(CANONICAL.astype(float)) + [24.0, 20.0, 3.0]


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 75), (-40, 15, -30)])
def test_the_angles_of_a_turned_canonical_face(angles):
    assert head_angles(turned(*angles)[None])[0] == pytest.approx(angles, abs=1e-4)


def test_signs_as_seen_in_the_image():
    plain, right, up = turned(), turned(yaw=25), turned(pitch=25)
    eyes = [*RIGHT_EYE_CORNERS, *LEFT_EYE_CORNERS]
    assert (right[NOSE_TIP] - right[eyes].mean(axis=0))[0] > (plain[NOSE_TIP] - plain[eyes].mean(axis=0))[0]
    assert (up[NOSE_TIP] - up[eyes].mean(axis=0))[1] < (plain[NOSE_TIP] - plain[eyes].mean(axis=0))[1]
    assert np.degrees(roll_angle(turned(roll=20).astype(np.float32))) == pytest.approx(20, abs=1e-3)


def test_yaw_is_that_of_the_synthetic_faces():
    face = 40 * CANONICAL.astype(float)
    assert head_angles(turn(face, 9.0, 0.0)[None])[0] == pytest.approx([9, 0, 0], abs=1e-3)


def test_size_and_place_do_not_matter_and_a_mirrored_face_looks_the_other_way():
    face = turned(20, 10, 5)
    yaw, pitch, roll = head_angles((3 * face + 100)[None])[0]
    assert (yaw, pitch, roll) == pytest.approx((20, 10, 5), abs=1e-4)
    mirrored = face[MIRROR] * [-1, 1, 1]
    assert head_angles(mirrored[None])[0] == pytest.approx((-20, 10, -5), abs=1e-4)


def test_the_mouth_does_not_count():
    face = turned(12, -8, 3)
    opened = face.copy()
    opened[list(OUTER_LIPS_RING), 1] += 15
    assert head_angles(opened[None]) == pytest.approx(head_angles(face[None]))


def test_a_missing_face_has_no_angle():
    faces = np.stack([turned(5), np.full((478, 3), np.nan)])
    angles = head_angles(faces)
    assert angles[0, 0] == pytest.approx(5, abs=1e-4)
    assert np.isnan(angles[1]).all()
    assert head_angles(np.empty((0, 478, 3))).shape == (0, 3)


def test_steady_points_are_distinct_and_mirror_into_themselves():
    assert len(set(STEADY)) == len(STEADY)
    assert set(MIRROR[list(STEADY)].tolist()) == set(STEADY)


@pytest.mark.parametrize("angles", [(0, 0, 0), (80, 20, 0), (0, 0, 170)])
def test_a_turned_face_fits_and_a_mirror_image_does_not(angles):
    face = turned(*angles)
    found = misfit(np.stack([face, face * [-1, 1, 1], np.full((478, 3), np.nan), np.zeros((478, 3))]))
    assert found[0] == pytest.approx(0, abs=1e-6) and found[1] > 0.5 and np.isnan(found[2:]).all()


def test_misfit_is_the_distance_that_a_fit_leaves():
    rng = np.random.default_rng(0)
    face = turned(20, 5, 40) + rng.normal(0, 3, (478, 3))
    centred, canonical = face - face.mean(axis=0), CANONICAL - CANONICAL.mean(axis=0, dtype=float)
    turn, rest = Rotation.align_vectors(centred, canonical)
    fitted = turn.apply(canonical)
    fitted *= (fitted * centred).sum() / np.square(fitted).sum()
    expected = np.sqrt(np.square(centred - fitted).sum() / np.square(centred).sum())
    assert rest > 0 and misfit(face[None])[0] == pytest.approx(expected, rel=1e-6)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"got \[478, 3\]"):
        head_angles(turned())


def test_angles_of_noisy_points_are_those_of_the_nearest_rotation():
    rng = np.random.default_rng(0)
    faces = np.stack([turned(*angles) for angles in rng.uniform(-80, 80, (20, 3))])
    faces += rng.normal(0, 2, faces.shape)
    steady, canonical = faces[:, STEADY], CANONICAL[list(STEADY)].astype(float)
    for face, angles in zip(steady, head_angles(faces), strict=True):
        nearest, _ = Rotation.align_vectors(face - face.mean(axis=0), canonical - canonical.mean(axis=0))
        roll, yaw, pitch = nearest.as_euler("ZYX", degrees=True)
        assert angles == pytest.approx((-yaw, -pitch, roll), abs=1e-6)
