import numpy as np
import pytest

from landmarkfer.inference.video.smoothing import Smoother

A, B = np.array([1.0, 0.0]), np.array([0.0, 1.0])


def test_a_lasting_change_is_shown_by_63_percent_after_the_time_constant():
    smooth = Smoother(0.5, gap_s=1.0)
    smooth(0, 0.0, A)
    steps = [smooth(0, time_s, B) for time_s in (0.1, 0.2, 0.35, 0.5)]
    assert steps[-1].smoothed[1] == pytest.approx(1 - np.exp(-1)), "however the frames are apart"
    assert [step.change for step in steps] == [1.0, 0.0, 0.0, 0.0]


def test_nothing_is_smoothed_across_a_gap_or_between_tracks():
    smooth = Smoother(0.5, gap_s=1.0)
    first = smooth(0, 0.0, A)
    assert np.isnan(first.change)
    after = smooth(0, 1.5, B)
    np.testing.assert_array_equal(after.smoothed, B)
    assert np.isnan(after.change)
    np.testing.assert_array_equal(smooth(1, 1.6, A).smoothed, A)


def test_no_smoothing():
    smooth = Smoother(0.0, gap_s=1.0)
    smooth(0, 0.0, A)
    np.testing.assert_array_equal(smooth(0, 0.1, B).smoothed, B)
