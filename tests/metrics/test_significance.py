import numpy as np
import pytest

from landmarkfer.metrics.significance import (
    mcnemar,
    paired_difference,
    paired_differences,
)


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


class TestGroups:
    """40 people with 10 images each, of whom a system is right on all or on none."""

    NUMBER = np.repeat(np.arange(40), 10)

    def sides(self):
        rng = np.random.default_rng(1)
        return [np.repeat(rng.random((1, 40)) < share, 10, axis=1) for share in (0.75, 0.5)]

    def test_copies_of_an_image_are_worth_one(self):
        first, second = self.sides()
        grouped = paired_difference(first, second, groups=self.NUMBER)
        of_people = paired_difference(first[:, ::10], second[:, ::10])
        assert grouped.difference == pytest.approx(of_people.difference)
        assert (grouped.low, grouped.high) == pytest.approx((of_people.low, of_people.high), abs=0.03)
        assert grouped.p == pytest.approx(of_people.p, abs=0.02)
        over_images = paired_difference(first, second)
        assert grouped.high - grouped.low > 2 * (over_images.high - over_images.low)
        assert over_images.p < grouped.p

    def test_many_figures_at_once(self):
        first, second = self.sides()
        sides = [np.stack([hits[0], np.ones(400)], axis=1) for hits in (first, second)]
        many = paired_differences(*sides, mean_hits, groups=self.NUMBER)
        one = paired_difference(first, second, groups=self.NUMBER)
        assert (many.low[0], many.high[0], many.p[0]) == (one.low, one.high, one.p)
        of_people = paired_differences(*(side[::10] for side in sides), mean_hits)
        assert (many.low[0], many.high[0], many.p[0]) == (of_people.low[0], of_people.high[0], of_people.p[0])

    def test_equal_systems(self):
        first, _ = self.sides()
        assert paired_difference(first, first, groups=self.NUMBER).p == 1
