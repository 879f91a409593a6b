"""How much each of several caches counts, worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.data.splits import Splits
from landmarkfer.training.cache_shares import drawn_shares, image_weights
from landmarkfer.training.initialise import class_counts, class_shares
from landmarkfer.training.resolve import resolve


def settings_of(**overrides):
    return resolve(load_settings(overrides={"model.name": "mlp", "cache": ["a", "b"], **overrides}))


@pytest.fixture
def dataset():
    """Of cache a: four images of class 0, two of class 1; of b: one and three. Then the same again."""
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1, 1, 1]).repeat(2)
    caches = torch.tensor([0] * 6 + [1] * 4).repeat(2)
    return SimpleNamespace(
        faces=SimpleNamespace(labels=labels, caches=caches), caches=("a", "b"), classes=("x", "y")
    )


@pytest.fixture
def splits():
    """Validation has all of the second half of a, but one image of b."""
    return Splits(
        train=np.arange(10), val=np.array([10, 11, 12, 13, 14, 15, 16]), test=np.array([17, 18, 19])
    )


def test_without_stated_shares_they_are_those_of_the_images(dataset, splits):
    np.testing.assert_allclose(drawn_shares(settings_of(), dataset, splits.train), [0.6, 0.4])
    stated = settings_of(**{"sampling.shares": {"a": 0.25, "b": 0.75}})
    np.testing.assert_allclose(drawn_shares(stated, dataset, splits.train), [0.25, 0.75])


def test_of_one_cache_there_are_none(dataset, splits):
    alone = SimpleNamespace(**vars(dataset) | {"caches": ()})
    assert drawn_shares(settings_of(), alone, splits.train) is None
    assert image_weights(None, alone, splits.val) is None


def test_weights_give_each_cache_its_share(dataset, splits):
    weights = image_weights(np.array([0.25, 0.75]), dataset, splits.val)
    np.testing.assert_allclose(weights, [7 * 0.25 / 6] * 6 + [7 * 0.75])
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(image_weights(np.array([0.2, 0.8]), dataset, np.arange(6)), 1)


def test_the_prior_is_that_of_the_images_as_they_are_drawn(dataset, splits):
    np.testing.assert_allclose(class_shares(settings_of(), dataset, splits), [5 / 10, 5 / 10])
    stated = settings_of(**{"sampling.shares": {"a": 0.25, "b": 0.75}})
    # Of a, two thirds are of class x; of b, a quarter.
    expected = 0.25 * 2 / 3 + 0.75 * 1 / 4
    np.testing.assert_allclose(class_shares(stated, dataset, splits), [expected, 1 - expected], rtol=1e-6)


def test_where_training_images_were_drawn_evenly_it_is_that_of_validation(dataset, splits):
    stated = settings_of(**{"sampling.shares": {"a": 0.25, "b": 0.75}, "data.per_class": 5})
    x = 7 * (0.25 * 4 / 6 + 0.75 * 1)  # the image of b that validates is of class x
    np.testing.assert_allclose(class_shares(stated, dataset, splits), [(x + 1) / 9, (8 - x) / 9], rtol=1e-6)


def test_images_of_a_class_as_they_are_drawn(dataset, splits):
    assert class_counts(dataset, splits.train).tolist() == [5, 5]
    weights = image_weights(np.array([0.25, 0.75]), dataset, splits.train)
    expected = 10 * (0.25 * 2 / 3 + 0.75 / 4)
    np.testing.assert_allclose(class_counts(dataset, splits.train, weights), [expected, 10 - expected])
