import math

import pytest
import torch

from landmarkfer.config import LossSettings
from landmarkfer.training.losses import build_loss, class_weights


def test_weights_by_hand():
    counts = torch.tensor([60, 30, 10])
    assert class_weights(counts, "none") is None
    # 1/60 : 1/30 : 1/10 = 1 : 2 : 6, times 100 images over 60 + 60 + 60.
    torch.testing.assert_close(class_weights(counts, "inverse"), torch.tensor([1.0, 2.0, 6.0]) * 100 / 180)
    roots = torch.tensor([1.0, math.sqrt(2), math.sqrt(6)])
    total = 60 + 30 * math.sqrt(2) + 10 * math.sqrt(6)
    torch.testing.assert_close(class_weights(counts, "sqrt_inverse"), roots * 100 / total)


@pytest.mark.parametrize("scheme", ["inverse", "sqrt_inverse"])
def test_the_mean_weight_of_a_training_image_is_one(scheme):
    counts = torch.tensor([7215, 4965, 0, 4830, 4097, 3995, 436])
    weights = class_weights(counts, scheme)
    assert (weights * counts).sum().item() == pytest.approx(counts.sum().item())
    assert weights[2] == 0, "a class without an image weighs nothing"
    assert torch.isfinite(weights).all()


def test_cross_entropy_by_hand():
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    labels = torch.tensor([0, 2])
    log_sums = [math.log(math.exp(2) + 2), math.log(math.e + 2)]
    plain = [log_sums[0] - 2, log_sums[1] - 0]
    loss = build_loss(LossSettings(smoothing=0), torch.ones(3))
    assert loss(logits, labels).item() == pytest.approx(sum(plain) / 2)
    # Smoothing by 0.3 puts 0.1 on every class and 0.7 more on the right one.
    uniform = [log_sums[0] - 2 / 3, log_sums[1] - 1 / 3]
    smooth = [0.7 * p + 0.3 * u for p, u in zip(plain, uniform, strict=True)]
    loss = build_loss(LossSettings(smoothing=0.3), torch.ones(3))
    assert loss(logits, labels).item() == pytest.approx(sum(smooth) / 2)


def test_weighted_cross_entropy_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    losses = [math.log(1 + math.exp(-2)), math.log(1 + math.e)]
    loss = build_loss(LossSettings(smoothing=0, class_weights="inverse"), torch.tensor([30, 10]))
    # Weights cancel within one class, as PyTorch divides by their sum.
    assert loss(logits, labels).item() == pytest.approx(sum(losses) / 2)
    mixed = loss(logits, torch.tensor([0, 1])).item()
    assert mixed == pytest.approx((1 * losses[0] + 3 * math.log(1 + math.exp(-1))) / 4)
