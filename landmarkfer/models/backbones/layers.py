"""What lies within a backbone of `backbones.py`: its maps, and its parameters grouped by depth."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class MapInfo:
    """A map `[B, channels, side, side]` within a backbone: what the module of that name puts out."""

    module: str
    channels: int
    side: int


def find_map(backbone: nn.Module, name: str, channels: int, size: int, stride: int) -> MapInfo:
    """The deepest map of a backbone that has a place for every `stride` pixels.

    Args:
        backbone: Of `build_backbone`.
        name: For the message.
        channels: Of the image.
        size: Of the image.
        stride: The largest that will do.

    Raises:
        ValueError: There is no such map, as in transformers, which see patches.
    """
    stages = [info["module"] for info in getattr(backbone, "feature_info", None) or []]
    own = getattr(backbone, "stages", None)
    if isinstance(own, nn.Sequential) and not stages:
        stages = [f"stages.{number}" for number, _ in own.named_children()]
    maps: dict[str, Tensor] = {}
    handles = [
        backbone.get_submodule(stage).register_forward_hook(
            lambda _module, _inputs, out, stage=stage: maps.__setitem__(stage, out)
        )
        for stage in stages
    ]
    training = backbone.training
    with torch.no_grad():
        device = next(backbone.parameters()).device
        backbone.eval()(torch.zeros(1, channels, size, size, device=device))
    backbone.train(training)
    for handle in handles:
        handle.remove()
    fitting = [stage for stage in stages if maps[stage].ndim == 4 and maps[stage].shape[-1] * stride >= size]
    if not fitting:
        raise ValueError(
            f"'{name}' has no map of every {stride}th pixel that landmarks could be looked up in"
        )
    return MapInfo(fitting[-1], maps[fitting[-1]].shape[1], maps[fitting[-1]].shape[-1])


def depth_groups(backbone: nn.Module) -> list[list[str]]:
    """Names of all parameters of a backbone, grouped by depth from the stem to the last stage.

    Groups of timm's models are stages, or blocks where there are no stages. A norm after the last stage
    belongs to it: a group is never of norms and biases alone.
    """
    parameters = dict(backbone.named_parameters())
    names = list(parameters)
    keys: dict[str, Any] = {}
    if type(backbone).__name__ == "VGG":
        # timm's own groups are single layers, so that the norm of a convolution is in another one.
        block = 0
        for number, layer in backbone.get_submodule("features").named_children():
            keys |= {f"features.{number}.{name}": block for name, _ in layer.named_parameters()}
            block += isinstance(layer, nn.MaxPool2d)
    elif callable(matcher := getattr(backbone, "group_matcher", None)):
        from timm.models import group_parameters

        keys = group_parameters(backbone, matcher(coarse=True), reverse=True)
    else:
        for name in names:
            first, second, *_ = name.split(".")
            keys[name] = f"{first}.{second}" if first == "stages" else first
    groups: dict[Any, list[str]] = defaultdict(list)
    for name in names:
        groups[keys[name]].append(name)
    order = sorted(groups) if all(isinstance(key, int) for key in groups) else list(groups)
    merged: list[list[str]] = []
    for key in order:
        if merged and all(parameters[name].ndim < 2 for name in groups[key]):
            merged[-1] += groups[key]
        else:
            merged.append(groups[key])
    return merged
