import numpy as np
import pytest

from landmarkfer.metrics.intervals import grouped_proportion_intervals, proportion_intervals
from landmarkfer.metrics.sets import set_scores

SETS = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [1, 1, 1], [1, 0, 0], [0, 0, 1]], bool)
LABELS = np.array([0, 1, 1, 2, 0, 2])


def test_by_hand():
    scores = set_scores(SETS, LABELS)
    assert (scores.coverage, scores.size, scores.single) == (5 / 6, pytest.approx(10 / 6), 3 / 6)
    assert [scores.low, scores.high] == proportion_intervals(5, 6).tolist()


def test_coverage_over_people():
    scores = set_scores(SETS, LABELS, np.array([0, 0, 0, 1, 1, 2]))
    assert scores.coverage == 5 / 6
    assert [scores.low, scores.high] == grouped_proportion_intervals([2, 2, 1], [3, 2, 1]).tolist()


def test_sets_that_hold_every_label_of_three_people():
    scores = set_scores(np.ones((30, 2), bool), np.zeros(30, int), np.repeat([0, 1, 2], 10))
    assert (scores.low, scores.high) == (pytest.approx(0.025 ** (1 / 3)), 1)
