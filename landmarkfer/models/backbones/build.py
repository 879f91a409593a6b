"""Backbones of the image branch: from images `[B, channels, size, size]` to pooled features `[B, D]`.

`OWN` are small networks for faces of 40 to 64 pixels, trained from scratch; every other name is timm's. None
has a classifier: that is `ImageModel`'s. Building one downloads nothing.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

RESNET_WIDTH = 64  # ResNet18's first stage


def conv(fan_in: int, fan_out: int, stride: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size at stride 1; the batch norm behind it makes a bias needless."""
    return nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)


class Pointwise(nn.Conv2d):
    """A 1 x 1 convolution of every `step`-th pixel.

    Not a stride: the gradient of strided 1 x 1 convolutions in channels-last order ends the process on some
    processors, where there are fewer than 16 channels (oneDNN in PyTorch 2.15 on AVX-512).

    Args:
        fan_in: Channels of the input.
        fan_out: Channels of the output.
        step: 2 halves the sides.
    """

    def __init__(self, fan_in: int, fan_out: int, step: int) -> None:
        super().__init__(fan_in, fan_out, 1, bias=False)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """`[B, fan_in, H, W] -> [B, fan_out, H / step, W / step]`."""
        return super().forward(x[:, :, :: self.step, :: self.step])


def initialise(module: nn.Module) -> None:
    """He's initialisation of all convolutions, by the width of their output."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where shapes differ.

    Args:
        fan_in: Channels of the input.
        fan_out: Channels of the output.
        stride: Of the first convolution and of the shortcut.
        drop_path: Probability that a sample takes the shortcut alone, in training.
    """

    def __init__(self, fan_in: int, fan_out: int, stride: int, drop_path: float) -> None:
        super().__init__()
        first = [conv(fan_in, fan_out, stride=stride), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]
        # The last norm begins with weight 1: blocks that begin as their shortcuts (weight 0) need hundreds of
        # steps before they tell anything apart, which short trainings on small faces do not have.
        self.residual = nn.Sequential(*first, conv(fan_out, fan_out), nn.BatchNorm2d(fan_out))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Sequential(Pointwise(fan_in, fan_out, stride), nn.BatchNorm2d(fan_out))
        self.drop_path = _drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, fan_in, H, W] -> [B, fan_out, H / stride, W / stride]`."""
        return (self.shortcut(x) + self.drop_path(self.residual(x))).relu()


class ResNetFER(nn.Module):
    """ResNet18 for small faces: a 3 x 3 stem of stride 1, no max-pooling, four stages of two basic blocks.

    The stages have `width`, 2, 4 and 8 times `width` channels and strides 1, 2, 2, 2, so a face of 48 pixels
    ends as a map of 6 x 6 and not of 2 x 2.

    Args:
        channels: Of the image.
        width: Channels of the first stage; 64 is ResNet18.
        drop_path: Probability of stochastic depth in the last block, rising from 0 in the first.
    """

    def __init__(self, channels: int, width: int = RESNET_WIDTH, drop_path: float = 0.0) -> None:
        super().__init__()
        self.num_features = 8 * width
        self.stem = nn.Sequential(conv(channels, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        rates = torch.linspace(0, drop_path, 8).tolist()
        self.stages = nn.Sequential()
        for stage, (fan_in, fan_out) in enumerate(pairwise(widths)):
            first = BasicBlock(fan_in, fan_out, 2 if stage else 1, rates[2 * stage])
            self.stages.append(nn.Sequential(first, BasicBlock(fan_out, fan_out, 1, rates[2 * stage + 1])))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, H, W] -> [B, 8 * width]`."""
        return self.stages(self.stem(x)).mean(dim=(2, 3))


class SmallCNN(nn.Module):
    """A plain CNN of the published size: 423,175 parameters with a head of seven classes, on grey images.

    Four blocks of two 3 x 3 convolutions with batch norm and ReLU, then max-pooling and dropout; the mean
    over the last map; one dense layer of 96. Of the published network only the size is known; the widths are
    ours.

    Args:
        channels: Of the image.
        dropout: Half of it is the dropout after each block.
    """

    WIDTHS = (32, 32, 64, 160)
    num_features = 96

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for fan_in, fan_out in pairwise([channels, *self.WIDTHS]):
            self.stages.append(_pooled_block([fan_in, fan_out, fan_out], dropout / 2))
        dense = nn.Linear(self.WIDTHS[-1], self.num_features, bias=False)
        self.dense = nn.Sequential(dense, nn.BatchNorm1d(self.num_features), nn.ReLU(inplace=True))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, H, W] -> [B, 96]`."""
        return self.dense(self.stages(x).mean(dim=(2, 3)))


class FocalCNN(nn.Module):
    """A plain CNN in the style of the one published with focal loss at 61.54 % on FER2013.

    Four blocks of one 3 x 3 convolution (64, 128, 256, 512 channels) with batch norm, ReLU, max-pooling and
    dropout; then, of the whole last map, two dense layers of 256 and 128. The published text gives the kinds
    of layers; the widths are ours.

    Args:
        channels: Of the image.
        size: Its side in pixels, at least 16.
        dropout: After the first dense layer; half of it after each block.
    """

    WIDTHS = (64, 128, 256, 512)
    num_features = 128

    def __init__(self, channels: int, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for step in pairwise([channels, *self.WIDTHS]):
            self.stages.append(_pooled_block(step, dropout / 2))
        side = size // 2 ** len(self.WIDTHS)
        if not side:
            raise ValueError(f"'cnn-focal' halves images four times, and {size} pixels do not last for that")
        self.dense = nn.Sequential(
            nn.Flatten(),
            *_dense_norm(self.WIDTHS[-1] * side**2, 256),
            nn.Dropout(dropout),
            *_dense_norm(256, self.num_features),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, size, size] -> [B, 128]`."""
        return self.dense(self.stages(x))


OWN: dict[str, type[nn.Module]] = {"resnet-fer": ResNetFER, "cnn-small": SmallCNN, "cnn-focal": FocalCNN}


def build_backbone(
    name: str,
    *,
    channels: int,
    size: int,
    width: int = RESNET_WIDTH,
    keep_resolution: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> tuple[nn.Module, int]:
    """Build a backbone with fresh weights.

    Args:
        name: One of `OWN`, or the name of a timm model.
        channels: 1 or 3.
        size: Side of the images in pixels.
        width: Channels of the first stage of `resnet-fer`.
        keep_resolution: Take the stride and the max-pooling out of the stem of a timm model.
        dropout: Inside of those of our own that have any.
        drop_path: Stochastic depth, of those that have it.

    Returns:
        A module from `[B, channels, size, size]` to `[B, D]`, and D.

    Raises:
        ValueError: There is no such backbone, or it cannot be built so; the message tells why.
    """
    if width != RESNET_WIDTH and name != "resnet-fer":
        raise ValueError(f"'{name}' has no width to set (only 'resnet-fer' has)")
    if name not in OWN:
        backbone: nn.Module = _timm_backbone(name, channels, size, drop_path)
        if keep_resolution:
            _keep_resolution(backbone, name)
    else:
        if keep_resolution:
            raise ValueError(f"'{name}' has a stem that keeps the resolution (keep_resolution is for timm's)")
        if drop_path and name != "resnet-fer":
            raise ValueError(f"'{name}' has no residual blocks that drop_path could drop")
        if name == "resnet-fer":
            backbone = ResNetFER(channels, width, drop_path)
        elif name == "cnn-small":
            backbone = SmallCNN(channels, dropout)
        else:
            backbone = FocalCNN(channels, size, dropout)
    # What timm's models tell of D does not hold for all of them without a classifier.
    return backbone, _try_out(backbone, name, channels, size)


def timm_arguments(name: str, channels: int, size: int) -> dict[str, Any]:
    """The keywords with which timm builds a model of that name without a classifier, for such images."""
    import timm

    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        arguments["img_size"] = size
    return arguments


def _timm_backbone(name: str, channels: int, size: int, drop_path: float) -> nn.Module:
    import timm

    architecture = name.partition(".")[0]  # what follows names a set of weights
    known = timm.list_models()
    tagged = timm.list_models(f"{architecture}.*", include_tags=True) if architecture in known else []
    # Prefixes such as `hf-hub:` would fetch the model's description, and so they are no names here.
    if name not in [*known, *tagged]:
        close = tagged or get_close_matches(name, [*OWN, *known], n=5)
        hint = f"close to it are {', '.join(close)}" if close else "see timm.list_models()"
        raise ValueError(f"there is no backbone '{name}'; {hint}; our own are {', '.join(OWN)}")
    arguments = timm_arguments(name, channels, size)
    if drop_path:
        arguments["drop_path_rate"] = drop_path
    vgg = timm.models.is_model_in_modules(architecture, ["vgg"])
    if vgg:
        # Two dense layers for maps of 7 x 7, 120 million parameters wide, that are taken out below.
        arguments["mlp_ratio"] = 1 / 4096
    try:
        backbone = timm.create_model(name, **arguments)
    except TypeError as error:
        if drop_path and "drop_path" in str(error):
            raise ValueError(f"'{name}' has no residual blocks that drop_path could drop") from error
        raise
    except AssertionError as error:
        raise ValueError(f"'{name}' cannot see images of {size} pixels") from error
    patch = getattr(getattr(backbone, "patch_embed", None), "patch_size", None)
    if isinstance(patch, Sequence) and size % patch[0]:
        raise ValueError(f"'{name}' cuts images into patches of {patch[0]} pixels, and {size} is no multiple")
    if vgg:
        backbone.pre_logits = nn.Identity()
    return backbone


def _keep_resolution(backbone: nn.Module, name: str) -> None:
    stem = getattr(backbone, "conv_stem", getattr(backbone, "conv1", None))
    convs = [m for m in stem.modules() if isinstance(m, nn.Conv2d)] if isinstance(stem, nn.Module) else []
    strided = [layer for layer in convs if layer.stride != (1, 1)]
    pool = getattr(backbone, "maxpool", nn.Identity())
    pools = not isinstance(pool, nn.Identity) and not list(pool.parameters())
    if not strided and not pools:
        raise ValueError(
            f"keep_resolution is for stems with a strided convolution or max-pooling, and '{name}' has none"
        )
    for layer in strided:
        layer.stride = (1, 1)
    if pools:
        backbone.maxpool = nn.Identity()


def _try_out(backbone: nn.Module, name: str, channels: int, size: int) -> int:
    """The width of the features of one black image."""
    backbone.eval()
    try:
        with torch.no_grad():
            features = backbone(torch.zeros(1, channels, size, size))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = shorten(str(error).partition("\n")[0], 150, placeholder=" …")
        raise ValueError(f"'{name}' cannot see images of {size} pixels: {reason}") from error
    backbone.train()
    if features.ndim != 2:
        raise ValueError(f"'{name}' gives features of shape {tuple(features.shape[1:])}, not one vector")
    return features.shape[1]


def _pooled_block(widths: Sequence[int], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [conv(fan_in, fan_out), nn.BatchNorm2d(fan_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Dropout(dropout))


def _dense_norm(fan_in: int, fan_out: int) -> list[nn.Module]:
    return [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.ReLU(inplace=True)]


def _drop_path(rate: float) -> nn.Module:
    if not rate:
        return nn.Identity()
    from timm.layers import DropPath

    return DropPath(rate)
