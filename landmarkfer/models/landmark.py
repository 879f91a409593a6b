"""What networks on landmarks have in common: features of each point, and the statistics behind them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.statistics import LEAST_SD, blendshape_statistics, landmark_statistics, whitening_matrix
from landmarkfer.errors import CacheError
from landmarkfer.face.blendshapes import N_BLENDSHAPES
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.models.base import FaceModel

# What keywords of these models may be; `build_model` checks them against the annotations of the constructor.
Features = Literal["whitened", "displacement", "coordinates"]
Widths = Annotated[Sequence[PositiveInt], Field(min_length=1)]
Floor = Annotated[float, Field(gt=0)]
Noise = Annotated[float, Field(ge=0)]

WHITENING_FLOOR = 1e-4
WHITENING_NOISE = 10.0
POINT_FEATURES = 3  # numbers that describe a point, of every kind of features


class LandmarkModel(FaceModel):
    """A model from `landmarks [B, 478, 3]` and `has_face [B]` to logits `[B, C]`.

    Args:
        num_classes: C.
        features: What a point is described by: how far it is displaced from the mean face, in SDs of the
            training faces (`displacement`); the part of that which the other coordinates do not predict
            linearly (`whitened`); or its normalised coordinates (`coordinates`).
        floor: Of `whitened`; see `data.statistics.whitening_matrix`.
        noise: Likewise. Without effect where each face was detected once.
        blendshapes: Whether the model also looks at the 52 blendshapes of the detector.
    """

    inputs = frozenset({"landmarks"})
    usual_epochs = 48
    mean: Tensor
    std: Tensor
    whitening: Tensor
    blendshape_mean: Tensor
    blendshape_std: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        features: Features = "whitened",
        floor: float = WHITENING_FLOOR,
        noise: float = WHITENING_NOISE,
        blendshapes: bool = False,
    ) -> None:
        super().__init__(num_classes)
        self.features = features
        self.floor = floor
        self.noise = noise
        self.register_buffer("mean", torch.from_numpy(CANONICAL.copy()))
        self.register_buffer("std", torch.ones(N_LANDMARKS, 3))
        if features == "whitened":
            self.register_buffer("whitening", torch.eye(3 * N_LANDMARKS))
        self.num_blendshapes = N_BLENDSHAPES if blendshapes else 0
        if blendshapes:
            self.register_buffer("blendshape_mean", torch.zeros(N_BLENDSHAPES))
            self.register_buffer("blendshape_std", torch.ones(N_BLENDSHAPES))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean normalised face and the SD of each coordinate, `[478, 3]` each."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(LEAST_SD))

    def learn_statistics(self, faces: FaceBatch) -> None:
        """Set statistics of the landmarks and blendshapes of training faces, all of them with a face.

        Raises:
            CacheError: The model wants blendshapes, and there are none.
        """
        landmarks, deviations = faces.landmarks, faces.deviation
        self.set_statistics(*landmark_statistics(landmarks))
        if self.features == "whitened":
            if deviations is not None:
                deviations = deviations[deviations.any(dim=2).any(dim=1)]
            self.whitening.copy_(
                whitening_matrix(landmarks, self.mean, self.std, self.floor, self.noise, deviations)
            )
        if self.num_blendshapes:
            mean, std = blendshape_statistics(self._blendshapes(faces))
            self.blendshape_mean.copy_(mean)
            self.blendshape_std.copy_(std.clamp_min(LEAST_SD))

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether a face was found."""
        return batch.has_face

    def describe(self, landmarks: Tensor) -> Tensor:
        """Features of each point, `[B, 478, 3]`, from normalised landmarks `[B, 478, 3]`."""
        if self.features == "coordinates":
            return landmarks
        displacement = (landmarks - self.mean) / self.std
        if self.features == "displacement":
            return displacement
        # What whitening raises lies below the digits of half precision.
        with torch.autocast(landmarks.device.type, enabled=False):
            return (displacement.flatten(1) @ self.whitening).view_as(displacement)

    def fold_whitening(self) -> None:
        """Make a trained model read displacements instead of whitened landmarks, and predict the same.

        Whitening and the first linear map become one, which takes a third of the memory.

        Raises:
            ValueError: The model's first map does not read all landmarks at once.
        """
        raise ValueError(f"the whitening of {type(self).__name__} does not fold into its first map")

    def with_blendshapes(self, x: Tensor, batch: FaceBatch) -> Tensor:
        """Features of faces with their blendshapes beside them, `[B, D] -> [B, D + num_blendshapes]`.

        Raises:
            CacheError: The model wants blendshapes, and there are none.
        """
        if not self.num_blendshapes:
            return x
        standardised = (self._blendshapes(batch) - self.blendshape_mean) / self.blendshape_std
        return torch.cat([x, standardised.to(x.dtype)], dim=1)

    @staticmethod
    def _blendshapes(batch: FaceBatch) -> Tensor:
        if batch.blendshapes is None:
            raise CacheError(
                "the model looks at blendshapes, and the cache has none; make one with "
                "`landmarkfer extract --detector landmarker`, or train with model.blendshapes=false."
            )
        return batch.blendshapes


def dense_layers(sizes: list[int], dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU and dropout for each step of `sizes`."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
