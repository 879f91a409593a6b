from dataclasses import replace

import numpy as np
import pytest

from landmarkfer.metrics.calibration import expected_calibration_error
from landmarkfer.metrics.class_calibration import class_calibration, classwise_calibration_error
from landmarkfer.metrics.predictions import Predictions


def predictions(probabilities, labels, sets=None):
    p = np.asarray(probabilities, float)
    n = len(p)
    return Predictions(
        ids=np.array([f"{i}" for i in range(n)], object),
        labels=np.asarray(labels),
        predicted=p.argmax(axis=1),
        probabilities=p,
        classes=tuple("abc"),
        status=np.full(n, "ok", object),
        sets=None if sets is None else np.asarray(sets, bool),
    )


def test_by_hand():
    given = predictions(
        [[0.7, 0.2, 0.1]] * 3 + [[0.2, 0.7, 0.1]], [0, 0, 1, 1], [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2
    )
    found = class_calibration(given)
    assert found["a"].expected == pytest.approx(2.3 / 4) and found["a"].share == 0.5
    # Of class a: 3 images at 0.7, of which 2 are of it, and 1 at 0.2, which is not.
    assert found["a"].ece == pytest.approx(0.75 * abs(2 / 3 - 0.7) + 0.25 * 0.2)
    assert found["b"].ece == pytest.approx(0.75 * abs(1 / 3 - 0.2) + 0.25 * 0.3)
    assert found["c"].ece == pytest.approx(0.1)
    assert classwise_calibration_error(found) == pytest.approx(np.mean([found[c].ece for c in "abc"]))
    assert [found[c].coverage for c in "abc"] == [1, 1, None]
    assert [found[c].in_sets for c in "abc"] == [1, 0.5, 0]
    low, high = found["b"].interval
    assert (low, high) == (pytest.approx(0.025**0.5), 1)


def test_a_rare_class_that_is_expected_too_often_is_seen_here_and_not_by_the_usual_error():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [4900, 5000, 100])
    p = np.full((10_000, 3), 0.05)
    p[:, 2] = 0.1  # ten times its share
    p[np.arange(10_000), np.where(labels == 2, 1, labels)] = 0.85
    given = predictions(p, labels)
    found = class_calibration(given)
    assert found["c"].expected == pytest.approx(0.1) and found["c"].share == 0.01
    assert found["c"].ece == pytest.approx(0.09)
    shuffled = replace(given, labels=rng.permutation(labels))
    assert class_calibration(shuffled)["c"].ece == pytest.approx(0.09)
    assert expected_calibration_error(given.confidence, given.correct) > 0.1, "they differ"


def test_without_sets_there_is_no_coverage():
    found = class_calibration(predictions([[0.7, 0.2, 0.1]], [0]))
    assert found["a"].coverage is None and found["a"].in_sets is None
