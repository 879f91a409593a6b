import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from landmarkfer.calibration.temperature import (
    BOUNDS,
    LEAST_IMAGES,
    find_temperature,
    fit_temperature,
    temper,
)


def drawn(sharpness=1.0, images=4000, classes=5, seed=0):
    """Probabilities that are `sharpness` times as sharp as labels drawn from them warrant."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (images, classes))
    right = softmax(logits, axis=1)
    labels = (right.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return softmax(sharpness * logits, axis=1), labels


def log_loss(probabilities, labels):
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


class TestTemper:
    @pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
    def test_of_a_softmax_it_is_that_of_logits_over_t(self, temperature):
        logits = np.random.default_rng(0).normal(0, 5, (20, 7))
        expected = softmax(logits / temperature, axis=1)
        np.testing.assert_allclose(temper(softmax(logits, axis=1), temperature), expected, rtol=1e-9)

    def test_each_row_can_have_its_own_and_the_inverse_undoes_it(self):
        p = drawn(images=30)[0]
        temperatures = np.linspace(0.2, 6, 30)
        tempered = temper(p, temperatures)
        np.testing.assert_allclose(tempered[3:4], temper(p[3:4], temperatures[3]))
        np.testing.assert_allclose(temper(tempered, 1 / temperatures), p, rtol=1e-9)

    def test_the_impossible_stays_impossible(self):
        assert temper([[0.0, 0.2, 0.8]], 2.0)[0, 0] == 0
        assert temper([[0.0, 1.0]], 5.0).tolist() == [[0, 1]]

    @pytest.mark.parametrize("temperature", BOUNDS)
    def test_no_prediction_changes_however_close(self, temperature):
        p = np.array([[0.3 + 1e-9, 0.3, 0.4 - 1e-9], [0.4, 0.4 + 1e-9, 0.2 - 1e-9], [1 - 1e-12, 1e-12, 0]])
        assert temper(p, temperature).argmax(axis=1).tolist() == p.argmax(axis=1).tolist()


class TestFindTemperature:
    @pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
    def test_it_finds_how_much_too_sharp_probabilities_are(self, sharpness):
        p, labels = drawn(sharpness)
        assert find_temperature(p, labels) == pytest.approx(sharpness, rel=0.06)

    def test_no_other_temperature_makes_the_labels_more_likely(self):
        p, labels = drawn(2.5, images=400)
        best = find_temperature(p, labels)
        for other in (0.95 * best, 1.05 * best):
            assert log_loss(temper(p, best), labels) < log_loss(temper(p, other), labels)

    def test_where_every_prediction_is_correct_nothing_is_sharpened(self):
        labels = np.arange(100) % 3
        assert find_temperature(softmax(2 * np.eye(3)[labels], axis=1), labels) == 1.0
        one_wrong = softmax(2 * np.eye(3)[np.r_[labels[:-1], 1]], axis=1)
        assert BOUNDS[0] < find_temperature(one_wrong, labels) < 1

    def test_it_stays_within_bounds_and_finite(self):
        labels = np.arange(100) % 3
        certain = np.eye(3)[(labels + 1) % 3]  # and always wrong
        assert find_temperature(certain, labels) == pytest.approx(BOUNDS[1], rel=0.01)
        log_p = log_softmax(1e-3 * np.eye(3)[np.r_[labels[:-1], 1]], axis=1)
        assert find_temperature(np.exp(log_p), labels) == pytest.approx(BOUNDS[0], rel=0.01)

    def test_too_few_images_or_one_class_say_nothing(self):
        p, labels = drawn(3.0, images=LEAST_IMAGES)
        assert find_temperature(p, labels) > 1.5
        assert find_temperature(p[1:], labels[1:]) == 1.0
        assert find_temperature(p, np.zeros(LEAST_IMAGES, dtype=int)) == 1.0
        assert find_temperature(np.zeros((0, 5)), np.zeros(0, dtype=int)) == 1.0


def test_the_temperature_of_scores_has_the_lowest_log_loss():
    noise = np.random.default_rng(9).standard_normal((4000, 5))
    labels = drawn(images=4000)[1]
    truth = np.log(drawn(images=4000)[0])
    best = fit_temperature(3 * truth, labels, (1e-2, 1e2))
    assert best == pytest.approx(3, rel=0.1)

    def loss(temperature):
        return -log_softmax(3 * truth / temperature, axis=1)[np.arange(4000), labels].mean()

    assert all(loss(best) < loss(factor * best) for factor in (0.5, 0.9, 1.1, 2.0))
    assert fit_temperature(noise, labels, (0.5, 2.0)) == pytest.approx(2.0, rel=0.01), "of noise, the highest"
