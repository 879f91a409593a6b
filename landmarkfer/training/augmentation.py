"""Online augmentation of a training batch, pixels and landmarks alike."""

from dataclasses import replace

import torch
from torch import Tensor

from landmarkfer.config.data import AugmentSettings
from landmarkfer.data.augment import augment_landmarks, mirror_faces
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.image_augment import augment_images, mirror_images
from landmarkfer.models.base import FaceModel


def augment_batch(batch: FaceBatch, model: FaceModel, settings: AugmentSettings) -> FaceBatch:
    """Augment the inputs that the model reads, and leave the others out.

    Pixels and landmarks of a face are mirrored together. Draws from torch's global generators, which training
    seeds for each step.

    Args:
        batch: Of training faces.
        model: The model that is trained; a landmark model's `mean` and `std` are used, an image model's
            `crop`.
        settings: Probabilities and sizes.

    Returns:
        A new batch.
    """
    mirrored = torch.rand(len(batch), device=batch.has_face.device) < settings.mirror
    changed = replace(batch, image=None, keypoints=None, deviation=None)
    if "landmarks" in model.inputs:
        assert isinstance(model.mean, Tensor) and isinstance(model.std, Tensor)
        if settings.detection and batch.deviation is not None:
            share = settings.detection * torch.rand(len(batch), 1, 1, device=batch.deviation.device)
            changed = replace(changed, landmarks=batch.landmarks + share * batch.deviation)
        changed = mirror_faces(changed, mirrored)
        landmarks = augment_landmarks(changed.landmarks, batch.has_face, model.mean, model.std, settings)
        changed = replace(changed, landmarks=landmarks)
    if "image" in model.inputs:
        assert isinstance(model.crop, float)
        pixels = augment_images(mirror_images(batch, mirrored), settings.image, model.crop)
        changed = replace(changed, image=pixels.image, keypoints=pixels.keypoints)
    return changed
