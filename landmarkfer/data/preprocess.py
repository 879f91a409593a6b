"""From landmarks, image sizes and pixels to what a model takes: the only place that normalises.

Caches, photographs, videos and exported models all go through `Preprocess`, so that a model sees in use what
it saw in training.
"""

from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor, nn

from landmarkfer.config.data import NormalisationSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.alignment import crop_landmarks
from landmarkfer.face.geometry import normalise


class Preprocess(nn.Module):
    """Landmarks, sizes and pixels to a `FaceBatch`.

    Args:
        normalisation: How landmarks are normalised.
        keypoints: Whether the model asks where the landmarks lie in its image.
        crop: Side in pixels of the aligned crops that the images are; None where they are whole images.
        in_double: Normalise in double precision, as exports do.
    """

    def __init__(
        self,
        normalisation: NormalisationSettings,
        *,
        keypoints: bool = False,
        crop: int | None = None,
        in_double: bool = False,
    ) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.keypoints = keypoints
        self.crop = crop
        self.in_double = in_double

    def forward(
        self,
        landmarks: Tensor,
        sizes: Tensor,
        image: Tensor | None = None,
        has_image: Tensor | None = None,
        blendshapes: Tensor | None = None,
    ) -> FaceBatch:
        """Normalise faces.

        Args:
            landmarks: float32 `[B, 478, 3]`, fractions of the source image; NaN where no face was found.
            sizes: float32 `[B, 2]`, width and height of the source images in pixels; may be NaN where no face
                was found.
            image: uint8 `[B, C, S, S]` as stored.
            has_image: bool `[B]`, whether there is one.
            blendshapes: float32 `[B, 52]`, NaN where missing.

        Returns:
            The batch, without labels.
        """
        has_face = landmarks.isfinite().all(dim=2).all(dim=1)
        placed = None
        if self.keypoints and image is not None:
            placed = self._placed(landmarks, sizes)
        return FaceBatch(
            landmarks=torch.where(has_face[:, None, None], self._normalised(landmarks, sizes), 0),
            has_face=has_face,
            image=image,
            has_image=has_image,
            keypoints=None if placed is None else placed.nan_to_num(),
            blendshapes=None if blendshapes is None else blendshapes.nan_to_num(),
        )

    def _placed(self, landmarks: Tensor, sizes: Tensor) -> Tensor:
        if torch.compiler.is_exporting() and self.crop is None:
            return keypoints_in_image(landmarks, sizes, None)
        return torch.from_numpy(keypoints_in_image(landmarks.numpy(), sizes.numpy(), self.crop))

    def _normalised(self, landmarks: Tensor, sizes: Tensor) -> Tensor:
        how = self.normalisation.model_dump()
        if self.in_double or torch.compiler.is_exporting():
            # In double precision, since whitening raises what lies below the digits of float32.
            wide = normalise(landmarks.double(), *sizes.double().unbind(dim=1), **how)
            return wide.to(landmarks.dtype)
        # torch sums in another order than NumPy, and trained weights know NumPy's last digits.
        return torch.from_numpy(normalise(landmarks.numpy(), *sizes.numpy().T, **how))


def keypoints_in_image(landmarks: Any, sizes: Any, crop: int | None) -> Any:
    """Where landmarks lie in a face's square image.

    Args:
        landmarks: `[N, 478, 3]`, fractions of the source image, NaN where missing; an array, or without
            `crop` also a tensor.
        sizes: `[N, 2]`, width and height of the source images in pixels.
        crop: Side in pixels of the aligned crops that the images are; None where the longer side of the whole
            image fills the square, and the shorter one lies in its middle.

    Returns:
        `[N, 478, 2]` float32, fractions of the square's side, NaN where missing; of the landmarks' kind.
    """
    if crop is None:
        xp = array_namespace(landmarks)
        share = sizes / xp.max(sizes, axis=1, keepdims=True)  # [N, 2]
        return (landmarks[..., :2] - 0.5) * share[:, None] + 0.5
    points = np.full((*landmarks.shape[:2], 2), np.nan, np.float32)
    for row in np.flatnonzero(np.isfinite(landmarks).all(axis=(1, 2))):
        width, height = sizes[row]
        points[row] = crop_landmarks(landmarks[row], int(width), int(height), crop)[:, :2] / crop
    return points
