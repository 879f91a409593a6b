"""Random changes of landmarks, for a whole batch at once on whatever device it lies.

Landmarks are normalised (`geometry.normalise`): centred, level, of size 1, y down. Only training uses this;
validation and test never see it.
"""

from dataclasses import replace

import torch
from torch import Tensor

from landmarkfer.config.data import AugmentSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.blendshapes import BLENDSHAPE_MIRROR
from landmarkfer.face.landmarks import MIRROR

_SWAP = torch.from_numpy(MIRROR.copy())
_SWAP_BLENDSHAPES = torch.from_numpy(BLENDSHAPE_MIRROR.copy())
# What the axes are multiplied by in the mirror.
MIRROR_SIGN = torch.tensor([-1.0, 1.0, 1.0])


def mirror_landmarks(landmarks: Tensor) -> Tensor:
    """The face as seen in a mirror: x negated, left and right points swapped through `MIRROR`.

    Args:
        landmarks: `[..., 478, 3]`, centred on x = 0.

    Returns:
        The same shape.
    """
    return landmarks.index_select(-2, _SWAP.to(landmarks.device)) * MIRROR_SIGN.to(landmarks)


def mirror_faces(batch: FaceBatch, chosen: Tensor) -> FaceBatch:
    """Mirror the landmarks and blendshapes of some faces; their pixels are `image_augment.mirror_images`'s.

    Args:
        batch: With normalised landmarks.
        chosen: Bool `[B]`.

    Returns:
        A new batch.
    """
    landmarks = torch.where(chosen[:, None, None], mirror_landmarks(batch.landmarks), batch.landmarks)
    blendshapes = batch.blendshapes
    if blendshapes is not None:
        swapped = blendshapes.index_select(1, _SWAP_BLENDSHAPES.to(blendshapes.device))
        blendshapes = torch.where(chosen[:, None], swapped, blendshapes)
    return replace(batch, landmarks=landmarks, blendshapes=blendshapes)


def augment_landmarks(
    landmarks: Tensor, has_face: Tensor, mean: Tensor, std: Tensor, settings: AugmentSettings
) -> Tensor:
    """Add noise to faces.

    Draws from torch's global generator of the landmarks' device, which training seeds for each step.

    Args:
        landmarks: `[B, 478, 3]`, normalised.
        has_face: bool `[B]`, whether there is a face.
        mean: `[478, 3]`, the mean training face; `shape_jitter` is made of how faces differ from it.
        std: `[478, 3]`, each coordinate's SD over the training faces; the unit of the jitter.
        settings: Sizes.

    Returns:
        `[B, 478, 3]`; the input is not changed.
    """
    if settings.shape_jitter:
        landmarks = landmarks + settings.shape_jitter * _shape_noise(landmarks, has_face, mean)
    if settings.jitter:
        landmarks = landmarks + torch.randn_like(landmarks) * (settings.jitter * std)
    return landmarks


def _shape_noise(landmarks: Tensor, has_face: Tensor, mean: Tensor) -> Tensor:
    """Noise `[B, 478, 3]` with the covariance of the faces of the batch: a random sum of how they differ.

    Noise of single points would drown the small common motions that distinguish expressions; this is as small
    as they are wherever they are small.
    """
    shapes = torch.where(has_face[:, None, None], landmarks - mean, 0).flatten(1)  # [B, 1434]
    weights = torch.randn(len(shapes), len(shapes), device=shapes.device) / has_face.sum().clamp_min(1).sqrt()
    return (weights @ shapes).view_as(landmarks)
