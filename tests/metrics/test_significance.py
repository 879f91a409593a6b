import numpy as np
import pytest

from landmarkfer.metrics.classification import scores_from_confusion
from landmarkfer.metrics.significance import (
    bootstrap_intervals,
    holm,
    mcnemar,
    paired_difference,
    paired_differences,
)


def counts_of(accuracy, images):
    right = round(accuracy * images)
    return np.array(
        [[right // 2, (images - right) // 2], [images - right - (images - right) // 2, right - right // 2]]
    )


def test_interval_of_accuracy_has_the_binomial_width():
    # The standard error of 73 % over 7,178 images is sqrt(0.73 * 0.27 / 7178) = 0.524 points.
    low, high = bootstrap_intervals(counts_of(0.73, 7178), resamples=4000)["accuracy"]
    assert (high - low) / (2 * 1.96) == pytest.approx(0.00524, rel=0.05)
    assert (low + high) / 2 == pytest.approx(0.73, abs=0.001)


def test_same_as_resampling_images_one_by_one():
    rng = np.random.default_rng(8)
    labels = rng.choice(3, 200, p=[0.6, 0.3, 0.1])
    predictions = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 3, 200))
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (labels, predictions), 1)
    drawn = []
    for _ in range(4000):
        rows = rng.integers(0, 200, 200)
        resample = np.zeros((3, 3), int)
        np.add.at(resample, (labels[rows], predictions[rows]), 1)
        drawn.append(scores_from_confusion(resample)["macro_f1"])
    expected = np.quantile(drawn, [0.025, 0.975])
    found = bootstrap_intervals(counts, resamples=4000)["macro_f1"]
    np.testing.assert_allclose(found, expected, atol=0.008)


def test_seed_decides_the_interval():
    counts = counts_of(0.6, 100)
    first, again = (bootstrap_intervals(counts, resamples=200, seed=3)["macro_f1"] for _ in range(2))
    other = bootstrap_intervals(counts, resamples=200, seed=4)["macro_f1"]
    assert first.tolist() == again.tolist() != other.tolist()


def test_classes_that_are_rare_or_absent():
    intervals = bootstrap_intervals(np.array([[50, 0, 0], [0, 1, 0], [0, 0, 0]]), resamples=500)
    assert intervals["recall"].shape == (3, 2)
    assert intervals["recall"][1].tolist() == [1, 1], "a class of one image is missing from many resamples"
    assert np.isnan(intervals["recall"][2]).all()
    assert intervals["balanced_accuracy"].tolist() == [1, 1]


def test_nothing_to_resample_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        bootstrap_intervals(np.zeros((2, 2), int))


def test_mcnemar_by_hand():
    labels = np.ones(20, int)
    first = np.array([1] * 8 + [0] * 2 + [1] * 10)
    second = np.array([0] * 8 + [1] * 2 + [1] * 10)
    test = mcnemar(labels, first, second)
    assert (test.only_first, test.only_second) == (8, 2)
    # P(X <= 2) for 10 coins is (1 + 10 + 45) / 1024.
    assert test.exact_p == pytest.approx(2 * 56 / 1024)
    assert test.mid_p == pytest.approx(2 * 56 / 1024 - 45 / 1024)


def test_mcnemar_of_equals_and_of_equal_counts_is_one():
    assert mcnemar([0, 1], [0, 1], [0, 1]).mid_p == 1
    balanced = mcnemar([1, 1], [1, 0], [0, 1])
    assert balanced.exact_p == 1
    assert balanced.mid_p == pytest.approx(1)


def test_mcnemar_is_symmetric_and_wants_one_length():
    a, b = mcnemar([1, 1, 1], [1, 1, 0], [0, 0, 1]), mcnemar([1, 1, 1], [0, 0, 1], [1, 1, 0])
    assert (a.exact_p, a.mid_p) == (b.exact_p, b.mid_p)
    with pytest.raises(ValueError, match="one length"):
        mcnemar([1, 1], [1, 1], [1])


class TestPairedDifference:
    def test_exchanging_by_hand(self):
        # Shares of right seeds on three images differ by 1, 1/2 and 1/2: of the 8 exchanges, only that which
        # is there and its opposite reach a mean of 2/3.
        first, second = [[1, 1, 1], [1, 1, 1]], [[0, 1, 0], [0, 0, 1]]
        found = paired_difference(first, second, permutations=100)
        assert found.difference == pytest.approx(2 / 3)
        assert found.p == pytest.approx(2 / 8)

    def test_intervals_cover_and_tests_err_as_often_as_they_say(self):
        rng = np.random.default_rng(0)
        covered, found = [], []
        for number in range(200):
            hard = rng.random(300)
            first, second = (rng.random((3, 300)) < hard for _ in range(2))
            result = paired_difference(first, second, resamples=200, permutations=200, seed=number)
            covered.append(result.low <= 0 <= result.high)
            found.append(result.p <= 0.05)
        # 95 and 5 % of 200, give or take three SDs.
        assert 0.90 <= np.mean(covered) <= 1.0
        assert np.mean(found) <= 0.10

    def test_seeds_may_differ_in_number_and_equal_systems_do_not_differ(self):
        hits = np.array([[1, 0, 1, 1], [0, 0, 1, 1]])
        same = paired_difference(hits, hits)
        assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
        assert paired_difference(hits, hits[0]).difference == pytest.approx(-0.125)
        with pytest.raises(ValueError, match="same images"):
            paired_difference(hits, hits[:, :3])
        with pytest.raises(ValueError, match="same images"):
            paired_difference([[]], [[]])


def test_holm_multiplies_by_what_is_left_and_never_falls():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)


def mean_hits(sums):
    """Accuracy from sums of hits and images."""
    return sums[..., :1] / sums[..., 1:]


class TestPairedDifferences:
    def test_agrees_with_the_test_of_one_figure(self):
        rng = np.random.default_rng(1)
        first, second = rng.random((3, 400)) < 0.62, rng.random((2, 400)) < 0.55
        one = paired_difference(first, second)
        sides = [np.stack([hits.mean(axis=0), np.ones(400)], axis=1) for hits in (first, second)]
        many = paired_differences(*sides, mean_hits)
        assert many.first[0] == pytest.approx(first.mean())
        assert many.second[0] == pytest.approx(second.mean())
        assert many.difference[0] == pytest.approx(one.difference)
        assert (many.low[0], many.high[0]) == pytest.approx((one.low, one.high), abs=0.006)
        assert many.p[0] == pytest.approx(one.p, abs=0.01)

    def test_exchanging_by_hand(self):
        # Gaps of 1, 1/2 and 1/2: two of the 8 exchanges are as extreme as what is there.
        first, second = np.ones((3, 1)), np.array([[0.0], [0.5], [0.5]])
        found = paired_differences(first, second, lambda sums: sums / 3)
        assert found.difference[0] == pytest.approx(2 / 3)
        assert found.p[0] == pytest.approx(2 / 8, abs=0.02)

    def test_equal_systems_do_not_differ_and_what_is_undefined_is_none(self):
        hits = np.array([[1.0, 0.0], [0.0, 0.0]])

        def figures(sums):
            return np.stack([sums[..., 0], np.full(sums.shape[:-1], np.nan)], axis=-1)

        found = paired_differences(hits, hits, figures, resamples=20, permutations=20)
        assert [values[0] for values in found[2:]] == [0, 0, 0, 1]
        assert np.isnan([values[1] for values in found]).all()

    def test_progress_ends_at_all_and_other_images_are_refused(self, recorder):
        hits = np.ones((4, 1))
        paired_differences(hits, hits, np.asarray, resamples=300, permutations=10, progress=recorder)
        assert recorder.steps == [(250, 310), (300, 310), (310, 310)]
        with pytest.raises(ValueError, match="same images"):
            paired_differences(hits, hits[:3], np.asarray)
