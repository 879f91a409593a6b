"""Landmarks and pixels fused: an image branch, and what a second branch adds to its logits.

The logits of a fused model are those of its image branch plus what the second branch has to say; without a
face the second says nothing, and what is left is the image branch exactly. In training the second branch is
hidden at random, too. How the two meet is one of `FUSIONS`.

The second branch is a landmark model or, to control for the gain that any second branch brings, another image
branch of the same make.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, InstanceOf, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import grid_sample

from landmarkfer.calibration.branch_weight import second_branch_weight
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.graph import DEFAULT_K, FaceGraph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.models import check_keywords
from landmarkfer.models.backbones.build import RESNET_WIDTH
from landmarkfer.models.base import FaceModel, Share
from landmarkfer.models.classifier import Branch
from landmarkfer.models.fusion_heads import FUSIONS, MAP_STRIDE, Encoder, Gated, Late
from landmarkfer.models.gnn import GNN
from landmarkfer.models.graph_buffers import GRAPH_ARRAYS
from landmarkfer.models.image import ImageModel
from landmarkfer.models.landmark import LandmarkModel
from landmarkfer.models.mlp import MLP
from landmarkfer.models.transformer import LandmarkTransformer

ENCODERS: dict[str, Callable[..., LandmarkModel]] = {
    "mlp": MLP,
    "gnn": GNN,
    "transformer": LandmarkTransformer,
}
MAP_FEATURES = 16
"""Features of the map at each landmark that the graph network takes."""


class FusionModel(FaceModel):
    """An image branch and a second one.

    Args:
        num_classes: C.
        fusion: How they meet, one of `FUSIONS`. In `sampled`, the map of the image branch is sampled at the
            landmarks, and the graph network reads it there beside the landmarks' own features.
        encoder: The second branch: a landmark model, or `image` for the control of two image branches.
        encoder_settings: Its keywords, but for the graph; of `image`, all are those of the first branch.
        graph: The graph of the second branch; see `face.graph.build_graph`.
        k: Neighbours of each point, in graphs that are built by distance.
        hidden: How often training hides the second branch, as a share of the faces.
        fusion_width: Width of the layers in which the branches meet.
        fusion_dropout: In them.
        backbone: This and the following: see `ImageModel`.
        size: See `ImageModel`.
        channels: See `ImageModel`.
        crop: See `ImageModel`.
        weights: See `ImageModel`.
        width: See `ImageModel`.
        keep_resolution: See `ImageModel`.
        dropout: See `ImageModel`.
        drop_path: See `ImageModel`.
    """

    inputs = frozenset({"image", "landmarks", "keypoints"})
    graph_prefix = "encoder.graph."

    def __init__(
        self,
        num_classes: int,
        *,
        fusion: Literal["late", "concat", "gated", "cross-attention", "sampled"] = "sampled",
        encoder: Literal["mlp", "gnn", "transformer", "image"] = "gnn",
        encoder_settings: Mapping[str, Any] | None = None,
        graph: InstanceOf[FaceGraph] | str = "tesselation",
        k: PositiveInt = DEFAULT_K,
        hidden: Share = 0.15,
        fusion_width: PositiveInt = 128,
        fusion_dropout: Share = 0.3,
        backbone: str = "resnet-fer",
        size: PositiveInt = 48,
        channels: Literal[1, 3] = 1,
        crop: Annotated[float, Field(gt=0, le=1)] = 1.0,
        weights: str = "none",
        width: PositiveInt = RESNET_WIDTH,
        keep_resolution: bool = False,
        dropout: Share = 0.3,
        drop_path: Share = 0.0,
    ) -> None:
        super().__init__(num_classes)
        own = {name: value for name, value in (encoder_settings or {}).items() if name not in ("graph", "k")}
        pixels: dict[str, Any] = {
            "backbone": backbone,
            "size": size,
            "channels": channels,
            "crop": crop,
            "weights": weights,
            "width": width,
            "keep_resolution": keep_resolution,
            "dropout": dropout,
            "drop_path": drop_path,
        }
        self.hidden = hidden
        self.crop = crop
        self.image = ImageModel(num_classes, **pixels)
        self.encoder = self._build_encoder(encoder, num_classes, own, pixels, graph, k)
        self.sample: nn.Conv2d | None = None
        if fusion == "sampled":
            if not isinstance(self.encoder, GNN):
                raise ValueError(
                    f"'sampled' gives pixels to the nodes of 'gnn', and the encoder is '{encoder}'"
                )
            self.sample = nn.Conv2d(self.image.map_info(MAP_STRIDE).channels, MAP_FEATURES, 1)
            self.encoder.widen_input(MAP_FEATURES)
        self.needs_map = fusion in ("cross-attention", "sampled")
        self.joint = FUSIONS[fusion](self.image, self.encoder, width=fusion_width, dropout=fusion_dropout)
        self.encoder.head = nn.Identity()  # the joint features have one
        self.head = nn.Linear(self.joint.size, num_classes, bias=False)

    @staticmethod
    def _build_encoder(
        name: str,
        num_classes: int,
        own: dict[str, Any],
        pixels: dict[str, Any],
        graph: FaceGraph | str,
        k: int,
    ) -> Encoder:
        if name == "image":
            if own:
                raise ValueError(
                    "encoder 'image' is a copy of the image branch and has no settings of its own"
                )
            return ImageModel(num_classes, **pixels)
        check_keywords(name, own)
        with_graph: dict[str, Any] = {} if name == "mlp" else {"graph": graph, "k": k}
        return ENCODERS[name](num_classes, **own | with_graph)

    @property
    def looks_up_landmarks(self) -> bool:
        """Whether the model reads its image where the landmarks lie."""
        return self.sample is not None

    @property
    def face_graph(self) -> FaceGraph | None:
        """The graph of the second branch."""
        return self.encoder.face_graph

    @classmethod
    def current_names(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file by the names of today: version 0.1 wrote the graph beside the second branch."""
        moved = {f"graph.{name}": cls.graph_prefix + name for name in GRAPH_ARRAYS}
        return {moved.get(name, name): tensor for name, tensor in tensors.items()}

    @property
    def mean(self) -> Tensor:
        """The mean training face, `[478, 3]`."""
        if isinstance(self.encoder, LandmarkModel):
            return self.encoder.mean
        return self.image.image_mean.new_tensor(CANONICAL)

    @property
    def std(self) -> Tensor:
        """The SD of each coordinate, `[478, 3]`."""
        if isinstance(self.encoder, LandmarkModel):
            return self.encoder.std
        return self.image.image_mean.new_ones(N_LANDMARKS, 3)

    @property
    def embedding_size(self) -> int:
        """Features of the image branch and joint ones."""
        return self.image.embedding_size + self.joint.size

    def learn_statistics(self, faces: FaceBatch) -> None:
        """Set statistics of the landmarks and blendshapes of training faces, all of them with a face."""
        if isinstance(self.encoder, LandmarkModel):
            self.encoder.learn_statistics(faces)

    def set_image_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set what images are normalised by; see `ImageModel`."""
        for branch in self._image_branches():
            branch.set_image_statistics(mean, std)

    def load_pretrained(self) -> bool:
        """Load what `weights` names; see `ImageModel`."""
        return all([branch.load_pretrained() for branch in self._image_branches()])

    def _image_branches(self) -> list[ImageModel]:
        return [branch for branch in (self.image, self.encoder) if isinstance(branch, ImageModel)]

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is an image."""
        return self.image.has_input(batch)

    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of the image branch and joint ones, zeros without a face, `[B, D_i + J]`."""
        return self.embed_beside(*self.see(batch), batch)

    def see(self, batch: FaceBatch) -> tuple[Tensor, Tensor | None]:
        """What the image branch makes of each face: features `[B, D_i]`, and its map if that is needed."""
        batch = self._filled(batch)
        if self.needs_map:
            return self.image.embed_with_map(batch, MAP_STRIDE)
        return self.image.embed(batch), None

    def embed_beside(self, image: Tensor, map_: Tensor | None, batch: FaceBatch) -> Tensor:
        """`embed`, from what `see` gave of the batch."""
        there = self.has_input(batch) if isinstance(self.encoder, ImageModel) else batch.has_face
        batch = self._filled(batch)
        joint = self.joint(image, self._encode(batch, map_), map_, batch)
        if self.training and self.hidden:
            there = there & (torch.rand(len(batch), device=there.device) >= self.hidden)
        return torch.cat([image, torch.where(there[:, None], joint, 0)], dim=1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]`: those of the image branch, and what the joint features add."""
        image, joint = embedding.tensor_split([self.image.embedding_size], dim=1)
        return self.image.classify(image) + self.head(joint)

    def classify_image(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]` of the image branch alone."""
        return self.image.classify(embedding[:, : self.image.embedding_size])

    def fit_branch_weight(
        self, embedded: Tensor, labels: NDArray[np.int64], weights: NDArray[np.float64] | None = None
    ) -> None:
        """Scale what the second branch adds to the logits so that validation labels become likely.

        A branch is less reliable on new images than on the training images, which it knows.

        Args:
            embedded: Features of each face in each pass of test-time augmentation, `[V, N, D]`.
            labels: int64 `[N]`.
            weights: `[N]`, see `calibration.weights`.
        """
        whole = torch.stack([self.classify(view) for view in embedded]).double().cpu().numpy()
        alone = torch.stack([self.classify_image(view) for view in embedded]).double().cpu().numpy()
        self.scale_second_branch(second_branch_weight(alone, whole, labels, weights))

    def scale_second_branch(self, weight: float) -> None:
        """Multiply what the second branch adds to the logits."""
        with torch.no_grad():
            self.head.weight.mul_(weight)

    def initialise_branch(self, name: Branch, weights: Mapping[str, Tensor]) -> None:
        """Set the weights of a model that a branch is made like.

        Its classifier comes too: at first the logits are the sum of both models' logits. Where the branches
        meet in hidden layers, the second adds nothing at first.

        Args:
            name: Of the branch.
            weights: Of the model.

        Raises:
            ValueError: The model is another one; the message names a weight that does not fit.
        """
        branch = self.image if name == "image" else self.encoder
        own = branch.state_dict()
        taken: dict[str, Tensor] = {}
        for key, value in own.items():
            given = weights.get(key)
            if key in branch.never_initialised:
                given = value
            elif given is not None and key == "input.weight" and given.shape[1] < value.shape[1]:
                given = functional.pad(given, (0, value.shape[1] - given.shape[1]))  # no pixels at first
            if given is None or given.shape != value.shape:
                raise ValueError(f"'{key}' differs")
            taken[key] = given
        branch.load_state_dict(taken)
        if name == "encoder":
            nn.init.zeros_(self.head.weight)
            if {"head.weight", "head.bias"} <= weights.keys() and isinstance(self.joint, Late | Gated):
                logits = torch.cat([weights["head.weight"], weights["head.bias"][:, None]], dim=1)
                if logits.shape == self.head.weight.shape:
                    self.head.weight.data.copy_(logits)

    def freeze_branch(self, name: Branch) -> None:
        """Train a branch no further; its norm layers keep their statistics too.

        Raises:
            ValueError: The encoder has just been given pixels, which it has to learn to read.
        """
        if name == "encoder" and self.sample is not None:
            raise ValueError("'sampled' gives the encoder pixels to read, so it has to be trained")
        (self.image if name == "image" else self.encoder).requires_grad_(False)
        self.train(self.training)

    def fold_whitening(self) -> None:
        """Fold the whitening of the second branch; see `LandmarkModel.fold_whitening`.

        Raises:
            ValueError: It does not fold.
        """
        if isinstance(self.encoder, LandmarkModel):
            self.encoder.fold_whitening()

    def _filled(self, batch: FaceBatch) -> FaceBatch:
        """The batch with the mean face where none was found, so that no norm layer sees what is none."""
        there = batch.has_face[:, None, None]
        landmarks = torch.where(there, batch.landmarks, self.mean.to(batch.landmarks))
        points = None if batch.keypoints is None else torch.where(there, batch.keypoints, 0.5)
        return replace(batch, landmarks=landmarks, keypoints=points)

    def _encode(self, batch: FaceBatch, map_: Tensor | None) -> Tensor:
        """What the second branch makes of each face, `[B, D_e]`."""
        if self.sample is None:
            return self.encoder.embed(batch)
        assert map_ is not None and isinstance(self.encoder, GNN)
        pixels = sample_map(self.sample(map_), self.image.cropped_keypoints(batch))  # [B, 478, MAP_FEATURES]
        described = self.encoder.describe(batch.landmarks)
        return self.encoder.embed_nodes(torch.cat([described, pixels.to(described.dtype)], dim=-1), batch)

    def depth_groups(self) -> list[list[str]]:
        """Names of all parameters: the image branch by depth, the second branch, the classifiers."""
        *image, head = [[f"image.{name}" for name in group] for group in self.image.depth_groups()]
        last = {*head, *(f"head.{name}" for name, _ in self.head.named_parameters())}
        known = last.union(*image)
        return [*image, [name for name, _ in self.named_parameters() if name not in known], sorted(last)]


def sample_map(map_: Tensor, points: Tensor) -> Tensor:
    """A map's features at points, between its places by bilinear interpolation, `[B, N, F]`.

    Args:
        map_: `[B, F, h, w]`.
        points: `[B, N, 2]`, x and y as fractions of the image's sides; beyond them lies what is at its edge.
    """
    grid = 2 * points[:, :, None] - 1  # [B, N, 1, 2], from -1 to 1
    sampled = grid_sample(map_, grid.to(map_.dtype), padding_mode="border", align_corners=False)
    return sampled[..., 0].transpose(1, 2)
