"""What an installation consists of, as a bug report needs it: versions, devices, detectors and paths.

Works in a plain installation; torch is loaded only if it is there.
"""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from landmarkfer.data.cache import CACHE_ROOT
from landmarkfer.errors import EXTRAS, DetectorError
from landmarkfer.extraction.detectors import FaceMeshDetector, LandmarkerDetector, default_detector
from landmarkfer.extraction.model_file import located_landmarker
from landmarkfer.face.landmarks import graphs_dir

Section = dict[str, str]


def environment() -> dict[str, Section]:
    """The sections of the report: heading -> name -> value."""
    return {
        "landmarkfer": {
            "version": version("landmarkfer"),
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
            "system": platform.platform(),
        },
        "extras": {extra: _state(modules) for extra, modules in EXTRAS.items()},
        "packages": _packages(),
        "devices": _devices(),
        "detectors": _detectors(),
        "paths": {
            "package": str(Path(__file__).resolve().parents[1]),
            "graphs": str(graphs_dir()),
            "interpreter": sys.executable,
            "working folder": str(Path.cwd()),
            "caches": ", ".join(sorted(path.parent.name for path in CACHE_ROOT.glob("*/manifest.json")))
            or "none",
        },
    }


def _state(modules: tuple[str, ...]) -> str:
    missing = [module for module in modules if find_spec(module) is None]
    if not missing:
        return "installed"
    return "not installed" if len(missing) == len(modules) else f"without {', '.join(missing)}"


def _packages() -> Section:
    """The versions of those packages that landmarkfer asks for and that are installed."""
    found = {}
    for requirement in requires("landmarkfer") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # of an extra
    found.pop("landmarkfer", None)  # its extras ask for each other
    return found


def _devices() -> Section:
    cores = {"CPU": f"{os.cpu_count()} cores, {platform.machine()}"}
    if find_spec("torch") is None:
        return cores
    import torch

    cuda = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    mps = torch.backends.mps.is_available()
    return {**cores, "CUDA": ", ".join(cuda) or "none", "MPS": "available" if mps else "none"}


def _detectors() -> Section:
    landmarker = "needs mediapipe"
    if LandmarkerDetector.available():
        try:
            path = located_landmarker()
            state = "is" if path.is_file() else "downloaded on first use to"
            landmarker = f"available; model file {state} {path}"
        except DetectorError as error:
            landmarker = str(error)
    facemesh = "available" if FaceMeshDetector.available() else "needs mediapipe before 0.10.30"
    return {"facemesh": facemesh, "landmarker": landmarker, "default": default_detector()}
