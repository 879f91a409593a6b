"""Mixup: blends of two training faces and of their targets (Zhang et al. 2018).

A batch is mixed with itself in another order: one permutation, and one share lambda ~ Beta(a, a) of the first
face, per batch. Of each face only the inputs of the model are mixed.

A face and its partner are mixed only where both have the same usable inputs: landmarks of both or of neither,
an image of both or of neither. Otherwise the face stays as it is, with its target, so that no target is of a
partner without usable input. A landmark model is trained on detected faces alone, of which every pair can be
mixed.

All draws are from torch's global generator on the CPU, on whatever device the batch lies.
"""

from dataclasses import replace

import torch
from torch import Tensor

from landmarkfer.config.train import MixingSettings
from landmarkfer.data.batch import FaceBatch


def mix_batch(
    batch: FaceBatch, targets: Tensor, settings: MixingSettings, inputs: frozenset[str]
) -> tuple[FaceBatch, Tensor]:
    """Mix a batch with itself, with probability `settings.probability`.

    Args:
        batch: After augmentation; it is not changed, and its `labels` are those of the first faces after too.
        targets: float `[B, C]`, the share of each class; they are not changed.
        settings: How much is mixed, and how often.
        inputs: What the model reads: `landmarks`, `image`.

    Returns:
        The mixed batch and its targets.

    Raises:
        ValueError: The image is not yet float.
    """
    if not settings.mixup or torch.rand(()).item() >= settings.probability:
        return batch, targets
    if "image" in inputs and batch.image is not None and not batch.image.is_floating_point():
        raise ValueError(f"images are mixed as float in 0..1, got {batch.image.dtype}")
    # A draw that decides nothing: without it, trainings would differ from those of version 0.1.
    torch.randint(1, ())
    share = _beta(settings.mixup)
    partner = torch.randperm(len(batch)).to(targets.device)
    mixed = _same_inputs(batch, partner, inputs)
    blended = _blend(batch, partner, mixed, share, inputs)
    return replace(batch, **blended), _mix(targets, partner, mixed, share)


def _same_inputs(batch: FaceBatch, partner: Tensor, inputs: frozenset[str]) -> Tensor:
    """Bool `[B]`: whether each face and its partner have the same usable inputs."""
    alike = torch.ones_like(batch.has_face)
    for there in (
        batch.has_face if "landmarks" in inputs else None,
        batch.has_image if "image" in inputs else None,
    ):
        if there is not None:
            alike &= there == there[partner]
    return alike


def _blend(
    batch: FaceBatch, partner: Tensor, mixed: Tensor, share: float, inputs: frozenset[str]
) -> dict[str, Tensor]:
    """Every field that belongs to `inputs`, blended."""
    names = ["landmarks", "keypoints", "blendshapes"] if "landmarks" in inputs else []
    names += ["image"] if "image" in inputs else []
    fields = {name: getattr(batch, name) for name in names}
    return {name: _mix(field, partner, mixed, share) for name, field in fields.items() if field is not None}


def _mix(field: Tensor, partner: Tensor, mixed: Tensor, share: float) -> Tensor:
    """`share` of each row and the rest of its partner's where `mixed`; the row itself elsewhere."""
    blend = share * field + (1 - share) * field[partner]
    return torch.where(mixed.view(-1, *[1] * (field.ndim - 1)), blend, field)


def _beta(alpha: float) -> float:
    parameter = torch.tensor(alpha, dtype=torch.float64)
    return torch.distributions.Beta(parameter, parameter).sample().item()
