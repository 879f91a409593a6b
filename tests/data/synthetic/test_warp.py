import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from landmarkfer.data.synthetic.warp import ThinPlate, grid_interpolation, sample


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_thin_plate_takes_the_given_values_and_is_scipys_in_between(rng):
    centres, values = rng.uniform(0, 200, (40, 2)), rng.normal(size=(40, 2))
    elsewhere = rng.uniform(-50, 250, (60, 2))
    plate = ThinPlate(centres, values)
    np.testing.assert_allclose(plate(centres), values, atol=1e-3)
    reference = RBFInterpolator(centres, values, kernel="thin_plate_spline")
    np.testing.assert_allclose(plate(elsewhere), reference(elsewhere), atol=1e-3)


def test_thin_plate_through_a_plane_is_the_plane(rng):
    centres = rng.uniform(-1, 1, (12, 2))
    plane = np.array([[0.5, -2.0], [1.5, 0.25]])
    plate = ThinPlate(centres, centres @ plane + 3.0)
    points = rng.uniform(-5, 5, (30, 2))
    np.testing.assert_allclose(plate(points), points @ plane + 3.0, atol=1e-3)


def test_smoothing_keeps_two_points_in_one_place_from_tearing():
    centres = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.5, 0.5 + 1e-9]])
    values = np.array([[0.0], [0.0], [0.0], [0.0], [-0.1], [0.1]])
    assert abs(ThinPlate(centres, values, smoothing=1e-2)(np.array([[0.5, 0.6]]))[0, 0]) < 0.02


def test_grid_interpolation_is_exact_for_straight_lines():
    coarse, matrix = grid_interpolation(101, 6)
    assert coarse[0] == 0.5 and coarse[-1] == 100.5
    assert matrix.shape == (101, 6)
    np.testing.assert_allclose(matrix @ (3.0 * coarse - 1.0), 3.0 * (np.arange(101) + 0.5) - 1.0, atol=1e-9)


def test_sample_counts_from_the_corner_of_the_first_pixel_and_mirrors_the_border():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1) * 10
    at = np.array([[[0.5, 0.5], [3.5, 2.5], [1.0, 0.5], [0.5, 1.0]]])
    # Centres of the first and last pixel, then halfway to the right and to the lower neighbour of the first.
    np.testing.assert_allclose(sample(image, at)[0, :, 0], [0, 110, 5, 20])
    # One pixel beyond the first column is the second column again.
    assert sample(image, np.array([[[-0.5, 0.5]]]))[0, 0, 0] == 10
