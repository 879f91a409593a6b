"""What all models have in common, and what those that see landmarks alone do.

A model says something of every image: where it sees nothing (no face was found, or the image could not be
read), it says what the training prior says.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from landmarkfer.calibration.conformal import PERCENTS
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.statistics import LEAST_SD, blendshape_statistics, landmark_statistics, whitening_matrix
from landmarkfer.errors import CacheError
from landmarkfer.face.blendshapes import N_BLENDSHAPES
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS

# What keywords of models may be; `build_model` checks them against the annotations of the constructor.
Features = Literal["whitened", "displacement", "coordinates"]
Widths = Annotated[Sequence[PositiveInt], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Floor = Annotated[float, Field(gt=0)]

WHITENING_FLOOR = 1e-3
OF_ITS_DATA = ("log_prior", "class_offset", "temperature", "set_thresholds")
"""Buffers that tell of a model's own training and validation images: no other model begins with them."""
POINT_FEATURES = 3  # numbers that describe a point, of every kind of features


class FaceModel(nn.Module, ABC):
    """A model from a `FaceBatch` to logits `[B, C]`.

    Where it sees nothing, the logits are the logarithm of the training prior, whatever the batch holds there,
    so that every image has a prediction and nobody has to treat it apart.

    Args:
        num_classes: C.

    Attributes:
        inputs: The fields of a batch that the model looks at: `landmarks`, `image`.
    """

    inputs: ClassVar[frozenset[str]]
    log_prior: Tensor
    class_offset: Tensor
    temperature: Tensor
    set_thresholds: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("log_prior", torch.full((num_classes,), 1 / num_classes).log())
        self.register_buffer("class_offset", torch.zeros(num_classes))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("set_thresholds", torch.zeros(len(PERCENTS)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Runs that were trained before there was calibration count as not calibrated.
        state_dict.setdefault(f"{prefix}temperature", torch.ones(()))
        state_dict.setdefault(f"{prefix}set_thresholds", torch.zeros(len(PERCENTS)))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def set_prior(self, prior: Tensor) -> None:
        """Take over the share of each class among the training images, `[C]`."""
        self.log_prior.copy_(prior.clamp_min(1e-6).log())

    def set_offset(self, offset: Tensor) -> None:
        """Take over what is added to the logits of each class, `[C]`; see `evaluation.offsets`."""
        self.class_offset.copy_(offset)

    def set_calibration(self, temperature: float, thresholds: Tensor) -> None:
        """Take over how sure the model may be.

        Args:
            temperature: Of probabilities that are averaged over views; see `evaluation.temperature`.
            thresholds: Of sets of labels, `[99]`; see `evaluation.conformal`.
        """
        self.temperature.fill_(temperature)
        self.set_thresholds.copy_(thresholds)

    def temperatures(self, batch: FaceBatch) -> Tensor:
        """The temperature of each face, float64 `[B]` on the CPU: 1 where only the prior speaks."""
        seen = self.sees(batch).cpu()
        return torch.where(seen, self.temperature.cpu().double(), torch.ones(len(batch)).double())

    @property
    def embedding_size(self) -> int:
        """D, what `embed` gives of each face."""
        assert isinstance(self.head, nn.Linear)
        return self.head.in_features

    @abstractmethod
    def sees(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is anything to look at."""

    @abstractmethod
    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, D]`."""

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]` from features `[B, D]`."""

    def forward(self, batch: FaceBatch) -> Tensor:
        """Logits `[B, C]`; the log prior where the model sees nothing."""
        return self.logits(self.embed(batch), self.sees(batch))

    def logits(self, embedding: Tensor, seen: Tensor) -> Tensor:
        """Logits `[B, C]` from features `[B, D]` and whether there was anything to see, bool `[B]`."""
        logits = self.classify(embedding)
        logits = logits + self.class_offset.to(logits.dtype)
        return torch.where(seen[:, None], logits, self.log_prior.to(logits.dtype))

    def freeze(self, groups: int) -> None:
        """Freeze the first groups of `depth_groups` and thaw the others.

        What is frozen gets no gradients and stays in evaluation mode, through later calls of `train` too, so
        that its norm layers keep their statistics and nothing is dropped out of it.
        """
        parameters = dict(self.named_parameters())
        for number, names in enumerate(self.depth_groups()):
            for name in names:
                parameters[name].requires_grad_(number >= groups)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all that is not frozen."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            frozen = parameters and not any(parameter.requires_grad for parameter in parameters)
            if frozen and module.training:
                module.eval()
        return self

    def depth_groups(self) -> list[list[str]]:
        """Names of all parameters, grouped by depth from the input to the head, which is the last group.

        Staged training freezes groups, and layer-wise decay lowers their learning rates. By default every
        child is a group, in the order of its creation, and so is every module of a `ModuleList`; parameters
        of the model itself belong to the first.
        """
        modules: list[str] = []
        for name, child in self.named_children():
            parts = child.named_children() if isinstance(child, nn.ModuleList) else None
            modules += [name] if parts is None else [f"{name}.{number}" for number, _ in parts]
        names = [name for name, _ in self.named_parameters()]
        groups = [[name for name in names if name.startswith(f"{module}.")] for module in modules]
        grouped = {name for group in groups for name in group}
        first, *others = [group for group in groups if group]
        return [[name for name in names if name not in grouped] + first, *others]


class LandmarkModel(FaceModel):
    """A model from `landmarks [B, 478, 3]` and `has_face [B]` to logits `[B, C]`.

    Args:
        num_classes: C.
        features: What a point is described by: how far it is displaced from the mean face, in SDs of the
            training faces (`displacement`); what of that the other coordinates do not foretell (`whitened`);
            or its normalised coordinates (`coordinates`).
        floor: Of `whitened`; see `data.statistics.whitening_matrix`.
        blendshapes: Whether the model also looks at the 52 blendshapes of the detector.
    """

    inputs = frozenset({"landmarks"})
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
        blendshapes: bool = False,
    ) -> None:
        super().__init__(num_classes)
        self.features = features
        self.floor = floor
        self.register_buffer("mean", torch.from_numpy(CANONICAL.copy()))
        self.register_buffer("std", torch.ones(N_LANDMARKS, 3))
        if features == "whitened":
            self.register_buffer("whitening", torch.eye(3 * N_LANDMARKS))
        self.num_blendshapes = N_BLENDSHAPES if blendshapes else 0
        if blendshapes:
            self.register_buffer("blendshape_mean", torch.zeros(N_BLENDSHAPES))
            self.register_buffer("blendshape_std", torch.ones(N_BLENDSHAPES))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Take over the mean normalised face and the SD of each coordinate, `[478, 3]` each."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(LEAST_SD))

    def learn_statistics(self, faces: FaceBatch) -> None:
        """Take over all that the training faces say; every one of them was found.

        Raises:
            CacheError: The model wants blendshapes, and there are none.
        """
        landmarks = faces.landmarks
        self.set_statistics(*landmark_statistics(landmarks))
        if self.features == "whitened":
            self.whitening.copy_(whitening_matrix(landmarks, self.mean, self.std, self.floor))
        if self.num_blendshapes:
            mean, std = blendshape_statistics(self._blendshapes(faces))
            self.blendshape_mean.copy_(mean)
            self.blendshape_std.copy_(std.clamp_min(LEAST_SD))

    def sees(self, batch: FaceBatch) -> Tensor:
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
