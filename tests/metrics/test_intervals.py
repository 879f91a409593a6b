import numpy as np
import pytest
from scipy import stats

from landmarkfer.metrics.bootstrap import bootstrap_intervals, grouped_intervals
from landmarkfer.metrics.classification import scores_from_confusion
from landmarkfer.metrics.intervals import (
    confusion_intervals,
    grouped_proportion_intervals,
    hit_interval,
    mean_interval,
    proportion_intervals,
)

RATES = np.linspace(0, 1, 201)
SKEWED = [600, 500, 30, 20, 4, 3, 1]


def holds(ends, rate):
    """Whether intervals `[..., 2]` hold a rate, but for rounding."""
    return (ends[..., 0] <= rate + 1e-12) & (rate <= ends[..., 1] + 1e-12)


def least(level, times):
    """The coverage that a simulation of an interval of that coverage falls below once in some 700 times."""
    return level - 3 * np.sqrt(level * (1 - level) / times)


class TestProportions:
    @pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
    def test_coverage_is_never_below_the_level(self, level):
        """Summed over the binomial distribution, not sampled: 1 to 50 images, rates from 0 to 1."""
        for n in range(1, 51):
            hits = np.arange(n + 1)
            ends = proportion_intervals(hits, n, level)
            covered = holds(ends[:, None], RATES)  # [hits, rates]
            coverage = (stats.binom.pmf(hits[:, None], n, RATES) * covered).sum(axis=0)
            assert coverage.min() >= level - 1e-12, n

    def test_same_as_scipy(self):
        for n in (1, 4, 30):
            for hits in range(n + 1):
                expected = stats.binomtest(hits, n).proportion_ci(0.95)
                found = proportion_intervals(hits, n)
                assert found.tolist() == pytest.approx([expected.low, expected.high], abs=1e-12)

    def test_none_and_all_of_four(self):
        """No bootstrap of four misses tells them from a rate of 0; 0.6 would give them once in 40 times."""
        none, every = proportion_intervals([0, 4], 4)
        assert none.tolist() == [0, pytest.approx(1 - 0.025 ** (1 / 4))]
        assert every.tolist() == [pytest.approx(0.025 ** (1 / 4)), 1]

    def test_nothing_is_known_without_images(self):
        assert np.isnan(proportion_intervals([0, 1], [0, 2])).tolist() == [[True, True], [False, False]]

    def test_shares_of_hits_lie_between_whole_ones(self):
        one, half, two = proportion_intervals([1, 1.5, 2], 5)
        assert (one < half).all() and (half < two).all()

    @pytest.mark.parametrize(("hits", "images", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1), (1, 2, 0)])
    def test_nonsense_is_refused(self, hits, images, level):
        with pytest.raises(ValueError, match="need"):
            proportion_intervals(hits, images, level)

    def test_hits_one_by_one(self):
        hits = np.array([True, False, True, True])
        assert hit_interval(hits).tolist() == proportion_intervals(3, 4).tolist()
        expected = grouped_proportion_intervals([1, 2], [2, 2])
        assert hit_interval(hits, np.array([0, 0, 1, 1])).tolist() == expected.tolist()


def beta_binomial(sizes, rate, correlation, times, seed):
    """Hits `[G, times]` of groups of so many images, with a correlation between two images of a group."""
    rng = np.random.default_rng(seed)
    shape = len(sizes), times
    if correlation == 0:
        ability = np.full(shape, rate)
    elif correlation == 1:
        ability = (rng.random(shape) < rate).astype(float)
    else:
        spread = 1 / correlation - 1
        ability = rng.beta(rate * spread, (1 - rate) * spread, shape)
    return rng.binomial(np.array(sizes)[:, None], ability)


class TestGroups:
    @pytest.mark.parametrize("correlation", [0, 0.05, 0.2, 0.5, 0.9, 1])
    @pytest.mark.parametrize("groups", [3, 5, 10, 40, 118])
    def test_coverage_holds(self, groups, correlation):
        """People of 1 to 12 images, and people of 20."""
        for sizes in (np.random.default_rng(groups).integers(1, 13, groups), np.full(groups, 20)):
            for rate in (0.005, 0.02, 0.1, 0.3, 0.5, 0.9, 0.98):
                hits = beta_binomial(sizes, rate, correlation, 1000, groups)
                covered = holds(grouped_proportion_intervals(hits, sizes[:, None]), rate)
                assert covered.mean() >= least(0.95, 1000), (sizes.max(), rate)

    def test_intervals_over_images_would_not_hold_it(self):
        """So that the test above can fail."""
        sizes = np.full(40, 20)
        hits = beta_binomial(sizes, 0.3, 0.5, 1000, 0)
        assert holds(proportion_intervals(hits.sum(axis=0), sizes.sum()), 0.3).mean() < 0.6

    def test_groups_of_one_image_are_images(self):
        hits = np.array([1] * 7 + [0] * 3)
        np.testing.assert_allclose(
            grouped_proportion_intervals(hits, np.ones(10)), proportion_intervals(7, 10), atol=1e-12
        )

    def test_groups_all_alike_are_worth_an_image_each(self):
        hits = 5 * np.array([1] * 7 + [0] * 3)
        np.testing.assert_allclose(
            grouped_proportion_intervals(hits, np.full(10, 5)), proportion_intervals(7, 10), atol=1e-12
        )

    def test_groups_of_the_same_rate_are_worth_their_images(self):
        found = grouped_proportion_intervals(np.full(10, 3), np.full(10, 6))
        np.testing.assert_allclose(found, proportion_intervals(30, 60), atol=1e-12)

    def test_by_hand(self):
        """Between four people 4, 2, 1 and 1 of 4: a variance of 4/3 * (4 + 0 + 1 + 1) / 16^2 = 1/32."""
        found = grouped_proportion_intervals([4, 2, 1, 1], [4, 4, 4, 4])
        # 0.25 / (1/32) = 8 images; degrees of freedom: 4 - 1, hits 8^2 / 22 = 2.909, misses 8^2 / 22.
        effective = 8 * (stats.t.ppf(0.025, 15) / stats.t.ppf(0.025, 64 / 22)) ** 2
        assert effective < 4, "fewer than there are people, so these count"
        np.testing.assert_allclose(found, proportion_intervals(2, 4), atol=1e-12)
        finer = grouped_proportion_intervals(np.repeat([4, 2, 3, 3], 8), np.full(32, 6))
        rate, between = 0.5, 32 / 31 * 8 * (1 + 1 + 0 + 0) / 192**2
        effective = rate * (1 - rate) / between
        freedom = min(31, 96**2 / (8 * (16 + 4 + 9 + 9)), 96**2 / (8 * (4 + 16 + 9 + 9)))
        effective *= (stats.t.ppf(0.025, 191) / stats.t.ppf(0.025, freedom)) ** 2
        effective = min(effective, 192)
        np.testing.assert_allclose(finer, proportion_intervals(effective / 2, effective), atol=1e-12)

    def test_all_right_or_all_wrong_counts_people(self):
        sizes = np.array([[30, 30], [5, 5], [1, 1], [0, 0]])
        hits = sizes * [1, 0]
        np.testing.assert_allclose(
            grouped_proportion_intervals(hits, sizes), proportion_intervals([3, 0], 3), atol=1e-12
        )

    def test_one_person_is_one_image(self):
        found = grouped_proportion_intervals([[3], [0]], [[4], [0]])
        np.testing.assert_allclose(found, [proportion_intervals(0.75, 1)], atol=1e-12)

    def test_nothing_is_known_without_images(self):
        assert np.isnan(grouped_proportion_intervals([[0, 1], [0, 1]], [[0, 1], [0, 2]])).tolist() == [
            [True, True],
            [False, False],
        ]


def drawn(counts, chances, rng):
    return np.stack([rng.multinomial(n, row) for n, row in zip(counts, chances, strict=True)])


def confusions(kind, classes, rng):
    """Chances `[C, C]` of the predictions of each class."""
    diagonal = {"accurate": 0.9, "mixed": 0.5, "perfect": 0.98, "poor": 0.2, "absorbed": 0.4}[kind]
    if kind == "mixed":
        chances = 0.5 * rng.dirichlet(np.full(classes, 0.5), classes)
    elif kind == "absorbed":  # rare classes are predicted as the most frequent one
        chances = np.zeros((classes, classes))
        chances[:, 0] = 0.6
    else:
        chances = np.full((classes, classes), (1 - diagonal) / (classes - 1))
        np.fill_diagonal(chances, 0)
    chances[np.arange(classes), np.arange(classes)] += diagonal
    return chances / chances.sum(axis=1, keepdims=True)


class TestScores:
    def test_shares_of_images_by_hand(self):
        counts = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
        found = confusion_intervals(counts, resamples=50)
        np.testing.assert_array_equal(found["accuracy"], proportion_intervals(7, 10))
        np.testing.assert_array_equal(found["recall"], proportion_intervals([3, 4, 0], [4, 6, 0]))
        np.testing.assert_array_equal(found["precision"], proportion_intervals([3, 4, 0], [5, 5, 0]))
        shared = proportion_intervals([3, 4, 0], [6, 7, 0])  # TP of TP + FP + FN
        np.testing.assert_allclose(found["f1"], 2 * shared / (1 + shared))
        assert np.isnan(found["f1"][2]).all(), "an absent class has none"
        assert found["balanced_accuracy"].shape == found["macro_f1"].shape == (2,)

    def test_f1_holds_its_coverage(self):
        """Over multinomial draws of ten to a hundred images; F1 of the chances is what must be held."""
        rng = np.random.default_rng(4)
        for kind in ("accurate", "mixed", "perfect", "poor", "absorbed"):
            for images in (10, 40, 100):
                joint = confusions(kind, 3, rng) * np.array([[0.7], [0.2], [0.1]])
                true = scores_from_confusion(joint)["f1"]
                counts = rng.multinomial(images, joint.ravel(), 1000).reshape(-1, 3, 3)
                hits = np.diagonal(counts, axis1=1, axis2=2)
                either = counts.sum(axis=1) + counts.sum(axis=2) - hits
                shared = proportion_intervals(hits, either)
                covered = holds(2 * shared / (1 + shared), true) | (either == 0)
                assert covered.mean(axis=0).min() >= least(0.95, 1000), (kind, images)

    def test_four_of_four_missed_is_no_certainty(self):
        counts = np.array([[50, 5], [4, 0]])
        found = confusion_intervals(counts, resamples=200)
        assert bootstrap_intervals(counts, resamples=200)["recall"][1].tolist() == [0, 0]
        assert found["recall"][1].tolist() == [0, pytest.approx(0.602, abs=0.001)]
        assert found["f1"][1][0] == 0 < 0.3 < found["f1"][1][1]

    @pytest.mark.parametrize("correct", [True, False])
    def test_averages_are_never_certain(self, correct):
        counts = np.diag([6, 4, 1]) if correct else np.roll(np.diag([6, 4, 1]), 1, axis=1)
        found = confusion_intervals(counts, resamples=200)
        for name in ("balanced_accuracy", "macro_f1"):
            low, high = found[name]
            assert high - low > 0.2
            assert (high == 1) if correct else (low == 0)

    def test_averages_are_as_wide_as_the_bootstrap(self):
        rng = np.random.default_rng(0)
        counts = drawn([30, 20, 5], confusions("mixed", 3, rng), rng)
        grouped = np.stack([drawn([3, 2, 1], confusions("mixed", 3, rng), rng) for _ in range(9)])
        for given, bootstrap in ((counts, bootstrap_intervals), (grouped, grouped_intervals)):
            found, inner = confusion_intervals(given, seed=5), bootstrap(given, seed=5)
            for name in ("balanced_accuracy", "macro_f1"):
                assert found[name][0] <= inner[name][0]
                assert found[name][1] >= inner[name][1]

    def test_nothing_is_refused(self):
        with pytest.raises(ValueError, match="at least one image"):
            confusion_intervals(np.zeros((2, 2), int))

    def test_one_group_alone(self):
        found = confusion_intervals(np.array([[[3, 1], [0, 4]]]), resamples=50)
        np.testing.assert_allclose(found["accuracy"], proportion_intervals(7 / 8, 1))
        assert found["recall"][1].tolist() == [pytest.approx(0.025), 1]

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["accurate", "mixed", "perfect", "poor", "absorbed"])
    @pytest.mark.parametrize(
        "counts", [[6, 6], [30, 30], [40, 3], [8] * 7, SKEWED, [700, 600, 35, 35, 30, 30, 2, 1]]
    )
    def test_averages_hold_their_coverage(self, counts, kind):
        self.check_averages(counts, kind, 1000)

    @pytest.mark.parametrize("kind", ["accurate", "perfect"])
    def test_averages_of_skewed_classes_hold_their_coverage(self, kind):
        self.check_averages(SKEWED, kind, 200)

    def check_averages(self, counts, kind, times):
        rng = np.random.default_rng(len(counts))
        chances = confusions(kind, len(counts), rng)
        true = scores_from_confusion(chances * np.array(counts)[:, None])
        found = [confusion_intervals(drawn(counts, chances, rng), resamples=200) for _ in range(times)]
        for name in ("balanced_accuracy", "macro_f1"):
            covered = holds(np.array([one[name] for one in found]), true[name])
            assert covered.mean() >= least(0.95, times), name

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [0.6, 0.9, 0.97])
    @pytest.mark.parametrize("correlation", [0.02, 0.3, 0.6])
    @pytest.mark.parametrize(("people", "images"), [(8, [3] * 4), (40, [4, 4, 0.5, 0.5]), (100, [2] * 7)])
    def test_averages_hold_their_coverage_over_people(self, people, images, correlation, rate):
        """A person is as easy to recognise in every class."""
        rng = np.random.default_rng(people)
        classes, times = len(images), 400
        others = (1 - np.eye(classes)) / (classes - 1)
        joint = np.array(images)[:, None] * (rate * np.eye(classes) + (1 - rate) * others)
        true = scores_from_confusion(joint)
        found = []
        for _ in range(times):
            spread = 1 / correlation - 1
            ability = rng.beta(rate * spread, (1 - rate) * spread, people)
            shown = rng.poisson(images, (people, classes))
            hits = rng.binomial(shown, ability[:, None])
            counts = np.stack([rng.multinomial((shown - hits)[:, c], others[c]) for c in range(classes)], 1)
            counts[:, np.arange(classes), np.arange(classes)] += hits
            if counts.sum(axis=(0, 2)).all():
                found.append(confusion_intervals(counts, resamples=200))
        assert len(found) > 0.9 * times
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            covered = holds(np.array([one[name] for one in found]), true[name])
            assert covered.mean() >= least(0.95, len(found)), name


class TestMean:
    rates, ends = np.array([0.5, 0.9, np.nan]), np.array([[0.2, 0.6], [0.5, 1.0], [np.nan, np.nan]])

    def test_independent_rates_by_hand(self):
        found = mean_interval(self.rates, self.ends, np.eye(3))
        assert found.tolist() == pytest.approx([0.7 - 0.5 / 2, 0.7 + np.sqrt(0.02) / 2])

    def test_rates_that_err_together_by_hand(self):
        found = mean_interval(self.rates, self.ends, np.ones((3, 3)))
        assert found.tolist() == pytest.approx([0.35, 0.8]), "the means of the ends"

    def test_nothing_is_known_of_no_rate(self):
        assert np.isnan(mean_interval(np.full(2, np.nan), np.full((2, 2), np.nan), np.eye(2))).all()
