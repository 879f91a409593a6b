"""Thresholds of confidence by accuracy."""

import numpy as np

from landmarkfer.calibration.answers import NEVER, answer_thresholds


def test_by_hand():
    confidence = [0.9, 0.8, 0.7, 0.6]
    found = answer_thresholds(confidence, [True, True, False, True])
    # All four: 75 %; the first two: 100 %.
    assert found.shape == (99,)
    np.testing.assert_allclose(found[[0, 74]], 0.6, rtol=1e-6)
    np.testing.assert_allclose(found[[75, 98]], 0.8, rtol=1e-6)
    assert found[74] < np.float32(0.6) and found[98] < np.float32(0.8), (
        "a confidence equal to it is an answer"
    )


def test_images_of_equal_confidence_stay_together():
    found = answer_thresholds([0.9, 0.9, 0.5], [True, False, False])
    assert found[49] < np.float32(0.9) and found[50] == NEVER


def test_accuracies_that_were_not_reached():
    assert (answer_thresholds([0.9, 0.5], [False, False]) == NEVER).all()
    assert (answer_thresholds([], []) == NEVER).all()


def test_the_accuracy_holds_on_the_images_themselves():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1, 2000)
    correct = rng.uniform(size=2000) < confidence
    for percent, threshold in enumerate(answer_thresholds(confidence, correct), start=1):
        if threshold <= 1:
            assert correct[confidence >= threshold].mean() >= percent / 100
