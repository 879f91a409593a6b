from types import SimpleNamespace

import numpy as np
import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import FitSettings, NormalisationSettings, SplitSettings, TrainSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import load_dataset
from landmarkfer.data.splits import make_splits
from landmarkfer.data.statistics import landmark_statistics, whitening_matrix
from landmarkfer.errors import CacheError, GraphError, SettingsError
from landmarkfer.face.graph import build_graph
from landmarkfer.inference.device import accelerator, precision
from landmarkfer.models import MODELS, build_model
from landmarkfer.models.base import OF_ITS_DATA
from landmarkfer.training.resolve import resolved
from landmarkfer.training.setup import begin_with, class_counts, new_model


@pytest.fixture(scope="module")
def dataset(tiny_cache):
    return load_dataset(tiny_cache, NormalisationSettings())


@pytest.fixture(scope="module")
def splits(dataset):
    return make_splits(dataset.frame, SplitSettings())


def gnn(**keywords):
    small = {"widths": [4], "hidden": [4], "identity": 0, "node_width": 1} | keywords
    return resolved(load_settings(overrides={f"model.{key}": value for key, value in small.items()}))


def test_a_model_knows_its_training_faces_and_their_prior(dataset, splits):
    model = new_model(resolved(load_settings(overrides={"model.name": "mlp"})), dataset, splits)
    has_face = dataset.faces.has_face.numpy()
    faces = dataset.faces.landmarks[splits.train[has_face[splits.train]]]
    mean, std = landmark_statistics(faces)
    torch.testing.assert_close(model.mean, mean)
    torch.testing.assert_close(model.std, std)
    torch.testing.assert_close(model.whitening, whitening_matrix(faces, mean, std, model.floor))
    labels = dataset.frame["label"].iloc[splits.train]
    prior = torch.tensor([(labels == name).mean() for name in ("angry", "happy", "sad")]).float()
    torch.testing.assert_close(model.log_prior.exp(), prior)
    assert class_counts(dataset, splits.train).sum() == len(splits.train), "images without a face count"
    assert not has_face[splits.train].all()


def test_the_seed_decides_the_weights(dataset, splits):
    first, again, other = (
        new_model(resolved(load_settings(overrides={"model.name": "mlp", "seed": seed})), dataset, splits)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_weights_of_another_run_come_without_what_was_fitted_to_its_images(monkeypatch):
    source, model, fresh = (build_model("mlp", 3, hidden=[4]) for _ in range(3))
    source.set_prior(torch.tensor([0.2, 0.3, 0.5]))
    source.set_offset(torch.ones(3))
    source.set_calibration(2.0, torch.full((99,), 0.5))
    run = SimpleNamespace(name="source", load=lambda: SimpleNamespace(model=source))
    monkeypatch.setattr("landmarkfer.training.setup.find_run", lambda name: run)
    begin_with(model, "source")
    for name, value in model.state_dict().items():
        expected = fresh if name in OF_ITS_DATA else source
        assert torch.equal(value, expected.state_dict()[name]), name


def test_a_graph_by_distance_is_built_on_the_mean_training_face(dataset, splits):
    model = new_model(gnn(graph="knn", k=4), dataset, splits)
    expected = build_graph("knn", mean_face=model.mean.numpy(), k=4)
    np.testing.assert_array_equal(model.graph.edge_index, expected.edge_index)


def test_every_keyword_is_stated():
    settings = resolved(load_settings(overrides={"model.name": "mlp", "model.hidden": [3]}))
    stated = {"dropout": 0.4, "features": "whitened", "floor": 1e-3, "blendshapes": False}
    assert settings.model.keywords == {"hidden": [3]} | stated
    assert resolved(settings) == settings
    assert settings.model.name == "mlp"


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
    settings = resolved(load_settings(overrides=model))
    assert TrainSettings.model_validate_json(settings.model_dump_json()) == settings


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
        resolved(load_settings(overrides=overrides))


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=f"'{device}', but PyTorch finds no such device"):
        resolved(load_settings(overrides={"fit.device": device}))


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
    assert precision(FitSettings(precision="16-mixed")) == "16-mixed", "what is asked for is done"


def test_an_unknown_graph(dataset, splits):
    with pytest.raises(GraphError, match="'mesh'"):
        new_model(gnn(graph="mesh"), dataset, splits)


def test_too_few_faces_or_classes(make_rows, tmp_path):
    happy = [row for row in make_rows() if row.label == "happy"]
    for number, rows in enumerate((happy, happy[-3:])):
        cache = write_cache(tmp_path / str(number), rows)
        dataset = load_dataset(cache, NormalisationSettings())
        splits = make_splits(dataset.frame.assign(split=None), SplitSettings(validation=0.5))
        with pytest.raises(CacheError, match=r"at least two faces and two classes.* 1 classes"):
            new_model(resolved(load_settings(overrides={"model.name": "mlp"})), dataset, splits)


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SettingsError, match=r"'fit\.compile' = true needs a C\+\+ compiler"):
        resolved(load_settings(overrides={"fit.compile": True}))
