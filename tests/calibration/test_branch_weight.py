import numpy as np
import pytest

from landmarkfer.calibration.branch_weight import LARGEST_WEIGHT, second_branch_weight


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(3, size=400)


def log_loss(first, both, labels, weight):
    logits = first + weight * (both - first)
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return -np.log(shares.mean(axis=0)[np.arange(len(labels)), labels]).mean()


def test_the_weight_has_the_lowest_log_loss_of_the_mean_probabilities(labels):
    generator = np.random.default_rng(1)
    first = generator.normal(size=(2, 400, 3))
    both = first + 2 * np.eye(3)[labels] + 2 * generator.normal(size=(2, 400, 3))
    weight = second_branch_weight(first, both, labels)
    assert 0.1 < weight < LARGEST_WEIGHT - 0.1
    best = log_loss(first, both, labels, weight)
    assert all(log_loss(first, both, labels, other) > best for other in (0.9 * weight, 1.1 * weight))


def test_noise_gets_no_weight_and_the_truth_the_largest(labels):
    first = np.zeros((1, 400, 3))
    noise = 5 * np.random.default_rng(2).normal(size=(1, 400, 3))
    assert second_branch_weight(first, noise, labels) < 0.1
    assert second_branch_weight(first, 3.0 * np.eye(3)[labels][None], labels) == pytest.approx(
        LARGEST_WEIGHT, abs=1e-4
    )
