import numpy as np
import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.models import build_model
from landmarkfer.training.class_weighting import log_class_weights
from landmarkfer.training.losses import build_loss
from landmarkfer.training.resolve import resolve

COUNTS = np.array([600, 300, 90, 10])
SHARES = np.array([0.6, 0.3, 0.09, 0.01])
LOG_PRIOR = np.log(COUNTS / COUNTS.sum())


def centred(values):
    return values - values.mean()


def found(model="mlp", counts=COUNTS, **settings):
    resolved = resolve(load_settings(overrides={"model.name": model, "cache": "x", **settings}))
    keywords = {} if model != "mlp" else {"hidden": [4]}
    built = build_model(model, len(counts), **(resolved.model.keywords | keywords))
    return log_class_weights(built, resolved, counts, SHARES)


@pytest.mark.parametrize(
    ("settings", "power"),
    [
        ({"loss.class_weights": "none"}, 0),
        ({"loss.class_weights": "sqrt_inverse"}, -0.5),
        ({"loss.class_weights": "inverse"}, -1),
        ({"sampling.name": "balanced"}, -1),
        ({"sampling.name": "oversample"}, -1),
        ({"sampling.name": "adaptive"}, 0),
        ({"loss.logit_adjustment": 1.0}, -1),
        ({"loss.logit_adjustment": 0.5}, -0.5),
    ],
)
def test_they_are_a_power_of_the_class_frequencies(settings, power):
    np.testing.assert_allclose(found(**settings), centred(power * LOG_PRIOR), atol=1e-5)


def test_training_images_drawn_evenly_from_uneven_ones():
    even = np.array([10, 10, 10, 10])
    given = found(counts=even, **{"data.per_class": 10, "loss.class_weights": "none"})
    np.testing.assert_allclose(given, centred(-np.log(SHARES)), atol=1e-6)


@pytest.mark.parametrize("model", ["landmark-forest", "landmark-boosting"])
def test_balanced_trees(model):
    np.testing.assert_allclose(found(model, **{"model.class_weight": "balanced"}), centred(-LOG_PRIOR))
    assert not found(model).any()


def test_an_absent_class_is_not_shifted():
    counts = np.array([600, 300, 90, 0])
    for settings in ({"loss.class_weights": "inverse"}, {"loss.logit_adjustment": 1.0}):
        given = found(counts=counts, **settings)
        assert given[3] == 0 and np.isfinite(given).all()


@pytest.mark.parametrize(
    "settings",
    [{"loss.class_weights": "inverse"}, {"loss.logit_adjustment": 1.0}, {"loss.class_weights": "effective"}],
)
def test_the_minimiser_of_the_loss_is_off_by_them(settings):
    """Without input, a model learns logits whose softmax is the class frequencies, but for the weights."""
    resolved = resolve(load_settings(overrides={"cache": "x", "loss.smoothing": 0.0, **settings}))
    loss = build_loss(resolved.loss, torch.from_numpy(COUNTS))
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    labels = torch.from_numpy(np.repeat(np.arange(4), COUNTS))
    optimiser = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(logits.expand(len(labels), 4).float(), labels).double()
        value.backward()
        return value

    optimiser.step(closure)
    learned = logits.detach().numpy()
    np.testing.assert_allclose(centred(learned), centred(LOG_PRIOR + found(**settings)), atol=0.01)
