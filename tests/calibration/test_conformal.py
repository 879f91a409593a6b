import numpy as np
import pytest
from scipy.special import softmax

from landmarkfer.calibration.conformal import PERCENTS, find_thresholds, label_sets, threshold_for
from landmarkfer.metrics.sets import set_scores


def drawn(rng, images):
    """Probabilities that say something of the labels, and are wrong in how sure they are."""
    logits = rng.normal(0, 1.5, (images, 6))
    chances = softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1)
    return softmax(3 * logits, axis=1), labels


class TestThresholds:
    def test_by_hand(self):
        # Of 4 images, k of 5 for coverage k / 5: the k-th highest; beyond 80 % four are too few.
        thresholds = find_thresholds([0.4, 0.9, 0.1, 0.6])
        assert thresholds.shape == (99,)
        expected = {1: 0.9, 20: 0.9, 21: 0.6, 40: 0.6, 60: 0.4, 61: 0.1, 80: 0.1, 81: 0, 99: 0}
        found = {percent: thresholds[percent - 1] for percent in expected}
        assert found == pytest.approx(expected, abs=1e-6)

    def test_it_is_the_corrected_quantile_of_the_score(self):
        given = np.random.default_rng(0).random(500)
        level = np.ceil(501 * 0.9) / 500
        score = np.quantile(1 - given, level, method="inverted_cdf")
        assert threshold_for(find_thresholds(given), 0.9) == pytest.approx(1 - score, abs=1e-6)

    def test_nobody_to_learn_from_lets_every_label_in(self):
        assert not find_thresholds([]).any()

    def test_what_stands_at_the_threshold_is_in(self):
        given = np.random.default_rng(1).random(99)  # not exact as float32, in which thresholds are kept
        thresholds = find_thresholds(given)
        for percent in PERCENTS:
            assert (given >= threshold_for(thresholds, percent / 100)).sum() == percent

    def test_ties_are_in_together(self):
        threshold = threshold_for(find_thresholds([0.7] * 5 + [0.2] * 5), 0.6)
        assert label_sets([[0.2, 0.2, 0.6]], threshold).all()
        assert label_sets([[0.1, 0.2, 0.7]], threshold).tolist() == [[False, True, True]]

    @pytest.mark.parametrize("coverage", [0, 1, 0.005, 0.905, 90])
    def test_a_coverage_that_has_none(self, coverage):
        with pytest.raises(ValueError, match="whole percent"):
            threshold_for(find_thresholds([0.5]), coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("calibration", [20, 200])
def test_sets_hold_the_label_as_often_as_stated_also_of_few_and_wrong_probabilities(coverage, calibration):
    rng = np.random.default_rng(2)
    reached = []
    for _ in range(400):
        p, labels = drawn(rng, calibration)
        threshold = threshold_for(find_thresholds(p[np.arange(calibration), labels]), coverage)
        p, labels = drawn(rng, 200)
        # Without the most probable label, which is put in and only adds to the coverage.
        reached.append((p >= threshold)[np.arange(200), labels].mean())
    error = np.std(reached) / np.sqrt(len(reached))
    assert coverage - 3 * error <= np.mean(reached) <= coverage + 1 / (calibration + 1) + 3 * error


def test_the_most_probable_label_is_always_in():
    sets = label_sets([[0.4, 0.3, 0.3], [0.1, 0.1, 0.8]], threshold=0.9)
    assert sets.tolist() == [[True, False, False], [False, False, True]]


def test_scores_by_hand():
    sets = [[True, False, False], [True, True, False], [True, True, True], [False, False, True]]
    scores = set_scores(sets, [0, 2, 1, 2])
    assert (scores.coverage, scores.size, scores.single) == (0.75, 7 / 4, 0.5)
    # Clopper and Pearson: 3 of 4, by the quantiles of beta(3, 2) and beta(4, 1).
    assert scores.low == pytest.approx(0.1941, abs=1e-4)
    assert scores.high == pytest.approx(0.975 ** (1 / 4), abs=1e-4)
