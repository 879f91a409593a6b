"""How the branches of a fused model meet: joint features, from which what the second one adds is read."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from landmarkfer.data.batch import FaceBatch
from landmarkfer.models.image import ImageModel
from landmarkfer.models.landmark import LandmarkModel, dense_layers
from landmarkfer.models.transformer import RegionTokens

Encoder = LandmarkModel | ImageModel
"""What the second branch may be."""
MAP_STRIDE = 4
"""Pixels of the image between two points of the map that is looked at, at most."""
ATTENTION_HEADS = 4


class Fusion(nn.Module, ABC):
    """From what both branches make of a face to joint features.

    Args:
        image: The image branch, with features `[B, D_i]`.
        encoder: The second branch, with features `[B, D_e]`.
        width: Of hidden layers.
        dropout: In hidden layers.

    Attributes:
        size: J, joint features of a face.
    """

    size: int

    def __init__(self, image: ImageModel, encoder: Encoder, *, width: int, dropout: float) -> None:
        super().__init__()
        self.size = encoder.embedding_size + 1

    @abstractmethod
    def forward(self, image: Tensor, encoded: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """Joint features `[B, J]` from features `[B, D_i]` and `[B, D_e]` and the image branch's map."""


class Late(Fusion):
    """The branches meet in their logits alone: a weighted sum, the weight chosen on validation images."""

    def forward(self, image: Tensor, encoded: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """`[B, D_e + 1]`: the second branch's features and a 1 for the bias of its logits."""
        return _with_one(encoded)


class Concat(Fusion):
    """A hidden layer on the concatenated features of both branches."""

    def __init__(self, image: ImageModel, encoder: Encoder, *, width: int, dropout: float) -> None:
        super().__init__(image, encoder, width=width, dropout=dropout)
        self.layers = dense_layers([image.embedding_size + encoder.embedding_size, width], dropout)
        self.size = width

    def forward(self, image: Tensor, encoded: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """`[B, width]`."""
        return self.layers(torch.cat([image, encoded], dim=1))


class Gated(Fusion):
    """The second branch's features times a gate from 0 to 1 that looks at both branches."""

    def __init__(self, image: ImageModel, encoder: Encoder, *, width: int, dropout: float) -> None:
        super().__init__(image, encoder, width=width, dropout=dropout)
        self.gate = nn.Linear(image.embedding_size + encoder.embedding_size, 1)

    def forward(self, image: Tensor, encoded: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """`[B, D_e + 1]`."""
        return _with_one(encoded) * self.gate(torch.cat([image, encoded], dim=1)).sigmoid()


class CrossAttention(Fusion):
    """Facial regions, as tokens of their landmarks, ask the places of the image branch's map.

    What the regions gather is averaged and stands beside the second branch's features.
    """

    def __init__(self, image: ImageModel, encoder: Encoder, *, width: int, dropout: float) -> None:
        super().__init__(image, encoder, width=width, dropout=dropout)
        if not isinstance(encoder, LandmarkModel):
            raise ValueError("'cross-attention' asks with landmarks, and the encoder is 'image'")
        if width % ATTENTION_HEADS:
            raise ValueError(f"fusion_width ({width}) must be a multiple of {ATTENTION_HEADS}, the heads")
        self._described_by = (encoder,)  # in a tuple, so that it is no second child
        info = image.map_info(MAP_STRIDE)
        self.tokens = RegionTokens(width)
        self.project = nn.Conv2d(info.channels, width, 1)
        self.places = nn.Parameter(0.02 * torch.randn(info.side**2, width))
        self.attention = nn.MultiheadAttention(width, ATTENTION_HEADS, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.size = width + encoder.embedding_size + 1

    def forward(self, image: Tensor, encoded: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """`[B, width + D_e + 1]`."""
        assert map_ is not None
        places = self.project(map_).flatten(2).transpose(1, 2) + self.places  # [B, h * w, W]
        tokens = self.tokens(self._described_by[0].describe(batch.landmarks))  # [B, R, W]
        tokens = tokens + self.attention(tokens, places, places, need_weights=False)[0]
        gathered = (tokens + self.feed(self.norm(tokens))).mean(dim=1)
        return torch.cat([gathered, _with_one(encoded)], dim=1)


FUSIONS: dict[str, type[Fusion]] = {
    "late": Late,
    "concat": Concat,
    "gated": Gated,
    "cross-attention": CrossAttention,
    # The pixels at the landmarks are part of what the graph network reads; the rest is a gate.
    "sampled": Gated,
}


def _with_one(x: Tensor) -> Tensor:
    """`[B, D] -> [B, D + 1]`: a 1 beside the features, so that a linear map without bias has one."""
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
