"""Which model predicts: one that ships, a run, or an export."""

import os
from pathlib import Path

from landmarkfer.errors import RunError, SettingsError, extras_named
from landmarkfer.extraction.detectors import DETECTORS, default_detector
from landmarkfer.inference.onnx import SUFFIX, OnnxNetwork
from landmarkfer.inference.predictor import Predictor
from landmarkfer.runs.folder import RunFolder, find_run, is_run
from landmarkfer.runs.shipped import SHIPPED, folder_of_shipped


def load_predictor(
    model: RunFolder | str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    landmarker: Path | None = None,
) -> Predictor:
    """A trained model ready to predict.

    Args:
        model: A run, its folder or its name; an ONNX file of `landmarkfer export`; or the name of a model
            that ships, `fusion-facemesh` where it is to be that of one detector. None is the first of
            `SHIPPED` that there is for the installed detector. A run goes before a model that ships of the
            same name.
        device: Where a run's network predicts; `auto` is CUDA where there is one, else the CPU.
        landmarker: The model file of the `landmarker` detector, where the model's landmarks are of it.

    Raises:
        RunError: There is no such model, or it is damaged.
        SettingsError: The device is none on which the model predicts.
        MissingExtra: A run needs torch, which is not installed.
    """
    file = _export_of(model)
    if file is not None:
        if device not in ("auto", "cpu"):
            raise SettingsError(f"{file} predicts on the CPU alone; leave the device {device} out.")
        return Predictor(OnnxNetwork(file), landmarker)
    assert model is not None
    try:
        run = model if isinstance(model, RunFolder) else find_run(model)
    except RunError as error:
        names = " and ".join(f"'{name}'" for name in SHIPPED)
        raise RunError(f"{str(error).removesuffix('.')}; the models that ship are {names}.") from error
    with extras_named():
        from landmarkfer.inference.torch_network import TorchNetwork
    return Predictor(TorchNetwork.of_run(run, device), landmarker)


def _export_of(model: RunFolder | str | os.PathLike[str] | None) -> Path | None:
    """The ONNX file that a model is; None of a run."""
    if model is None:
        return default_file()
    if not isinstance(model, str | os.PathLike):
        return None
    if os.fspath(model).endswith(SUFFIX):
        return Path(model)
    name, _, detector = os.fspath(model).partition("-")
    if isinstance(model, str) and name in SHIPPED and detector in ("", *DETECTORS) and not is_run(model):
        return shipped_file(name, detector or None)
    return None


def default_file() -> Path:
    """The ONNX file of the first model of `SHIPPED` that ships for the installed detector.

    Raises:
        RunError: There is none.
    """
    known = (shipped_folder(name) / f"model{SUFFIX}" for name in SHIPPED)
    found = next((path for path in known if path.is_file()), None)
    if found is None:
        raise RunError(
            f"no model ships for the detector {default_detector()} yet; name a run, or an export, with --run."
        )
    return found


def shipped_folder(name: str, detector: str | None = None) -> Path:
    """The folder of a model that ships: a run, with its export.

    Args:
        name: A key of `SHIPPED`.
        detector: Whose landmarks it was trained on; the default of the installed MediaPipe if None.
    """
    return folder_of_shipped(name, detector or default_detector())


def shipped_file(name: str, detector: str | None = None) -> Path:
    """The ONNX file of a model that ships; arguments are those of `shipped_folder`.

    Raises:
        RunError: This installation lacks it.
    """
    path = shipped_folder(name, detector) / f"model{SUFFIX}"
    if not path.is_file():
        raise RunError(f"no model {path.parent.name} ships; name a run, or an export.")
    return path
