import json

import numpy as np
import pytest

from landmarkfer.config.train import SamplingSettings
from landmarkfer.errors import SettingsError
from landmarkfer.training.samplers import SAMPLERS, build_sampler, check_sampling, check_shares

COUNTS = [10, 4, 3]
NAMES = ["happy", "sad", "disgust"]


def labels_of(counts: list[int], seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def sampler_of(name: str, counts: list[int] = COUNTS, **settings):
    return build_sampler(SamplingSettings(name=name, **settings), labels_of(counts), len(counts))


def draws(sampler, counts: list[int] = COUNTS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How often each row is drawn in an epoch, and how often each class."""
    order = sampler.order(np.random.default_rng(seed))
    assert order.dtype == np.int64
    assert len(order) == len(sampler)
    rows = np.bincount(order, minlength=sum(counts))
    return rows, np.bincount(labels_of(counts), weights=rows, minlength=len(counts)).astype(int)


def test_every_setting_has_a_sampler():
    assert set(SAMPLERS) == set(SamplingSettings.model_fields["name"].annotation.__args__)


def test_none_is_the_plain_permutation_to_the_last_bit():
    sampler = sampler_of("none")
    for epoch in range(3):
        expected = np.random.default_rng([7, epoch]).permutation(17)
        assert np.array_equal(sampler.order(np.random.default_rng([7, epoch])), expected)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_an_order_is_a_function_of_the_generator(name):
    sampler = sampler_of(name)
    first, again, other = (sampler.order(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert len(first) == len(other)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["oversample", "balanced", "adaptive"])
def test_within_a_class_no_image_is_drawn_twice_more_than_another(name):
    sampler = sampler_of(name, counts=[101, 40, 7], k=1, factor=3.0)
    sampler.update(np.array([0.9, 0.5, 0.1]))
    rows, _ = draws(sampler, [101, 40, 7])
    for label in range(3):
        of_class = rows[labels_of([101, 40, 7]) == label]
        assert of_class.max() - of_class.min() <= 1


@pytest.mark.parametrize("name", ["oversample", "balanced", "adaptive"])
def test_the_order_does_not_run_by_class(name):
    counts = [300, 300]
    order = sampler_of(name, counts, k=1).order(np.random.default_rng(0))
    labels = labels_of(counts)[order]
    assert 100 < labels[:300].sum() < 200


class TestOversampling:
    def test_every_class_is_as_large_as_the_largest(self):
        rows, classes = draws(sampler_of("oversample"))
        assert classes.tolist() == [10, 10, 10]
        assert rows.min() >= 1
        labels = labels_of(COUNTS)
        assert sorted(rows[labels == 1]) == [2, 2, 3, 3], "10 of 4"
        assert sorted(rows[labels == 2]) == [3, 3, 4], "10 of 3"
        assert (rows[labels == 0] == 1).all()

    def test_the_images_drawn_once_more_change(self):
        sampler = sampler_of("oversample")
        more = {tuple(np.flatnonzero(draws(sampler, seed=seed)[0] == 3)) for seed in range(20)}
        assert len(more) > 3


class TestBalanced:
    def test_classes_are_equal_to_within_one(self):
        sampler = sampler_of("balanced")
        _, classes = draws(sampler)
        assert len(sampler) == 17
        assert sorted(classes) == [5, 6, 6]

    def test_no_class_is_always_the_smaller_one(self):
        smaller = {int(draws(sampler_of("balanced"), seed=seed)[1].argmin()) for seed in range(30)}
        assert smaller == {0, 1, 2}

    def test_over_epochs_every_image_of_a_large_class_has_its_turn(self):
        sampler = sampler_of("balanced", counts=[100, 10])
        total = sum(draws(sampler, [100, 10], seed)[0] for seed in range(20))
        assert total[labels_of([100, 10]) == 0].min() >= 1


class TestAdaptive:
    def test_before_the_first_validation_it_is_a_shuffle(self):
        sampler = sampler_of("adaptive")
        assert sampler.focus == ()
        assert (draws(sampler)[0] == 1).all()

    def test_draws_by_hand(self):
        # 20 images, class 2 has 4 and counts fourfold: shares 10 : 6 : 16 of 32, times 20 draws.
        counts = [10, 6, 4]
        sampler = sampler_of("adaptive", counts, k=1, factor=4.0)
        sampler.update(np.array([0.5, 0.9, 0.2]))
        assert sampler.focus == (2,)
        rows, classes = draws(sampler, counts)
        # 6.25, 3.75 and 10: the largest remainder is rounded up.
        assert classes.tolist() == [6, 4, 10]
        assert sorted(rows[labels_of(counts) == 2]) == [2, 2, 3, 3]

    @pytest.mark.parametrize("factor", [1.5, 4.0, 5.0])
    def test_an_image_in_focus_is_drawn_that_much_more_often(self, factor):
        counts = [7215, 4965, 4830, 4097, 3995, 3171, 436]
        sampler = sampler_of("adaptive", counts, k=2, factor=factor)
        sampler.update(np.array([0.9, 0.6, 0.5, 0.4, 0.55, 0.8, 0.1]))
        assert sampler.focus == (6, 3)
        rows, classes = draws(sampler, counts)
        assert rows.sum() == sum(counts)
        rates = classes / counts
        for label in (3, 6):
            np.testing.assert_allclose(rates[label] / rates[[0, 1, 2, 4, 5]], factor, rtol=0.01)

    def test_the_worst_come_first_and_classes_that_are_not_validated_never(self):
        sampler = sampler_of("adaptive", counts=[5, 5, 5, 5], k=2)
        sampler.update(np.array([0.4, np.nan, 0.3, 0.6]))
        assert sampler.focus == (2, 0)
        sampler.update(np.array([np.nan, np.nan, np.nan, 0.6]))
        assert sampler.focus == (3,)
        sampler.update(np.array([0.4, 0.1, 0.3, 0.2]))
        assert sampler.focus == (1, 3)

    def test_its_state_is_plain_data_and_gives_the_same_draws(self):
        sampler = sampler_of("adaptive", k=1)
        sampler.update(np.array([0.9, 0.2, 0.5]))
        other = sampler_of("adaptive", k=1)
        other.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
        assert other.focus == sampler.focus == (1,)
        expected = sampler.order(np.random.default_rng(4))
        assert np.array_equal(other.order(np.random.default_rng(4)), expected)


@pytest.mark.parametrize("name", ["none", "oversample", "balanced"])
def test_the_others_have_no_memory(name):
    sampler = sampler_of(name)
    before = sampler.order(np.random.default_rng(0))
    sampler.update(np.array([0.1, 0.2, 0.3]))
    sampler.load_state_dict(sampler.state_dict())
    assert sampler.focus == ()
    assert np.array_equal(sampler.order(np.random.default_rng(0)), before)


class TestChecks:
    @pytest.mark.parametrize("k", [3, 7])
    def test_every_class_in_focus_is_none(self, k):
        with pytest.raises(SettingsError, match=f"sampling.k = {k} .* there are 3; give at most 2"):
            check_sampling(SamplingSettings(name="adaptive", k=k), NAMES)
        check_sampling(SamplingSettings(name="adaptive", k=2), NAMES, COUNTS)
        check_sampling(SamplingSettings(name="balanced", k=k), NAMES, COUNTS)

    @pytest.mark.parametrize("name", ["oversample", "balanced", "adaptive"])
    def test_a_class_without_an_image_cannot_be_drawn(self, name):
        with pytest.raises(SettingsError, match=f"'{name}' cannot draw class 'sad'.*no training image"):
            check_sampling(SamplingSettings(name=name), NAMES, [3, 0, 2])
        with pytest.raises(SettingsError, match="class number 1"):
            sampler_of(name, counts=[3, 0, 2])

    def test_without_sampling_it_may_be_absent(self):
        check_sampling(SamplingSettings(), NAMES, [3, 0, 2])
        assert sorted(sampler_of("none", counts=[3, 0, 2]).order(np.random.default_rng(0))) == list(range(5))


class TestShares:
    """Several caches in stated shares: 17 rows, of which a cache has 4."""

    CACHES = np.array([0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0])

    def sampler(self, shares, caches=CACHES, names=("large", "small")):
        settings = SamplingSettings(shares=shares)
        return build_sampler(settings, labels_of(COUNTS), len(COUNTS), caches, names)

    def test_each_cache_has_its_share_and_each_of_its_images_the_same(self):
        for share, expected in ((0.5, 9), (0.1, 2), (0.9, 15)):
            rows, _ = draws(self.sampler({"small": share, "large": 1 - share}))
            of_small = rows[self.CACHES == 1]
            assert abs(of_small.sum() - expected) <= 1
            assert rows.sum() == 17
            for of_cache in (of_small, rows[self.CACHES == 0]):
                assert of_cache.max() - of_cache.min() <= 1

    def test_an_order_is_a_function_of_the_generator(self):
        sampler = self.sampler({"small": 0.5, "large": 0.5})
        first, again, other = (sampler.order(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert np.array_equal(first, again) and not np.array_equal(first, other)

    def test_a_cache_without_usable_images(self):
        with pytest.raises(
            SettingsError, match="cannot draw 'small', which has no training image with usable"
        ):
            self.sampler({"small": 0.5, "large": 0.5}, np.zeros(17, np.int64))

    def test_other_names_than_there_are(self):
        shares = SamplingSettings(shares={"small": 0.5, "large": 0.5})
        check_shares(shares, ["large", "small"])
        check_shares(SamplingSettings(), ["large"])
        with pytest.raises(
            SettingsError, match="must give a share for each of large, other; it has small, l"
        ):
            check_shares(shares, ["large", "other"])
        with pytest.raises(SettingsError, match="'large' is the only one; leave it out, or name more caches"):
            check_shares(shares, ["large"])
