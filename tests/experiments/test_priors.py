"""The estimators of class shares, on data that differ in the shares alone."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
OLD, NEW = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])


@pytest.fixture
def priors(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("priors")


def drawn(shares, images, seed):
    """Calibrated probabilities under the old shares, and labels drawn with the given ones."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, images, p=shares)
    means = 1.5 * np.eye(3)
    x = means[y] + rng.normal(size=(images, 3))
    return softmax(x @ means.T + np.log(OLD), axis=1), y


@pytest.mark.parametrize("name", ["expectation maximisation", "black-box"])
def test_shares_are_found_where_nothing_else_differs(priors, name):
    validation = priors.Validation(*drawn(OLD, 4000, 0))
    found = priors.ESTIMATORS[name](validation, drawn(NEW, 4000, 1)[0])
    np.testing.assert_allclose(found, NEW, atol=0.04)


def test_a_penalty_keeps_the_estimate_near_the_training_shares(priors):
    validation = priors.Validation(*drawn(OLD, 300, 0))
    target = drawn(NEW, 300, 1)[0]
    free, held = priors.black_box(validation, target), priors.regularised(validation, target)
    assert np.abs(held - OLD).sum() < np.abs(free - OLD).sum()
    assert held.sum() == pytest.approx(1) and (held >= 0).all()
