import numpy as np
from scipy.special import softmax

from landmarkfer.calibration.conformal import class_thresholds, label_sets
from landmarkfer.calibration.priors import prior_ratio
from landmarkfer.evaluation.shift import predictions_under
from landmarkfer.metrics.predictions import Predictions

CLASSES, TRAINED = ("happy", "sad", "neutral"), (0.5, 0.25, 0.25)


def test_predictions_change_and_sets_hold_each_class_as_before():
    """Two data sets that differ in how frequent the classes are, and in nothing else."""
    rng = np.random.default_rng(1)
    old, new = np.array(TRAINED), np.array([0.05, 0.15, 0.8])
    means = 1.4 * np.eye(3)

    def drawn(prior, images):
        y = rng.choice(3, images, p=prior)
        x = means[y] + rng.normal(size=(images, 3))
        return softmax(x @ means.T + np.log(old), axis=1), y  # the posterior under the old prior

    p, y = drawn(old, 5000)
    thresholds = class_thresholds(p[np.arange(5000), y], y, 3)[89]
    p, y = drawn(new, 20_000)
    given = Predictions(
        ids=np.arange(20_000).astype(str).astype(object),
        labels=y,
        predicted=p.argmax(axis=1),
        probabilities=p,
        classes=CLASSES,
        status=np.full(20_000, "ok", object),
        sets=label_sets(p, thresholds),
    )
    ratio = prior_ratio(dict(zip(CLASSES, new.tolist(), strict=True)), CLASSES, old)
    found = predictions_under(given, ratio)
    assert found.correct.mean() > given.correct.mean() + 0.05
    np.testing.assert_allclose(found.probabilities.mean(axis=0), new, atol=0.01)
    assert found.sets[np.arange(20_000), found.predicted].all()
    held = found.sets[np.arange(20_000), y]
    assert min(held[y == c].mean() for c in range(3)) > 0.88


def test_the_label_is_the_most_probable_class_under_the_prior():
    given = Predictions(
        ids=np.array(["a"], object),
        labels=np.array([0]),
        predicted=np.array([1]),
        probabilities=np.array([[0.6, 0.3, 0.1]]),
        classes=CLASSES,
        status=np.array(["ok"], object),
        uncalibrated=np.array([[0.3, 0.5, 0.2]]),
    )
    found = predictions_under(given, [1, 0.5, 4])
    assert found.predicted.tolist() == [0] and found.uncalibrated is None
    np.testing.assert_allclose(found.probabilities, [[0.6 / 1.15, 0.15 / 1.15, 0.4 / 1.15]])
    assert predictions_under(given, [1, 1, 1]).predicted.tolist() == [0], "of the training prior, too"
