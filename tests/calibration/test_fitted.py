import numpy as np
import pytest
from scipy.special import softmax

from landmarkfer.calibration.fitted import Calibration, fit_calibration
from landmarkfer.calibration.scaling import Scaling, log_of
from landmarkfer.calibration.temperature import find_temperature, temper

PRIOR = np.array([0.5, 0.42, 0.05, 0.028, 0.002])
"""Skewed as photographs are."""
CLASSES = len(PRIOR)


def skewed(rng, images):
    logits = rng.normal(0, 1.2, (images, CLASSES)) + np.log(PRIOR)
    chances = softmax(logits, axis=1)
    return chances, (chances.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1).clip(max=CLASSES - 1)


def log_loss(p, y):
    return -np.log(p[np.arange(len(y)), y]).mean()


def fitted(given, y, log_weights=None, **options):
    return fit_calibration(given, y, np.ones(len(y), bool), np.arange(len(y)) % 5, log_weights, **options)


@pytest.mark.parametrize("power", [0.5, 1.0], ids=["sqrt_inverse", "inverse"])
def test_class_weights_are_undone_in_the_probabilities_and_not_in_the_labels(power):
    rng = np.random.default_rng(0)
    log_weights = -power * np.log(PRIOR)
    chances, y = skewed(rng, 600)
    calibration = fitted(softmax(log_of(chances) + log_weights, axis=1), y, log_weights)
    new, labels = skewed(rng, 20_000)
    given = softmax(log_of(new) + log_weights, axis=1)
    found = calibration.calibrated(given, np.ones(len(given), bool))
    assert log_loss(found, labels) < log_loss(new, labels) + 0.02
    # One temperature cannot do that.
    best = temper(given, find_temperature(given, labels))
    assert log_loss(best, labels) > log_loss(found, labels) + 0.05
    np.testing.assert_allclose(found.mean(axis=0), np.bincount(labels) / len(labels), atol=0.02)


def test_few_images_still_undo_the_weights():
    chances, y = skewed(np.random.default_rng(1), 30)
    log_weights = -np.log(PRIOR)
    calibration = fitted(softmax(log_of(chances) + log_weights, axis=1), y, log_weights)
    assert calibration.scaling.kind == "weights"
    given = softmax(log_of(chances) + log_weights, axis=1)
    np.testing.assert_allclose(calibration.calibrated(given, np.ones(30, bool)), chances)


def test_without_scaling_probabilities_stay_and_sets_are_fitted():
    chances, y = skewed(np.random.default_rng(2), 500)
    calibration = fitted(chances, y, np.ones(CLASSES), scale=False)
    assert calibration.calibrated(chances, np.ones(500, bool)) is not None
    np.testing.assert_array_equal(calibration.calibrated(chances, np.ones(500, bool)), chances)
    assert calibration.set_thresholds.any() and calibration.answer_thresholds.any()


def test_without_usable_input_the_prediction_stays():
    calibration = Calibration(Scaling.of_temperature(2.0, 2))
    found = calibration.calibrated([[0.8, 0.2], [0.8, 0.2]], [True, False])
    np.testing.assert_allclose(found, [[2 / 3, 1 / 3], [0.8, 0.2]])


def test_arrays_are_those_of_the_calibration():
    chances, y = skewed(np.random.default_rng(3), 400)
    calibration = fitted(temper(chances, 2.0), y)
    again = Calibration.of_arrays(*calibration.arrays())
    usable = np.ones(400, bool)
    np.testing.assert_allclose(again.calibrated(chances, usable), calibration.calibrated(chances, usable))
    np.testing.assert_array_equal(again.set_thresholds, calibration.set_thresholds)
    np.testing.assert_array_equal(again.answer_thresholds, calibration.answer_thresholds)
    none = Calibration.of_arrays(*Calibration.none(3).arrays())
    assert none.set_thresholds is None and none.answer_thresholds is None


def test_the_most_confident_are_right_as_often_as_stated():
    """Confidence is the probability of the label, also where weights chose another than the most probable."""
    rng = np.random.default_rng(4)
    log_weights = -np.log(PRIOR)
    chances, y = skewed(rng, 1000)
    calibration = fitted(softmax(log_of(chances) + log_weights, axis=1), y, log_weights)
    new, labels = skewed(rng, 20_000)
    given = softmax(log_of(new) + log_weights, axis=1)
    found, predicted = calibration.calibrated(given, np.ones(len(given), bool)), given.argmax(axis=1)
    confidence = found[np.arange(len(given)), predicted]
    for chosen in (confidence >= np.quantile(confidence, 0.95), confidence > 0.8):
        error = 3 * np.sqrt(0.25 / chosen.sum())
        assert (predicted == labels)[chosen].mean() > confidence[chosen].mean() - 0.01 - error
