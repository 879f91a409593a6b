"""The image branch: a backbone on the pixels of the face, and a linear classifier.

Images are `[B, C, H, W]`, one channel of grey or three of red, green and blue. As the cache stores them they
are uint8 and whole; what comes from augmentation is float in 0..1 and cut already.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import interpolate

from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.images import cropped_side
from landmarkfer.models.backbones.build import OWN, RESNET_WIDTH, build_backbone
from landmarkfer.models.backbones.layers import MapInfo, depth_groups, find_map
from landmarkfer.models.backbones.weights import load_weights
from landmarkfer.models.base import FaceModel, Share

# How much red, green and blue contribute to grey (ITU-R BT.601, as Pillow has it).
LUMA = (0.299, 0.587, 0.114)


class ImageModel(FaceModel):
    """Any image backbone, of `backbones.OWN` or timm's.

    Args:
        num_classes: C.
        backbone: One of `backbones.OWN`, or a model of timm, such as `resnet18` or `efficientnet_b0`.
        size: Side of the square that the backbone sees, in pixels; images of another size are resized.
        channels: 1: grey; 3: colour, or grey three times.
        crop: Share of the stored image's side that enters the model: its middle, and in training any place.
        weights: What the backbone is initialised from: `none`, timm's own (`pretrained`), or the path of a
            file; see `load_pretrained`. A finished run needs neither hub nor file.
        width: Channels of the first stage of `resnet-fer`; at 64 it is a ResNet18.
        keep_resolution: Take stride and max-pooling out of the stem of a timm backbone, for small faces.
        dropout: On the features; in `cnn-small` and `cnn-focal` half of it also after each block.
        drop_path: Stochastic depth of the backbone.
    """

    inputs = frozenset({"image"})
    image_mean: Tensor
    image_std: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
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
        if weights == "pretrained" and backbone in OWN:
            raise ValueError(
                f"there are no pretrained weights of '{backbone}', only of timm's backbones, such as "
                "model.backbone=tf_efficientnet_lite0"
            )
        self.backbone_name = backbone
        self.size = size
        self.channels = channels
        self.crop = crop
        self.weights = weights
        self.register_buffer("image_mean", torch.full((channels,), 0.5))
        self.register_buffer("image_std", torch.full((channels,), 0.25))
        self.backbone, features = build_backbone(
            backbone,
            channels=channels,
            size=size,
            width=width,
            keep_resolution=keep_resolution,
            dropout=dropout,
            drop_path=drop_path,
        )
        # Convolutions are faster so, on the CPU by a third and more, and all maps follow their weights.
        self.backbone.to(memory_format=torch.channels_last)
        self._maps: dict[int, MapInfo] = {}
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, num_classes)

    def set_image_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set what images are normalised by; three channels stand for one by their luma, one for all.

        Args:
            mean: `[1]` or `[3]`, of pixels in 0..1.
            std: `[1]` or `[3]`.
        """
        if len(mean) == 3 and self.channels == 1:
            mean, std = (values @ values.new_tensor(LUMA) for values in (mean, std))
        self.image_mean.copy_(mean)
        self.image_std.copy_(std.clamp_min(1e-6))

    def load_pretrained(self) -> bool:
        """Load what `weights` names into a fresh model; only training does so, never the loading of a run.

        Returns:
            Whether the weights brought the statistics of their images, which are set then; if not,
            `set_image_statistics` wants those of the training images.

        Raises:
            LandmarkferError: The hub is out of reach; or the file is missing, damaged, holds more than
                tensors, or does not fit.
        """
        if self.weights == "none":
            return False
        statistics = load_weights(
            self.backbone, self.backbone_name, self.weights, channels=self.channels, size=self.size
        )
        if statistics:
            self.set_image_statistics(statistics["image_mean"], statistics["image_std"])
        return bool(statistics)

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is an image; true everywhere if the batch does not state it."""
        return torch.ones_like(batch.has_face) if batch.has_image is None else batch.has_image

    def cropped_side(self, side: int) -> int:
        """How many pixels of the side of a stored image the model sees, by `crop`."""
        return cropped_side(side, self.crop)

    def prepare(self, image: Tensor) -> Tensor:
        """What the backbone takes, normalised: `[B, channels, size, size]`.

        Args:
            image: uint8 `[B, C, S, S]`, of which the middle is taken; or float `[B, C, H, W]` in 0..1, which
                is what the model is to see.
        """
        if image.dtype == torch.uint8:
            side = self.cropped_side(image.shape[-1])
            first = (image.shape[-1] - side) // 2
            image = image[..., first : first + side, first : first + side].float() / 255
        if image.shape[1] == 3 and self.channels == 1:
            image = torch.einsum("bchw,c->bhw", image, image.new_tensor(LUMA))[:, None]
        if image.shape[-2:] != (self.size, self.size):
            shrinks = image.shape[-1] > self.size  # where pixels fall between the samples
            image = interpolate(
                image, (self.size, self.size), mode="bilinear", align_corners=False, antialias=shrinks
            )
        # One channel becomes three here, each normalised by its own statistics.
        return (image - self.image_mean[:, None, None]) / self.image_std[:, None, None]

    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, D]`.

        Raises:
            ValueError: The batch holds no images.
        """
        if batch.image is None:
            raise ValueError("an image model needs a batch with images")
        return self.backbone(self.prepare(batch.image))

    def map_info(self, stride: int) -> MapInfo:
        """The deepest map of the backbone that has a place for every `stride` pixels; see `find_map`."""
        if stride not in self._maps:  # a pass through the backbone tells, and once is enough
            self._maps[stride] = find_map(self.backbone, self.backbone_name, self.channels, self.size, stride)
        return self._maps[stride]

    def embed_with_map(self, batch: FaceBatch, stride: int) -> tuple[Tensor, Tensor]:
        """Features of each face, `[B, D]`, and the map of `map_info`, `[B, channels, side, side]`."""
        found: list[Tensor] = []
        module = self.backbone.get_submodule(self.map_info(stride).module)
        handle = module.register_forward_hook(lambda _module, _inputs, out: found.append(out))
        try:
            return self.embed(batch), found[0]
        finally:
            handle.remove()

    def cropped_keypoints(self, batch: FaceBatch) -> Tensor:
        """Where the landmarks lie in what the backbone sees, as fractions of its side, `[B, 478, 2]`.

        Raises:
            ValueError: The batch holds no images or no points.
        """
        if batch.image is None or batch.keypoints is None:
            raise ValueError("landmarks can be looked up only in a batch with images and points")
        if batch.image.dtype != torch.uint8:
            return batch.keypoints
        side = batch.image.shape[-1]
        seen = self.cropped_side(side)
        return (batch.keypoints * side - (side - seen) // 2) / seen

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]`."""
        return self.head(self.dropout(embedding))

    def depth_groups(self) -> list[list[str]]:
        """Names of all parameters: the stem, each stage (each block where there are none), the classifier."""
        stages = [[f"backbone.{name}" for name in group] for group in depth_groups(self.backbone)]
        return [*stages, [f"head.{name}" for name, _ in self.head.named_parameters()]]
