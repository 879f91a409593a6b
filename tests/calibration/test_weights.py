"""Fits to weighted images: as to so many copies of each, and to the mix that the weights stand for."""

import numpy as np
import pytest
from scipy.special import softmax

from landmarkfer.calibration.answers import answer_thresholds
from landmarkfer.calibration.branch_weight import second_branch_weight
from landmarkfer.calibration.class_offsets import class_offsets
from landmarkfer.calibration.conformal import class_thresholds, find_thresholds, label_sets, threshold_for
from landmarkfer.calibration.fitted import fit_calibration
from landmarkfer.calibration.scaling import choose_scaling, fit_scaling
from landmarkfer.calibration.temperature import find_temperature
from landmarkfer.calibration.weights import each_weight, effective_size

IMAGES, CLASSES = 400, 3


@pytest.fixture
def images():
    """Probabilities, labels, and how often each image is to count."""
    rng = np.random.default_rng(0)
    chances = softmax(rng.normal(0, 1, (IMAGES, CLASSES)), axis=1)
    labels = (chances.cumsum(axis=1) < rng.random((IMAGES, 1))).sum(axis=1).clip(max=CLASSES - 1)
    return softmax(2 * np.log(chances), axis=1), labels, rng.integers(1, 4, IMAGES)


def test_the_effective_size():
    assert effective_size(np.ones(7)) == 7
    assert effective_size([5.0, 5.0, 0.0]) == 2
    assert effective_size([3.0, 1.0]) == pytest.approx(16 / 10)
    assert effective_size([]) == 0
    weights = each_weight([3.0, 1.0], 2)
    np.testing.assert_allclose(weights, np.array([3, 1]) * (1.6 / 4))
    assert each_weight(None, 3).tolist() == [1, 1, 1]
    assert each_weight([2.0, 2.0], 2).tolist() == [1, 1], "their scale does not count"


def test_a_temperature_is_that_of_so_many_copies(images):
    p, y, times = images
    copies = np.repeat(np.arange(IMAGES), times)
    assert find_temperature(p, y, times) == pytest.approx(find_temperature(p[copies], y[copies]), abs=2e-4)
    assert find_temperature(p, y, times) != find_temperature(p, y)


def test_few_images_that_count_much_determine_nothing(images):
    p, y, _ = images
    weights = np.where(np.arange(IMAGES) < 20, 1000.0, 1e-3)
    assert find_temperature(p, y, weights) == 1.0
    scaling, held_out = choose_scaling(p, y, np.arange(IMAGES) % 5, weights=weights)
    assert scaling.kind == "none"
    np.testing.assert_array_equal(held_out, p)


def test_a_scaling_is_nearly_that_of_so_many_copies(images):
    """But for the penalty, which is as strong as beside as many independent images."""
    p, y, times = images
    copies = np.repeat(np.arange(IMAGES), times)
    weighted = fit_scaling("bias", p, y, times)(p)
    np.testing.assert_allclose(weighted, fit_scaling("bias", p[copies], y[copies])(p), atol=5e-3)
    assert np.abs(weighted - fit_scaling("bias", p, y)(p)).max() > 0.01


def test_answers_are_those_of_so_many_copies(images):
    p, y, times = images
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    copies = np.repeat(np.arange(IMAGES), times)
    np.testing.assert_array_equal(
        answer_thresholds(confidence, correct, times), answer_thresholds(confidence[copies], correct[copies])
    )


def test_offsets_and_branch_weights_are_those_of_so_many_copies(images):
    p, y, times = images
    copies = np.repeat(np.arange(IMAGES), times)
    logits = np.log(p)[None]
    logits[..., 2] -= 1.5
    raised = class_offsets(logits, y, 0.5, times)
    np.testing.assert_allclose(raised, class_offsets(logits[:, copies], y[copies], 0.5))
    assert raised.any()
    first = np.random.default_rng(1).normal(size=logits.shape)
    weighted = second_branch_weight(first, logits, y, times)
    assert weighted == pytest.approx(second_branch_weight(first[:, copies], logits[:, copies], y[copies]))


def test_equal_weights_give_the_thresholds_of_none(images):
    p, y, _ = images
    given = p[np.arange(IMAGES), y]
    for scale in (1.0, 0.37):
        np.testing.assert_array_equal(find_thresholds(given, np.full(IMAGES, scale)), find_thresholds(given))
        np.testing.assert_array_equal(
            class_thresholds(given, y, CLASSES, np.full(IMAGES, scale)), class_thresholds(given, y, CLASSES)
        )
    assert not find_thresholds([0.5, 0.4], [1.0, 1.0])[-1], "too few for 99 %"


class TestAnotherMix:
    """Calibration images are nine parts easy and one part hard; half of the images to come are hard."""

    def draw(self, rng, easy, hard):
        hardness = np.repeat([1.0, 4.0], [easy, hard])
        logits = rng.normal(0, 2, (easy + hard, CLASSES))
        chances = softmax(logits / hardness[:, None], axis=1)
        labels = (chances.cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1).clip(max=CLASSES - 1)
        return softmax(logits, axis=1), labels

    def coverages(self, weights):
        """Of new images of the other mix, by sets fitted to images of this one; mean over draws."""
        found = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            p, y = self.draw(rng, 900, 100)
            folds = np.arange(len(y)) % 5
            made = fit_calibration(p, y, np.ones(len(y), bool), folds, weights=weights)
            new, labels = self.draw(rng, 5000, 5000)
            calibrated = made.calibrated(new, np.ones(len(new), bool))
            sets = label_sets(calibrated, threshold_for(made.set_thresholds, 0.9))
            confident = calibrated.max(axis=1).mean() - (calibrated.argmax(axis=1) == labels).mean()
            found.append((sets[np.arange(len(labels)), labels].mean(), confident))
        return np.mean(found, axis=0)

    def test_weights_make_it_hold_there(self):
        coverage, overconfident = self.coverages(np.repeat([0.5 / 0.9, 0.5 / 0.1], [900, 100]))
        assert coverage == pytest.approx(0.9, abs=0.02)
        assert abs(overconfident) < 0.02

    def test_without_them_it_does_not(self):
        coverage, overconfident = self.coverages(None)
        assert coverage < 0.87
        assert overconfident > 0.05
