import numpy as np
import pytest

from landmarkfer.metrics.intervals import grouped_proportion_intervals, proportion_intervals
from landmarkfer.metrics.selective import (
    accuracy_at_coverage,
    area_under_risk_coverage,
    least_risk,
    risk_intervals,
    risk_over_coverage,
)

CONFIDENCE, CORRECT = [0.5, 0.9, 0.7, 0.6], [True, True, False, True]


def test_risk_by_hand():
    assert risk_over_coverage(CONFIDENCE, CORRECT).tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4])
    assert area_under_risk_coverage(CONFIDENCE, CORRECT) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_accuracy_of_the_surest_by_hand():
    for coverage, right in ((1.0, 3 / 4), (0.75, 2 / 3), (0.74, 2 / 3), (0.5, 1 / 2), (0.25, 1), (0.01, 1)):
        assert accuracy_at_coverage(CONFIDENCE, CORRECT, coverage) == pytest.approx(right)


def test_a_share_that_is_a_whole_number_of_images_is_not_rounded_up():
    # In binary, 0.07 * 100 is more than 7.
    correct = np.arange(100) < 7
    assert accuracy_at_coverage(-np.arange(100.0), correct, 0.07) == 1


def test_equal_confidence_counts_as_its_mean_whatever_the_order():
    confidence, correct = np.array([0.9, 0.4, 0.4, 0.4]), np.array([True, True, False, False])
    expected = [0, 1 / 3, 4 / 9, 1 / 2]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert risk_over_coverage(confidence[order], correct[order]).tolist() == pytest.approx(expected)
    blind = risk_over_coverage([0.2] * 4, correct)
    assert blind.tolist() == pytest.approx([0.5] * 4), "as if left out at random"


def test_the_order_of_a_sum_does_not_count():
    """Means of probabilities that are stored in half precision have many ties, as far as rounding goes."""
    rng = np.random.default_rng(0)
    members = rng.random((5, 4000)).astype(np.float16).astype(float)
    shares = np.full(5, 0.2)
    sums = [np.mean(members, axis=0), np.einsum("m,mn->n", shares, members), members[::-1].T @ shares]
    correct = rng.random(4000) < 0.7
    assert len({tuple(one) for one in sums}) == 3, "rounded in another way"
    assert len({area_under_risk_coverage(one, correct) for one in sums}) == 1


def test_no_confidence_is_better_than_one_that_is_lower_wherever_the_model_is_wrong():
    rng = np.random.default_rng(0)
    correct = rng.random(300) < 0.7
    best = least_risk(correct)
    assert best[: correct.sum()].max() == 0
    assert best[-1] == pytest.approx(1 - correct.mean())
    perfect = np.where(correct, 0.5 + rng.random(300) / 2, 0.5 * rng.random(300))
    np.testing.assert_allclose(risk_over_coverage(perfect, correct), best)
    assert (risk_over_coverage(rng.random(300), correct) >= best - 1e-12).all()


@pytest.mark.parametrize("confidence", [[], [0.5], [[0.5] * 4]])
def test_what_does_not_fit_is_refused(confidence):
    with pytest.raises(ValueError, match="one length"):
        risk_over_coverage(confidence, CORRECT)


class TestIntervals:
    confidence, correct = np.array([0.9, 0.8, 0.8, 0.4]), np.array([True, False, True, False])

    def test_by_hand(self):
        answered, ends = risk_intervals(self.confidence, self.correct)
        assert answered.tolist() == [1, 2, 3, 4]
        # Of the two images of confidence 0.8, either is half an error.
        np.testing.assert_allclose(ends, proportion_intervals([0, 0.5, 1, 2], [1, 2, 3, 4]))

    def test_over_groups_by_hand(self):
        answered, ends = risk_intervals(self.confidence, self.correct, np.array([0, 1, 1, 0]))
        assert answered.tolist() == [1, 2, 3, 4]
        errors, images = [[0, 0, 0, 1], [0, 0.5, 1, 1]], [[1, 1, 1, 2], [0, 1, 2, 2]]
        np.testing.assert_allclose(ends, grouped_proportion_intervals(errors, images))

    def test_over_groups_at_some_coverages_of_many_images(self):
        rng = np.random.default_rng(0)
        confidence, correct = rng.random(3000), rng.random(3000) < 0.8
        answered, ends = risk_intervals(confidence, correct, rng.integers(0, 50, 3000))
        assert len(ends) == len(answered) <= 200
        assert (answered[0], answered[-1]) == (1, 3000)
        risk = risk_over_coverage(confidence, correct)[answered - 1]
        assert ((ends[:, 0] <= risk) & (risk <= ends[:, 1])).all()
