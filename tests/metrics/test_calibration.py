import numpy as np
import pandas as pd
import pytest

from landmarkfer.metrics.calibration import (
    FEWEST,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_points,
    reliability_table,
)
from landmarkfer.metrics.intervals import proportion_intervals


def test_error_is_the_mean_gap_weighted_by_images():
    # Bins (0.2, 0.4] and (0.8, 1.0]: gaps |0 - 0.3| of 1 image and |2/3 - 0.9| of 3 images.
    confidence, correct = [0.3, 0.9, 0.85, 0.95], [False, True, True, False]
    expected = (1 * 0.3 + 3 * (0.9 - 2 / 3)) / 4
    assert expected_calibration_error(confidence, correct, bins=5) == pytest.approx(expected)


def test_table_lists_every_bin_and_leaves_empty_ones_undefined():
    table = reliability_table([0.3, 0.9, 0.85, 0.95], [False, True, True, False], bins=5)
    assert table["count"].tolist() == [0, 1, 0, 0, 3]
    np.testing.assert_allclose(table["confidence"], [np.nan, 0.3, np.nan, np.nan, 0.9])
    np.testing.assert_allclose(table["accuracy"], [np.nan, 0, np.nan, np.nan, 2 / 3])


def test_bins_are_closed_on_the_right_and_zero_is_in_the_first():
    table = reliability_table([0.0, 0.5, 0.50001, 1.0], [True] * 4, bins=2)
    assert table["count"].tolist() == [2, 2]


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not():
    assert expected_calibration_error([1.0, 1.0], [True, True]) == 0
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1


def test_scores_of_probabilities_by_hand():
    p = [[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]]
    assert negative_log_likelihood(p, [1, 1]) == pytest.approx(-(np.log(0.25) + np.log(0.9)) / 2)
    assert brier_score(p, [1, 1]) == pytest.approx((0.25 + 0.5625 + 0.0625 + 0.01 + 0.01) / 2)
    assert brier_score([[1.0, 0.0]], [1]) == 2, "two classes are no exception"
    assert np.isfinite(negative_log_likelihood(p, [1, 2])), "also where the label was told to be impossible"


@pytest.mark.parametrize("confidence", [[1.2, 0.5], [np.nan, 0.5], [0.5], []])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        expected_calibration_error(confidence, [True, True])


class TestReliabilityPoints:
    def test_small_bins_are_joined_by_hand(self):
        # Bins of a fifth: 2, 0, 3, 12 and 1 images.
        confidence = np.array([0.1] * 2 + [0.5] * 3 + [0.7] * 12 + [0.9])
        correct = np.array([True, False, True, True, False] + [True] * 9 + [False] * 3 + [True])
        points = reliability_points(confidence, correct, bins=5, fewest=3)
        assert points["count"].tolist() == [5, 13], "the last bin joins the point below it"
        np.testing.assert_allclose(points["confidence"], [(0.2 + 1.5) / 5, (12 * 0.7 + 0.9) / 13])
        np.testing.assert_allclose(points["accuracy"], [3 / 5, 10 / 13])
        np.testing.assert_array_equal(points[["low", "high"]], proportion_intervals([3, 10], [5, 13]))

    def test_every_image_is_in_one_point_of_enough_images(self):
        rng = np.random.default_rng(0)
        for images in (1, 9, 10, 30, 400):
            confidence, correct = rng.random(images) ** 0.3, rng.random(images) < 0.7
            points = reliability_points(confidence, correct)
            assert points["count"].sum() == images
            assert len(points) == 1 or points["count"].min() >= FEWEST
            assert (points["count"] * points["accuracy"]).sum() == pytest.approx(correct.sum())
            assert points["confidence"].is_monotonic_increasing

    def test_bins_of_enough_images_are_those_of_the_calibration_error(self):
        rng = np.random.default_rng(0)
        confidence, correct = rng.random(3000), rng.random(3000) < 0.5
        points, table = reliability_points(confidence, correct), reliability_table(confidence, correct)
        pd.testing.assert_frame_equal(
            points[["count", "confidence", "accuracy"]], table[["count", "confidence", "accuracy"]]
        )

    def test_intervals_over_groups(self):
        groups = np.repeat([0, 1, 2], 4)
        points = reliability_points(np.full(12, 0.8), np.ones(12, bool), groups)
        assert points.loc[0, "low"] == pytest.approx(0.025 ** (1 / 3))
