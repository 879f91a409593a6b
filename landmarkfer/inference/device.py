"""The device and the precision that are computed with."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from landmarkfer.config.train import FitSettings
from landmarkfer.errors import SettingsError


def accelerator(device: str) -> str:
    """The device that `fit.device` means here: CUDA where there is one, else the CPU, if left to choose.

    MPS has no sparse products, which graph models are made of, so it must be asked for.

    Raises:
        SettingsError: PyTorch finds no such device.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[device]:
        raise SettingsError(f"'fit.device' = '{device}', but PyTorch finds no such device here.")
    return device


def precision(fit: FitSettings) -> Literal["32-true", "bf16-mixed"]:
    """The precision that `fit.precision` means here, as Lightning names it.

    A processor without instructions for bfloat16 emulates them, at ten times the time of single precision.
    """
    if fit.precision != "auto":
        return fit.precision
    device = accelerator(fit.device)
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Older versions of PyTorch have no way to ask the processor.
        capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        native = device == "cpu" and any(
            capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
        )
    return "bf16-mixed" if native else "32-true"
