"""Options of a prediction: refused where they do not fit the model."""

import numpy as np
import pytest

from landmarkfer.errors import SettingsError
from landmarkfer.inference.network import ModelInfo, Outputs
from landmarkfer.inference.options import check_options

PRIOR = (0.5, 0.25, 0.25)
ANSWERS = tuple(0.3 if percent <= 60 else 0.7 if percent <= 90 else 2.0 for percent in range(1, 100))


@pytest.fixture
def info():
    return ModelInfo(
        name="m",
        kind="mlp",
        classes=("happy", "sad", "neutral"),
        prior=PRIOR,
        set_thresholds=(0.1,) * 99,
        answer_thresholds=ANSWERS,
    )


def test_an_accuracy_sets_the_least_confidence(info):
    assert check_options(info).least_confidence is None
    assert check_options(info, accuracy=0.6).least_confidence == 0.3
    assert check_options(info, accuracy=0.75).least_confidence == 0.7
    with pytest.raises(SettingsError, match=r"did not reach an accuracy of 95 % .* the highest was 90 %"):
        check_options(info, accuracy=0.95)


def test_another_prior(info):
    raw = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    given = Outputs(np.array([[0.5, 0.25, 0.25], [0.6, 0.3, 0.1]]), raw)
    even = check_options(info, prior="uniform").under_prior(given)
    np.testing.assert_allclose(even.probabilities[0], 1 / 3)
    np.testing.assert_allclose(even.probabilities.sum(axis=1), 1)
    stated = check_options(info, prior={"happy": 1, "sad": 1, "neutral": 2}).under_prior(given)
    np.testing.assert_allclose(stated.probabilities[0], [0.25, 0.25, 0.5])
    # The label is the most probable class under the prior, whatever chose it before.
    assert given.predicted.tolist() == [1, 0]
    assert stated.predicted.tolist() == [2, 0]
    same = check_options(info, prior="train").under_prior(given)
    np.testing.assert_allclose(same.probabilities, given.probabilities)
    assert same.predicted.tolist() == [0, 0]
    assert check_options(info).under_prior(given) is given


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least_confidence": 1.5}, "least_confidence must be a probability"),
        ({"accuracy": 0.805}, "accuracy must be a whole percent"),
        ({"accuracy": float("nan")}, "accuracy must be a whole percent"),
        ({"accuracy": 0.8, "least_confidence": 0.5}, "give one of them"),
        ({"coverage": 1.0}, "coverage must be a whole percent"),
        ({"batch_size": -1}, "batch_size must be a whole number"),
        ({"prior": "flat"}, "prior must be 'uniform', 'train' or a share for each class"),
        ({"prior": [0.2, 0.3, 0.5]}, "prior must be 'uniform', 'train' or a share for each class"),
        ({"prior": {"happy": 1}}, "a share for each of happy, sad, neutral; it has happy"),
        ({"prior": {"happy": -1, "sad": 1, "neutral": 1}}, "numbers from 0 on"),
        ({"prior": {"happy": 0, "sad": 0, "neutral": 0}}, "numbers from 0 on"),
    ],
)
def test_what_does_not_fit(info, options, message):
    with pytest.raises(SettingsError, match=message):
        check_options(info, **options)


def test_models_that_lack_what_an_option_needs(info):
    bare = info.model_copy(update={"prior": None, "set_thresholds": None, "answer_thresholds": None})
    for options, message in (
        ({"accuracy": 0.8}, "cannot tell when its answers are 80 % accurate: it had fewer than 50 "),
        ({"coverage": 0.8}, "has no prediction sets"),
        ({"prior": "uniform"}, "does not state its training prior"),
    ):
        with pytest.raises(SettingsError, match=message):
            check_options(bare, **options)
