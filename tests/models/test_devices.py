"""Every network computes where its weights lie; the device `meta` shows it without a GPU."""

from contextlib import nullcontext

import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.evaluation.benchmark.plan import synthetic_faces
from landmarkfer.models import build_model
from landmarkfer.training.augmentation import augment_batch
from landmarkfer.training.resolve import resolve


@pytest.fixture(autouse=True)
def _autocast_knows_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torch.autocast

    def autocast(device: str, *args: object, **keywords: object) -> object:
        return nullcontext() if device == "meta" else plain(device, *args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "autocast", autocast)


FUSIONS = [
    ("late", "mlp"),
    ("late", "image"),
    ("concat", "mlp"),
    ("cross-attention", "mlp"),
    ("sampled", "gnn"),
]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "mlp", "features": "whitened"},
        {"name": "gnn"},
        {"name": "transformer"},
        {"name": "image", "width": 8, "crop": 0.9},
        *({"name": "fusion", "fusion": how, "encoder": what, "width": 8} for how, what in FUSIONS),
    ],
    ids=lambda model: "-".join(str(value) for value in model.values()),
)
def test_a_network_and_its_augmentation_run_on_another_device_than_the_cpu(model: dict[str, object]) -> None:
    settings = resolve(load_settings(overrides={f"model.{key}": value for key, value in model.items()}))
    network = build_model(settings.model.name, 7, **settings.model.keywords).to("meta")
    faces = synthetic_faces(4, 48, settings).to("meta")
    assert network(augment_batch(faces, network, settings.augment)).device.type == "meta"
    with torch.inference_mode():
        assert network.eval()(faces).shape == (4, 7)
