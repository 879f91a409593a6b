"""Blends of two training faces and of their targets: mixup, and CutMix for pixels.

A batch is mixed with itself in another order: one permutation, and one share lambda ~ Beta(a, a) of the first
face, per batch. Of each face only what the model looks at is mixed.

A face and its partner are mixed only where the model sees the same of both: landmarks of both or of neither,
an image of both or of neither. Otherwise the face stays as it is, with the target it had. So a target never
tells of a partner that the model cannot see. A landmark model is trained on found faces alone, of which every
pair can be mixed.

All draws are from torch's global generator on the CPU, on whatever device the batch lies.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from landmarkfer.config.train import MixingSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import SettingsError


def check_mixing(settings: MixingSettings, inputs: frozenset[str]) -> None:
    """Refuse a mixing that makes no sense for a model.

    Args:
        settings: What is mixed.
        inputs: What the model looks at: `landmarks`, `image`.

    Raises:
        SettingsError: CutMix, and the model looks at no pixels, or at landmarks too.
    """
    if not settings.cutmix or inputs == {"image"}:
        return
    if "image" in inputs:
        reason = "the rectangle would show another face than the landmarks, which the model looks at too"
    else:
        reason = "the model looks at landmarks alone"
    raise SettingsError(f"mixing.cutmix pastes rectangles of pixels, and {reason}; use mixing.mixup.")


def mix_batch(
    batch: FaceBatch, targets: Tensor, settings: MixingSettings, inputs: frozenset[str]
) -> tuple[FaceBatch, Tensor]:
    """Mix a batch with itself, or leave it as it is, as chance has it.

    Args:
        batch: After augmentation; it is not changed, and its `labels` are those of the first faces after too.
        targets: float `[B, C]`, the share of each class; they are not changed.
        settings: What is mixed. With both mixup and CutMix, each batch gets one of them, by equal chance.
        inputs: What the model looks at: `landmarks`, `image`.

    Returns:
        The mixed batch and its targets; of CutMix, by the area that was truly pasted.

    Raises:
        ValueError: The image is not yet float.
    """
    alphas = {"mixup": settings.mixup, "cutmix": settings.cutmix}
    kinds = [kind for kind, alpha in alphas.items() if alpha]
    if not kinds or torch.rand(()).item() >= settings.probability:
        return batch, targets
    if "image" in inputs and batch.image is not None and not batch.image.is_floating_point():
        raise ValueError(f"images are mixed as float in 0..1, got {batch.image.dtype}")
    kind = kinds[int(torch.randint(len(kinds), ()))]
    share = _beta(alphas[kind])
    partner = torch.randperm(len(batch)).to(targets.device)
    mixed = _seen_alike(batch, partner, inputs)
    if kind == "mixup":
        changed = _blend(batch, partner, mixed, share, inputs)
    else:
        changed, share = _paste(batch, partner, mixed, share)
    return replace(batch, **changed), _mix(targets, partner, mixed, share)


def _seen_alike(batch: FaceBatch, partner: Tensor, inputs: frozenset[str]) -> Tensor:
    """Bool `[B]`: whether the model sees the same of each face and its partner."""
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


def _paste(batch: FaceBatch, partner: Tensor, mixed: Tensor, share: float) -> tuple[dict[str, Tensor], float]:
    """The image with a rectangle of the partner's, and the share of its own pixels that are left."""
    assert batch.image is not None
    height, width = batch.image.shape[-2:]
    centre = torch.rand(2, dtype=torch.float64).tolist()
    rows, columns = _rectangle(share, centre, height, width)
    image = batch.image.clone()
    pasted = image[:, :, rows, columns]
    image[:, :, rows, columns] = _mix(pasted, partner, mixed, 0.0)
    return {"image": image}, 1 - pasted[0, 0].numel() / (height * width)


def _rectangle(share: float, centre: Sequence[float], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle of the image's form and 1 - `share` of its area (Yun et al. 2019).

    `centre` is y and x as fractions of the sides; what lies outside the image is cut off.
    """
    half = math.sqrt(1 - share) / 2
    rows, columns = (
        slice(_border(middle - half, size), _border(middle + half, size))
        for middle, size in zip(centre, (height, width), strict=True)
    )
    return rows, columns


def _border(fraction: float, size: int) -> int:
    """The pixel border nearest to a fraction of the side."""
    return round(min(max(fraction, 0.0), 1.0) * size)


def _mix(field: Tensor, partner: Tensor, mixed: Tensor, share: float) -> Tensor:
    """`share` of each row and the rest of its partner's where `mixed`; the row itself elsewhere."""
    blend = share * field + (1 - share) * field[partner]
    return torch.where(mixed.view(-1, *[1] * (field.ndim - 1)), blend, field)


def _beta(alpha: float) -> float:
    parameter = torch.tensor(alpha, dtype=torch.float64)
    return torch.distributions.Beta(parameter, parameter).sample().item()
