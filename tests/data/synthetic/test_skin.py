import numpy as np
import pytest

from landmarkfer.data.synthetic.action_units import ACTION_UNITS
from landmarkfer.data.synthetic.skin import displacement, mesh_distances, side_weights, spread
from landmarkfer.face.landmarks import LEFT_IRIS, MIRROR, N_MESH, RIGHT_IRIS, SIDE

INNER_BROW, OUTER_BROW, UPPER_LID, LOWER_LID = 107, 70, 159, 145
MOUTH_CORNER, UPPER_LIP, LOWER_LIP, CHIN, NOSE_WING, NOSE_TIP = 61, 13, 14, 152, 64, 4


def up(number, point):
    return -displacement(number)[point, 1]


def outward(number, point):
    """Of a point of the subject's right half, which lies on the left of the picture."""
    assert SIDE[point] == -1
    return -displacement(number)[point, 0]


@pytest.mark.parametrize("number", ACTION_UNITS)
def test_every_unit_is_symmetric_and_moves_no_iris(number):
    moved = displacement(number)
    np.testing.assert_array_equal(moved[MIRROR] * (-1, 1), moved)
    assert np.abs(moved).max() > 0.02
    assert not moved[[*RIGHT_IRIS, *LEFT_IRIS]].any()


def test_units_move_what_the_coding_system_says():
    assert up(1, INNER_BROW) > 3 * abs(up(1, OUTER_BROW))
    assert up(2, OUTER_BROW) > 3 * abs(up(2, INNER_BROW))
    assert up(4, INNER_BROW) < -0.05 and outward(4, INNER_BROW) < -0.03
    assert up(5, UPPER_LID) > 0.03 and abs(up(5, LOWER_LID)) < 0.005
    assert up(7, LOWER_LID) > 0.02 and up(7, UPPER_LID) < -0.01
    assert up(9, NOSE_WING) > 0.05
    assert up(10, UPPER_LIP) > 0.04 and abs(up(10, LOWER_LIP)) < 0.01
    assert up(12, MOUTH_CORNER) > 0.05 and outward(12, MOUTH_CORNER) > 0.05
    assert up(15, MOUTH_CORNER) < -0.08 and abs(up(15, UPPER_LIP)) < 0.02
    assert up(16, LOWER_LIP) < -0.04 and abs(up(16, UPPER_LIP)) < 0.01
    assert outward(20, MOUTH_CORNER) > 0.08 and abs(up(20, MOUTH_CORNER)) < 0.03
    assert outward(23, MOUTH_CORNER) < -0.03
    assert up(25, UPPER_LIP) > 0 > up(25, LOWER_LIP)


def test_the_jaw_drops_without_the_upper_lip():
    assert up(26, CHIN) < -0.25 and up(26, LOWER_LIP) < -0.25
    assert abs(up(26, UPPER_LIP)) < 0.05 and abs(up(26, NOSE_TIP)) < 0.02


def test_the_way_from_lip_to_lip_goes_round_the_mouth():
    distances = mesh_distances()
    assert distances.shape == (N_MESH, N_MESH) and np.isfinite(distances).all()
    np.testing.assert_allclose(distances, distances.T)
    assert distances[UPPER_LIP, LOWER_LIP] > distances[UPPER_LIP, MOUTH_CORNER]


def test_skin_follows_less_the_further_away():
    moved = spread(np.array([CHIN]), np.array([[0.0, -1.0]]), reach=0.2)
    np.testing.assert_allclose(moved[CHIN], [0.0, -1.0])
    by_distance = -moved[np.argsort(mesh_distances()[CHIN]), 1]
    assert (np.diff(by_distance) <= 1e-12).all() and by_distance[-1] < 1e-6


def test_half_of_the_face_can_move_alone():
    right, left = side_weights()
    np.testing.assert_allclose(right + left, 1.0)
    assert right[61] > 0.99 and left[291] > 0.99
    assert right[152] == pytest.approx(0.5)
