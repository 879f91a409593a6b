"""Random changes of images, for a whole batch at once on whatever device it lies; landmarks move along.

Only training uses this. Geometry is kornia's, on pixels and on the points that lie in them alike; what the
mirror does to the order of left and right points is `landmarks.MIRROR`.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from landmarkfer.config.data import ImageAugmentSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.images import cropped_side
from landmarkfer.face.landmarks import MIRROR

_SWAP = torch.from_numpy(MIRROR.copy())


def mirror_images(batch: FaceBatch, chosen: Tensor) -> FaceBatch:
    """Mirror the pixels, and the points in them, of some faces.

    Args:
        batch: With `image`.
        chosen: Bool `[B]`.

    Returns:
        A new batch.
    """
    assert batch.image is not None
    image = torch.where(chosen[:, None, None, None], batch.image.flip(-1), batch.image)
    points = batch.keypoints
    if points is not None:
        swapped = points.index_select(1, _SWAP.to(points.device))
        mirrored = torch.stack([1 - swapped[..., 0], swapped[..., 1]], dim=-1)
        points = torch.where(chosen[:, None, None], mirrored, points)
    return replace(batch, image=image, keypoints=points)


def augment_images(batch: FaceBatch, settings: ImageAugmentSettings, crop: float) -> FaceBatch:
    """Turn, scale, shift, crop and disturb the pixels of a batch.

    Draws from torch's global generators, which training seeds for each step.

    Args:
        batch: With `image`, uint8 `[B, C, S, S]`.
        settings: Probabilities and sizes.
        crop: Share of the image's side that the model sees; the place is random.

    Returns:
        A new batch whose `image` is float `[B, C, S * crop, S * crop]` in 0..1, and whose `points`, if there
        are any, are fractions of that.
    """
    # Not at the top: trainings and predictions from landmarks alone would wait for it too.
    import kornia.augmentation as K

    assert batch.image is not None
    image = batch.image.float() / 255
    side = image.shape[-1]
    seen = cropped_side(side, crop)
    steps = _geometry(settings, seen if seen < side else None)
    points = batch.keypoints
    if steps and points is None:
        image = K.AugmentationSequential(*steps, data_keys=["input"])(image)
    elif steps and points is not None:
        moved = K.AugmentationSequential(*steps, data_keys=["input", "keypoints"])
        # A pixel's centre is its number for kornia, and lies half a pixel further on as a fraction.
        image, pixels = moved(image, points * side - 0.5)
        points = (pixels + 0.5) / seen
    disturbances = _disturbances(settings)
    if disturbances:
        image = K.ImageSequential(*disturbances)(image).clamp(0, 1)
    return replace(batch, image=image, keypoints=points)


def _geometry(settings: ImageAugmentSettings, seen: int | None) -> list[Any]:
    import kornia.augmentation as K

    steps: list[Any] = []
    if settings.rotation or settings.scale or settings.shift:
        steps.append(
            K.RandomAffine(
                degrees=settings.rotation,
                translate=(settings.shift, settings.shift) if settings.shift else None,
                scale=(1 - settings.scale, 1 + settings.scale) if settings.scale else None,
                padding_mode="border",
                p=1.0,
            )
        )
    if seen is not None:
        steps.append(K.RandomCrop((seen, seen), p=1.0))
    return steps


def _disturbances(settings: ImageAugmentSettings) -> list[Any]:
    import kornia.augmentation as K

    steps: list[Any] = []
    if settings.brightness:
        steps.append(K.RandomBrightness((1 - settings.brightness, 1 + settings.brightness), p=1.0))
    if settings.contrast:
        steps.append(K.RandomContrast((1 - settings.contrast, 1 + settings.contrast), p=1.0))
    if settings.blur:
        steps.append(K.RandomGaussianBlur((5, 5), (min(0.1, settings.blur), settings.blur), p=0.5))
    if settings.erasing:
        steps.append(K.RandomErasing(p=settings.erasing, value=0.5))
    return steps
