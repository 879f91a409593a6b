"""What is minimised, built from settings and the class counts of the training images.

Every loss takes logits `[B, C]` and either labels int64 `[B]` or, after mixing, targets float `[B, C]` whose
rows sum to 1; targets that are all 0 or 1 give what the labels give. The result is the mean over the batch,
in which a face counts as much as the weight of its class (a mixed face as the mix of the weights).

The same module gives the validation loss: what it does with weights, smoothing and the log prior, it does
there too, so validation losses of runs with different settings of the loss cannot be compared.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from landmarkfer.config.train import LossSettings


def class_weights(counts: Tensor, scheme: str, beta: float = 0.999) -> Tensor | None:
    """Weight of each class in the loss, `[C]`, with mean 1 over the training images; None for equal weights.

    Args:
        counts: `[C]`, training images of each class; an absent class weighs nothing.
        scheme: `none`, `inverse` (proportional to 1 / count), `sqrt_inverse` (to its square root) or
            `effective` (to 1 / the effective number of images, (1 - beta^count) / (1 - beta); Cui et al.
            2019, https://arxiv.org/abs/1901.05555).
        beta: Of `effective`: 0 gives every class the same weight, near 1 is near `inverse`.
    """
    if scheme == "none":
        return None
    counts = counts.double()
    numbers = (1 - beta**counts) / (1 - beta) if scheme == "effective" else counts
    weights = torch.where(counts > 0, 1 / numbers.clamp_min(1), 0.0)
    if scheme == "sqrt_inverse":
        weights = weights.sqrt()
    return (weights * counts.sum() / (weights * counts).sum()).float()


def build_loss(settings: LossSettings, counts: Tensor) -> nn.Module:
    """A module from logits `[B, C]` and labels `[B]` or targets `[B, C]` to a scalar.

    Args:
        settings: Which loss, with what; no class weights where they are unset.
        counts: `[C]`, training images of each class.
    """
    weight = class_weights(counts, settings.class_weights or "none", settings.beta)
    loss: nn.Module
    if settings.name == "focal":
        loss = FocalLoss(weight, settings.smoothing, settings.gamma, settings.alpha)
    else:
        loss = CrossEntropy(weight, settings.smoothing)
    if settings.logit_adjustment:
        return LogitAdjusted(loss, settings.logit_adjustment * log_prior(counts))
    return loss


def log_prior(counts: Tensor) -> Tensor:
    """Logarithm of the share of each class, float32 `[C]`, and 0 for an absent class.

    The rarer a class, the less an adjusted loss pushes its logit down on images of other classes. The logit
    of a class without any image would hardly be pushed at all and could end up anywhere; left unadjusted, it
    is pushed down as by plain cross-entropy, and the class is not predicted.
    """
    counts = counts.double()
    return torch.where(counts > 0, (counts.clamp_min(1) / counts.sum()).log(), 0.0).float()


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean of both Kullback-Leibler divergences between two predictions of each face, a scalar.

    What R-Drop minimises between two dropout masks (Liang et al. 2021, https://arxiv.org/abs/2106.14448).

    Args:
        first: Logits `[B, C]`.
        second: Logits `[B, C]` of other versions of the same faces.
    """
    log_p, log_q = log_softmax(first, dim=1), log_softmax(second, dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean() / 2


class CrossEntropy(nn.CrossEntropyLoss):
    """PyTorch's cross-entropy, and for targets `[B, C]` the same mean as for labels.

    PyTorch divides by the batch size there, even with weights; a batch that was mixed would count differently
    from one that was not.
    """

    def __init__(self, weight: Tensor | None = None, smoothing: float = 0.0) -> None:
        super().__init__(weight=weight, label_smoothing=smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch."""
        if not targets.is_floating_point():
            return super().forward(logits, targets)
        terms = -log_softmax(logits, dim=1) * _smoothed(targets, self.label_smoothing)
        if self.weight is None:
            return terms.sum() / len(targets)
        return (terms * self.weight).sum() / (targets @ self.weight).sum()


class FocalLoss(nn.Module):
    """Cross-entropy with less weight on faces that are predicted well (Lin et al. 2017).

    Each class's term of the cross-entropy is multiplied by alpha * (1 - p)^gamma with its probability p.
    Where the target is one class, that is the paper's loss. https://arxiv.org/abs/1708.02002

    Args:
        weight: `[C]`, of the classes; None for equal weights.
        smoothing: Of the labels.
        gamma: 0 for cross-entropy; 2 is usual.
        alpha: Factor of the whole. The paper's two-class alpha, one factor per class, is `weight` here.
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, smoothing: float = 0.0, gamma: float = 2.0, alpha: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.smoothing = smoothing
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch."""
        if not targets.is_floating_point():
            targets = one_hot(targets, logits.shape[1]).to(logits.dtype)
        weight = logits.new_ones(logits.shape[1]) if self.weight is None else self.weight
        log_p = log_softmax(logits, dim=1)
        # 1 - p without cancellation, and above 0, where the slope of a power below 1 is infinite.
        wrong = (-torch.expm1(log_p)).clamp_min(1e-12)
        terms = wrong.pow(self.gamma) * log_p * _smoothed(targets, self.smoothing)
        return -self.alpha * (terms * weight).sum() / (targets @ weight).sum()


class LogitAdjusted(nn.Module):
    """A loss of logits to which an offset per class was added (Menon et al. 2021).

    With tau times the log prior as the offset, the model's own logits, which predict without it, are those
    of a world where all classes are equally frequent (tau = 1). https://arxiv.org/abs/2007.07314

    Args:
        loss: Of the logits with the offset.
        offset: `[C]`.
    """

    offset: Tensor

    def __init__(self, loss: nn.Module, offset: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("offset", offset)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of the adjusted logits, in training and validation alike."""
        return self.loss(logits + self.offset, targets)


def _smoothed(targets: Tensor, smoothing: float) -> Tensor:
    return targets * (1 - smoothing) + smoothing / targets.shape[1]
