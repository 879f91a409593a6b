"""A multi-layer perceptron on all landmarks at once: no graph, and hard to beat."""

import torch
from torch import Tensor, nn

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.models.base import Share
from landmarkfer.models.landmark import (
    POINT_FEATURES,
    WHITENING_FLOOR,
    WHITENING_NOISE,
    Features,
    Floor,
    LandmarkModel,
    Noise,
    Widths,
    dense_layers,
)


class MLP(LandmarkModel):
    """478 x 3 features -> hidden layers with batch norm and dropout -> logits.

    Args:
        num_classes: C.
        hidden: Widths of the hidden layers.
        dropout: After each hidden layer.
        features: See `LandmarkModel`.
        floor: See `LandmarkModel`.
        noise: See `LandmarkModel`.
        blendshapes: See `LandmarkModel`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        hidden: Widths = (2048, 256),
        dropout: Share = 0.4,
        features: Features = "whitened",
        floor: Floor = WHITENING_FLOOR,
        noise: Noise = WHITENING_NOISE,
        blendshapes: bool = False,
    ) -> None:
        super().__init__(num_classes, features=features, floor=floor, noise=noise, blendshapes=blendshapes)
        inputs = N_LANDMARKS * POINT_FEATURES + self.num_blendshapes
        self.layers = dense_layers([inputs, *hidden], dropout)
        self.head = nn.Linear(hidden[-1], num_classes)

    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, hidden[-1]]`."""
        x = self.describe(batch.landmarks).flatten(1)  # [B, 478, 3] -> [B, 1434]
        return self.layers(self.with_blendshapes(x, batch))

    def fold_whitening(self) -> None:
        """See `LandmarkModel.fold_whitening`."""
        if self.features != "whitened":
            return
        first, coordinates = self.layers[0], POINT_FEATURES * N_LANDMARKS
        assert isinstance(first, nn.Linear)
        with torch.no_grad():
            read = first.weight[:, :coordinates].double() @ self.whitening.double().T
            first.weight[:, :coordinates] = read.to(first.weight.dtype)
        self.features = "displacement"
        del self.whitening

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        return self.head(embedding)
