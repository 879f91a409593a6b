"""What models that see landmarks alone have in common: their features, and what they say without a face."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from landmarkfer.data.datamodule import FaceBatch
from landmarkfer.landmarks import CANONICAL, N_LANDMARKS

# What keywords of models may be; `build_model` checks them against the annotations of the constructor.
Features = Literal["displacement", "coordinates", "both"]
Widths = Annotated[Sequence[PositiveInt], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class LandmarkModel(nn.Module, ABC):
    """A model from `landmarks [B, 478, 3]` and `present [B]` to logits `[B, C]`.

    A face that was not found gets the logarithm of the training prior, whatever its landmarks hold, so that
    every image has a prediction and nobody has to treat it apart.

    Args:
        num_classes: C.
        features: What a point is described by: how far it is displaced from the mean face, in SDs of the
            training faces (3 numbers), its normalised coordinates (3), or both (6).
    """

    mean: Tensor
    std: Tensor
    log_prior: Tensor

    def __init__(self, num_classes: int, *, features: Features = "displacement") -> None:
        super().__init__()
        self.num_classes = num_classes
        self.features = features
        self.num_features = 6 if features == "both" else 3
        self.register_buffer("mean", torch.from_numpy(CANONICAL.copy()))
        self.register_buffer("std", torch.ones(N_LANDMARKS, 3))
        self.register_buffer("log_prior", torch.full((num_classes,), 1 / num_classes).log())

    def set_statistics(self, mean: Tensor, std: Tensor, prior: Tensor) -> None:
        """Take over what the training faces say.

        Args:
            mean: `[478, 3]`, the mean normalised face.
            std: `[478, 3]`, the SD of each coordinate.
            prior: `[C]`, the share of each class.
        """
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(1e-6))
        self.log_prior.copy_(prior.clamp_min(1e-6).log())

    def describe(self, landmarks: Tensor) -> Tensor:
        """Features of each point, `[B, 478, F]`, from normalised landmarks `[B, 478, 3]`."""
        if self.features == "coordinates":
            return landmarks
        displacement = (landmarks - self.mean) / self.std
        if self.features == "displacement":
            return displacement
        return torch.cat([landmarks, displacement], dim=-1)

    @abstractmethod
    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, D]`."""

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]` from features `[B, D]`."""

    def forward(self, batch: FaceBatch) -> Tensor:
        """Logits `[B, C]`; the log prior where no face is present."""
        logits = self.classify(self.embed(batch))
        return torch.where(batch.present[:, None], logits, self.log_prior.to(logits.dtype))


def dense_layers(sizes: list[int], dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU and dropout for each step of `sizes`."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
