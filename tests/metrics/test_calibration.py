import numpy as np
import pytest

from landmarkfer.metrics.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_table,
)


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
