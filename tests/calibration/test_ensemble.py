import numpy as np
import pandas as pd
import pytest

from landmarkfer.calibration.ensemble import find_weights
from landmarkfer.errors import RunError
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions

CLASSES = ["happy", "sad"]


def predictions(happy, labels):
    """Predictions by the probability of `happy`."""
    happy = np.asarray(happy, float)
    frame = pd.DataFrame(
        {
            "id": [f"{n}.png" for n in range(len(happy))],
            "label": labels,
            "predicted": np.where(happy >= 0.5, "happy", "sad"),
            "status": "ok",
            "p_happy": happy,
            "p_sad": 1 - happy,
        }
    )
    return Predictions.from_frame(frame)


def loss(members, weights):
    mean = average_predictions(members, weights)
    given = mean.probabilities[np.arange(len(mean)), mean.labels]
    return -np.log(given).mean()


@pytest.fixture
def members():
    rng = np.random.default_rng(0)
    labels = rng.choice(CLASSES, 400)
    sign = np.where(labels == "happy", 1, -1)
    logits = [skill * sign + rng.normal(0, 1, 400) for skill in (1.5, 0.5, 0.0)]
    return [predictions(1 / (1 + np.exp(-x)), labels) for x in logits]


def test_the_weights_are_the_best_there_are(members):
    weights = find_weights(members)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[0] > weights[1] > weights[2] - 1e-6
    # No mixture on a fine grid is better.
    grid = [(a / 20, b / 20, 1 - (a + b) / 20) for a in range(21) for b in range(21 - a)]
    assert loss(members, weights) <= min(loss(members, shares) for shares in grid) + 1e-9


def test_a_member_that_knows_everything_gets_all():
    labels = ["happy", "sad"] * 10
    right = predictions([0.99, 0.01] * 10, labels)
    wrong = predictions([0.2, 0.8] * 10, labels)
    np.testing.assert_allclose(find_weights([wrong, right]), [0, 1], atol=1e-4)


def test_the_order_of_the_images_does_not_matter(members):
    shuffled = [members[0], members[1].rows(np.random.default_rng(1).permutation(400)), members[2]]
    np.testing.assert_allclose(find_weights(shuffled), find_weights(members), atol=1e-6)


def test_different_images_are_refused(members):
    with pytest.raises(RunError, match="different images"):
        find_weights([members[0], members[1].rows(range(1, 400))])
