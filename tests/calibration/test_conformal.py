import numpy as np
import pytest
from scipy.special import softmax

from landmarkfer.calibration.conformal import (
    PERCENTS,
    class_clusters,
    class_thresholds,
    find_thresholds,
    label_sets,
    threshold_for,
)
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


class TestClassThresholds:
    def test_by_hand(self):
        # 30 images of class 0, 25 of class 1; 3 and 2 of classes 2 and 3, which share a threshold and, since
        # five images are too few, take in class 1, the smaller of the others.
        labels = np.repeat([0, 1, 2, 3], [30, 25, 3, 2])
        assert class_clusters([30, 25, 3, 2], 0.9) == [(1, 2, 3), (0,)]
        given = np.random.default_rng(0).random(60)
        found = class_thresholds(given, labels, 4)
        assert found.shape == (99, 4)
        alone = find_thresholds(given[labels == 0])
        together = find_thresholds(given[labels != 0])
        for row in range(95):
            np.testing.assert_array_equal(found[row], [alone[row], *[together[row]] * 3])
        # 99 images are needed for 99 %: then all share one, which is 0 for want of images.
        assert class_clusters([30, 25, 3, 2], 0.99) == [(0, 1, 2, 3)]
        assert found[98].tolist() == [0] * 4

    def test_classes_of_enough_images_each_have_their_own(self):
        assert class_clusters([20, 20, 300], 0.9) == [(0,), (1,), (2,)]
        assert class_clusters([19, 20, 300], 0.9) == [(0, 1), (2,)]
        assert class_clusters([0, 0, 300], 0.9) == [(0, 1, 2)]
        assert class_clusters([0, 0, 0], 0.9) == [(0, 1, 2)]

    def test_no_image_lets_every_label_in(self):
        assert not class_thresholds([], np.zeros(0, int), 3).any()

    @pytest.mark.parametrize("coverage", [0.5, 0.9])
    def test_each_class_of_enough_images_is_covered_as_stated_and_rare_ones_together(self, coverage):
        """Within the error of the simulation; with one threshold for all, the rarest class is not."""
        rng = np.random.default_rng(3)
        prior = np.array([0.55, 0.35, 0.06, 0.02, 0.015, 0.005])
        held, shared, one = [], [], []
        for _ in range(300):
            chances, y = self.skewed(rng, 600, prior)
            thresholds = threshold_for(class_thresholds(chances[np.arange(600), y], y, 6), coverage)
            single = threshold_for(find_thresholds(chances[np.arange(600), y]), coverage)
            clusters = class_clusters(np.bincount(y, minlength=6), coverage)
            chances, y = self.skewed(rng, 2000, prior)
            given = chances[np.arange(2000), y]
            inside = given >= thresholds[y]
            held.append([inside[y == c].mean() if (c,) in clusters else np.nan for c in range(6)])
            joint = [cluster for cluster in clusters if len(cluster) > 1]
            shared.append(inside[np.isin(y, joint[0])].mean() if joint else np.nan)
            one.append((given >= single)[y == 5].mean() if (y == 5).any() else np.nan)
        for values in (*np.array(held).T[:3], np.array(shared)):
            known = values[~np.isnan(values)]
            assert len(known) > 200
            assert known.mean() > coverage - 3 * known.std() / np.sqrt(len(known))
        assert np.nanmean(one) < coverage - 0.3

    @staticmethod
    def skewed(rng, images, prior):
        logits = rng.normal(0, 1.2, (images, len(prior))) + np.log(prior)
        chances = softmax(logits, axis=1)
        return chances, (chances.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1).clip(max=5)


def test_the_predicted_label_is_in_also_where_it_is_not_the_most_probable():
    sets = label_sets([[0.6, 0.3, 0.1]], [0.5, 0.9, 0.05], predicted=[1])
    assert sets.tolist() == [[True, True, True]]
    assert label_sets([[0.6, 0.3, 0.1]], 0.9, predicted=[1]).tolist() == [[False, True, False]]
