import numpy as np
import pytest

from landmarkfer.metrics.bootstrap import bootstrap_intervals, grouped_intervals
from landmarkfer.metrics.classification import scores_from_confusion


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


class TestGroups:
    @pytest.fixture(scope="class")
    @classmethod
    def counts(cls):
        """Confusion matrices of 40 people with 1 to 12 images, some easy and some hard to recognise."""
        rng = np.random.default_rng(3)
        people = np.repeat(np.arange(40), rng.integers(1, 13, 40))
        labels = rng.choice(3, len(people), p=[0.5, 0.3, 0.2])
        right = rng.random(len(people)) < rng.choice([0.2, 0.95], 40)[people]
        predicted = np.where(right, labels, (labels + 1) % 3)
        counts = np.zeros((40, 3, 3), np.int64)
        np.add.at(counts, (people, labels, predicted), 1)
        return counts

    def test_same_as_drawing_groups_one_by_one(self, counts):
        rng = np.random.default_rng(8)
        drawn = [scores_from_confusion(counts[rng.integers(0, 40, 40)].sum(axis=0)) for _ in range(4000)]
        found = grouped_intervals(counts, resamples=4000)
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            expected = np.quantile([one[name] for one in drawn], [0.025, 0.975])
            np.testing.assert_allclose(found[name], expected, atol=0.01)
        assert found["recall"].shape == (3, 2)

    def test_wider_than_over_images_where_people_differ(self, counts):
        (low, high), (first, last) = (
            interval(given)["accuracy"]
            for interval, given in ((grouped_intervals, counts), (bootstrap_intervals, counts.sum(axis=0)))
        )
        assert high - low > 1.5 * (last - first)

    def test_copies_of_an_image_are_worth_one(self):
        """Each image four times in its group: the interval is that of a quarter of the images."""
        alone = np.zeros((300, 2, 2), np.int64)
        alone[:200, 0, 0] = alone[200:, 1, 0] = 1
        low, high = grouped_intervals(4 * alone, resamples=4000)["accuracy"]
        first, last = bootstrap_intervals(alone.sum(axis=0), resamples=4000)["accuracy"]
        assert (low, high) == pytest.approx((first, last), abs=0.005)

    def test_seed_and_batches(self, counts, monkeypatch):
        one, again = (grouped_intervals(counts, resamples=300, seed=3)["accuracy"] for _ in range(2))
        assert one.tolist() == again.tolist()
        monkeypatch.setattr("landmarkfer.metrics.bootstrap._DRAWS", 1)
        assert grouped_intervals(counts, resamples=300, seed=3)["accuracy"].tolist() == one.tolist()

    def test_nothing_to_resample_is_refused(self):
        with pytest.raises(ValueError, match="at least one image"):
            grouped_intervals(np.zeros((3, 2, 2), int))
