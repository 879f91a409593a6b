"""Contributions of points and pixels to the log-odds of a class, by Captum, and of the branches of a fusion.

Points: integrated gradients (Sundararajan et al., "Axiomatic attribution for deep networks", 2017) over the
parts of a face (`target`), from the mean training face to the face, or their gradient at the face.
Contributions of integrated gradients add up to what the face has more of log-odds than the mean face.

Pixels: Grad-CAM (Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
localization", 2017) on the deepest map of at least `_PLACES` places a side.

Branches: Shapley values of the two, each the mean of what a branch adds alone and what it adds to the other.
"""

from typing import Literal

import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.inference.explain.target import Target

Method = Literal["integrated-gradients", "gradient"]
METHODS: tuple[Method, ...] = ("integrated-gradients", "gradient")

_STEPS = 32
_PLACES = 6


def point_contributions(target: Target, method: Method = "integrated-gradients") -> NDArray:
    """What the part of each point adds to the log-odds of the class, float64 `[478]`.

    Args:
        target: Of a model that reads landmarks, and a face that was found.
        method: Of `METHODS`.
    """
    whole = torch.ones(1, N_LANDMARKS, device=target.model.device, requires_grad=True)
    if method == "gradient":
        found = InputXGradient(target.of_parts).attribute(whole)
    else:
        found = IntegratedGradients(target.of_parts).attribute(whole, torch.zeros_like(whole), n_steps=_STEPS)
    return found.detach()[0].double().cpu().numpy()


def pixel_contributions(target: Target) -> NDArray | None:
    """What speaks for the class in what the image branch sees, float64 `[h, w]`, at least 0.

    None where the image network has no map, as transformers of patches.
    """
    assert target.pixels is not None
    try:
        module = target.pixels.map_info(max(1, target.pixels.size // _PLACES)).module
    except ValueError:
        return None
    layer = target.pixels.backbone.get_submodule(module)
    maps = []
    for view in range(len(target.views)):
        image = target.image(view)
        cam = LayerGradCam(lambda images, view=view: target.of_image(images, view), layer)
        found = cam.attribute(image.detach().requires_grad_(), relu_attributions=True)
        found = interpolate(found.detach(), image.shape[-2:], mode="bilinear", align_corners=False)[0, 0]
        maps.append(found.flip(1) if view else found)
    return torch.stack(maps).mean(dim=0).double().cpu().numpy()


def branch_contributions(target: Target) -> dict[str, float]:
    """What pixels and landmarks add to the log-odds of a fusion, as Shapley values, and what neither has."""
    none, image, landmarks, both = (
        target.of_branches(image=i, landmarks=j)
        for i, j in ((False, False), (True, False), (False, True), (True, True))
    )
    return {
        "neither": none,
        "pixels": ((image - none) + (both - landmarks)) / 2,
        "landmarks": ((landmarks - none) + (both - image)) / 2,
    }
