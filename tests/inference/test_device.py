import pytest
import torch

from landmarkfer.config.train import FitSettings
from landmarkfer.inference.device import accelerator, precision


@pytest.mark.parametrize(("cuda", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_the_device_that_is_chosen_has_sparse_products(monkeypatch, cuda, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert accelerator("auto") == chosen
    assert accelerator("mps") == "mps"


@pytest.mark.parametrize(
    ("cuda", "able", "chosen"),
    [
        (False, {"avx512_bf16": True}, "bf16-mixed"),
        (False, {"amx_bf16": True}, "bf16-mixed"),
        (False, {"avx2": True, "avx512_bf16": False}, "32-true"),
        (True, {"avx2": True}, "bf16-mixed"),
    ],
)
def test_bfloat16_is_left_to_devices_that_multiply_it(monkeypatch, cuda, able, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert precision(FitSettings(precision="auto")) == chosen
    assert precision(FitSettings(precision="bf16-mixed")) == "bf16-mixed", "what is asked for is done"
