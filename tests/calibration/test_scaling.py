import numpy as np
import pytest
from scipy.special import softmax

from landmarkfer.calibration.scaling import KINDS, Scaling, choose_scaling, fit_scaling, log_of
from landmarkfer.calibration.temperature import temper

CLASSES = 4


def drawn(rng, images, prior=(0.4, 0.3, 0.2, 0.1), spread=1.5):
    """True probabilities of each image, and labels drawn from them."""
    logits = rng.normal(0, spread, (images, CLASSES)) + np.log(prior)
    chances = softmax(logits, axis=1)
    return chances, (chances.cumsum(axis=1) < rng.random((images, 1))).sum(axis=1).clip(max=CLASSES - 1)


def log_loss(p, y):
    return -np.log(p[np.arange(len(y)), y]).mean()


def folds(images):
    return np.arange(images) % 5


# What each kind undoes that no simpler one can.
DISTORTIONS = {
    "temperature": lambda p: temper(p, 0.5),
    "bias": lambda p: softmax(2 * log_of(p) + [0, 1, 2, 3], axis=1),
    "vector": lambda p: softmax(log_of(p) * [0.6, 1, 1.6, 2.4] + [0, 1, 0, 2], axis=1),
    "dirichlet": lambda p: softmax(log_of(p) @ (np.eye(CLASSES) + 0.5 * np.eye(CLASSES, k=1)), axis=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_can_undo_is_undone(kind):
    chances, y = drawn(np.random.default_rng(1), 8000)
    given = DISTORTIONS[kind](chances)
    scaling, held_out = choose_scaling(given, y, folds(len(y)))
    assert KINDS.index(scaling.kind) >= KINDS.index(kind)
    new, labels = drawn(np.random.default_rng(2), 20_000)
    assert log_loss(scaling(DISTORTIONS[kind](new)), labels) < log_loss(new, labels) + 0.003
    assert log_loss(given, y) > log_loss(chances, y) + 0.02, "the distortion cost something"
    assert log_loss(held_out, y) < log_loss(chances, y) + 0.004


def test_what_is_right_already_stays():
    chances, y = drawn(np.random.default_rng(3), 5000)
    scaling, _ = choose_scaling(chances, y, folds(len(y)))
    assert scaling.kind == "temperature"
    np.testing.assert_allclose(scaling(chances), chances, atol=0.02)


def test_few_images_leave_much_to_the_simplest_kind():
    """The excess of the log-loss over the true one stays small, whatever kind is chosen."""
    rng = np.random.default_rng(4)
    excess = []
    for _ in range(30):
        chances, y = drawn(rng, 80)
        scaling, _ = choose_scaling(temper(chances, 0.5), y, folds(80))
        new, labels = drawn(rng, 500)
        excess.append(log_loss(scaling(temper(new, 0.5)), labels) - log_loss(new, labels))
    assert np.mean(excess) < 0.05


def test_a_class_without_images_is_left_as_it_is():
    chances, y = drawn(np.random.default_rng(5), 2000, prior=(0.4, 0.3, 0.3, 1e-9))
    assert 3 not in y
    for kind in KINDS[1:]:
        found = fit_scaling(kind, chances, y)(chances)
        assert np.isfinite(found).all()
        assert found[:, 3].max() < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_a_minimum(kind):
    """A step in any number that is free does not lower the penalised loss; tested by the fit of the fit."""
    chances, y = drawn(np.random.default_rng(6), 4000)
    scaling = fit_scaling(kind, temper(chances, 0.7), y)
    again = fit_scaling(kind, scaling(temper(chances, 0.7)), y)
    np.testing.assert_allclose(again(chances), chances, atol=0.03)


@pytest.mark.parametrize("images", [0, 1, 49])
def test_too_few_images_determine_nothing(images):
    chances, y = drawn(np.random.default_rng(7), images)
    scaling, held_out = choose_scaling(chances, y, folds(images))
    assert scaling.kind == "none"
    np.testing.assert_array_equal(held_out, chances)


def test_one_class_determines_nothing():
    chances, _ = drawn(np.random.default_rng(8), 100)
    assert choose_scaling(chances, np.zeros(100, int), folds(100))[0].kind == "none"


def test_faultless_predictions_are_not_made_more_confident():
    y = np.arange(200) % CLASSES
    given = np.full((200, CLASSES), 0.1) + 0.6 * np.eye(CLASSES)[y]
    scaling, held_out = choose_scaling(given, y, folds(200))
    np.testing.assert_allclose(scaling(given), given)
    np.testing.assert_allclose(held_out, given)


def test_a_held_out_image_is_scaled_without_its_fold():
    chances, y = drawn(np.random.default_rng(9), 500)
    parts = folds(500)
    scaling, held_out = choose_scaling(chances, y, parts, ("dirichlet",))
    other = fit_scaling("dirichlet", chances[parts != 2], y[parts != 2])
    np.testing.assert_allclose(held_out[parts == 2], other(chances[parts == 2]))
    assert not np.allclose(held_out[parts == 2], scaling(chances[parts == 2]), atol=1e-6)


def test_probabilities_of_zero_stay_finite():
    given = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(Scaling.of_temperature(2.0, 2)(given)).all()
