"""What is minimised, built from settings and the class counts of the training images."""

import torch
from torch import Tensor, nn

from landmarkfer.config import LossSettings


def class_weights(counts: Tensor, scheme: str) -> Tensor | None:
    """Weight of each class in the loss, `[C]`, with mean 1 over the training images; None for equal weights.

    Args:
        counts: `[C]`, training images of each class; an absent class weighs nothing.
        scheme: `none`, `inverse` (proportional to 1 / count) or `sqrt_inverse` (to its square root).
    """
    if scheme == "none":
        return None
    counts = counts.double()
    weights = torch.where(counts > 0, 1 / counts.clamp_min(1), 0.0)
    if scheme == "sqrt_inverse":
        weights = weights.sqrt()
    return (weights * counts.sum() / (weights * counts).sum()).float()


def build_loss(settings: LossSettings, counts: Tensor) -> nn.Module:
    """A module from logits `[B, C]` and labels `[B]` to a scalar."""
    weights = class_weights(counts, settings.class_weights)
    return nn.CrossEntropyLoss(weight=weights, label_smoothing=settings.smoothing)
