import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import ResolvedSettings
from landmarkfer.errors import SettingsError
from landmarkfer.face.graph import build_graph
from landmarkfer.models import MODELS
from landmarkfer.training.resolve import resolve


def test_every_keyword_is_stated():
    settings = resolve(load_settings(overrides={"model.name": "mlp", "model.hidden": [3]}))
    stated = {"dropout": 0.4, "features": "whitened", "floor": 1e-4, "noise": 10.0, "blendshapes": False}
    assert settings.model.keywords == {"hidden": [3]} | stated
    assert resolve(settings) == settings
    assert settings.model.name == "mlp"


def test_a_branch_is_as_wide_as_the_run_that_it_is_initialised_from(made_run):
    run = made_run("mlp-s0", **{"model.hidden": [6, 5], "model.floor": 0.01})
    fused = {"model.name": "fusion", "model.encoder": "mlp", "branches.encoder": str(run)}
    known = resolve(load_settings(overrides=fused)).model.keywords["encoder_settings"]
    assert (known["hidden"], known["floor"], known["dropout"]) == ([6, 5], 0.01, 0.4)
    stated = resolve(load_settings(overrides=fused | {"model.encoder_settings": {"hidden": [9]}}))
    assert stated.model.keywords["encoder_settings"]["hidden"] == [9], "what is stated goes before"
    other = resolve(load_settings(overrides=fused | {"model.encoder": "gnn", "model.fusion": "late"}))
    assert other.model.keywords["encoder_settings"]["hidden"] == [2048, 256], "of another model"


@pytest.mark.parametrize(
    "model",
    [
        *({"model.name": name} for name in MODELS),
        *({"model.name": "fusion", "model.encoder": name} for name in ("mlp", "transformer", "image")),
        {"model.name": "mlp", "model.hidden": (8, 4), "data.classes": ("happy", "sad")},
    ],
)
def test_they_are_equal_to_what_is_read_from_the_file_of_a_run(model):
    """So a run is known again, and not trained or refused, when the same command is given once more."""
    settings = resolve(load_settings(overrides=model))
    assert ResolvedSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"model.name": "cnn"}, "no model 'cnn'"),
        ({"model.name": "mlp", "model.graph": "knn"}, "'graph' is no setting of model 'mlp'"),
        ({"model.hiden": [3]}, "'hiden' is no setting of model 'gnn'"),
        ({"model.graph": build_graph("anatomical")}, "must be a name or the path"),
        ({"model.graph": 3}, "'graph' = 3"),
        ({"model.k": 2.5}, "'k' = 2.5"),
    ],
)
def test_settings_are_checked_before_any_data_is_read(overrides, reason):
    with pytest.raises(SettingsError, match=reason):
        resolve(load_settings(overrides=overrides))


def test_versions_of_an_image_are_not_blended_with_others():
    with pytest.raises(SettingsError, match=r"'loss.consistency' compares .* set one of them to 0"):
        resolve(load_settings(overrides={"loss.consistency": 1.0, "mixing.mixup": 0.2}))


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=f"'{device}', but PyTorch finds no such device"):
        resolve(load_settings(overrides={"fit.device": device}))


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError, match=r"'fit\.compile' = true needs a C\+\+ compiler"):
        resolve(load_settings(overrides={"fit.compile": True}))
