import numpy as np
import pytest

from landmarkfer.calibration.priors import prior_ratio, reweighted
from landmarkfer.errors import SettingsError

CLASSES, TRAINED = ("happy", "sad", "neutral"), (0.5, 0.25, 0.25)


def test_ratios_by_hand():
    np.testing.assert_allclose(prior_ratio("train", CLASSES, TRAINED), 1)
    np.testing.assert_allclose(prior_ratio("uniform", CLASSES, TRAINED), [2 / 3, 4 / 3, 4 / 3])
    given = {"sad": 3, "happy": 1, "neutral": 0}
    np.testing.assert_allclose(prior_ratio(given, CLASSES, TRAINED), [0.5, 3, 0])


def test_the_posterior_of_another_prior_is_that_of_bayes():
    rng = np.random.default_rng(0)
    likelihood = rng.random((50, 3))
    old, new = np.array(TRAINED), np.array([0.1, 0.2, 0.7])
    given = likelihood * old / (likelihood @ old)[:, None]
    found = reweighted(given, prior_ratio(dict(zip(CLASSES, new.tolist(), strict=True)), CLASSES, old))
    np.testing.assert_allclose(found, likelihood * new / (likelihood @ new)[:, None])


def test_where_the_prior_excludes_all_that_is_possible_it_is_what_is_known():
    found = reweighted([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [0.0, 0.4, 0.6])
    assert found.tolist() == [[0.0, 0.4, 0.6], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("flat", "'uniform', 'train' or a share for each class"),
        ({"happy": 1}, "a share for each of happy, sad, neutral; it has happy"),
        ({"happy": float("nan"), "sad": 1, "neutral": 1}, "numbers from 0 on"),
        ({"happy": 0, "sad": 0, "neutral": 0}, "some above 0"),
    ],
)
def test_what_is_no_prior_is_refused(prior, message):
    with pytest.raises(SettingsError, match=message):
        prior_ratio(prior, CLASSES, TRAINED)
