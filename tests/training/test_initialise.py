from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.config.data import NormalisationSettings, SplitSettings
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import load_dataset
from landmarkfer.data.splits import make_splits
from landmarkfer.data.statistics import landmark_statistics, whitening_matrix
from landmarkfer.errors import CacheError, GraphError
from landmarkfer.face.graph import build_graph
from landmarkfer.models import build_model
from landmarkfer.models.base import OF_ITS_DATA
from landmarkfer.training.initialise import class_counts, initialise_from, initialise_model
from landmarkfer.training.resolve import resolve


@pytest.fixture(scope="module")
def dataset(tiny_cache):
    return load_dataset(tiny_cache, NormalisationSettings())


@pytest.fixture(scope="module")
def splits(dataset):
    return make_splits(dataset.frame, SplitSettings())


def gnn(**keywords):
    small = {"widths": [4], "hidden": [4], "identity": 0, "node_width": 1} | keywords
    return resolve(load_settings(overrides={f"model.{key}": value for key, value in small.items()}))


def test_a_model_knows_its_training_faces_and_their_prior(dataset, splits):
    model = initialise_model(resolve(load_settings(overrides={"model.name": "mlp"})), dataset, splits)
    has_face = dataset.faces.has_face.numpy()
    faces = dataset.faces.landmarks[splits.train[has_face[splits.train]]]
    mean, std = landmark_statistics(faces)
    torch.testing.assert_close(model.mean, mean)
    torch.testing.assert_close(model.std, std)
    torch.testing.assert_close(model.whitening, whitening_matrix(faces, mean, std, model.floor))
    known = torch.as_tensor(np.concatenate([splits.train[has_face[splits.train]][:5], splits.test[:5]]))
    deviation = torch.zeros_like(dataset.faces.landmarks)
    deviation[known] = 0.1 * torch.randn(len(known), 478, 3)
    twice = replace(dataset, faces=replace(dataset.faces, deviation=deviation))
    noisy = initialise_model(resolve(load_settings(overrides={"model.name": "mlp"})), twice, splits)
    expected = whitening_matrix(faces, mean, std, model.floor, model.noise, deviation[known[:5]])
    torch.testing.assert_close(noisy.whitening, expected)
    labels = dataset.frame["label"].iloc[splits.train]
    prior = torch.tensor([(labels == name).mean() for name in ("angry", "happy", "sad")]).float()
    torch.testing.assert_close(model.log_prior.exp(), prior)
    assert class_counts(dataset, splits.train).sum() == len(splits.train), "images without a face count"
    assert not has_face[splits.train].all()


def test_the_seed_decides_the_weights(dataset, splits):
    first, again, other = (
        initialise_model(
            resolve(load_settings(overrides={"model.name": "mlp", "seed": seed})), dataset, splits
        )
        for seed in (1, 1, 2)
    )
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_weights_of_another_run_come_without_what_was_fitted_to_its_images(monkeypatch):
    source, model, fresh = (build_model("mlp", 3, hidden=[4]) for _ in range(3))
    source.set_prior(torch.tensor([0.2, 0.3, 0.5]))
    source.set_offset(torch.ones(3))
    source.set_calibration(Calibration(Scaling.of_temperature(2.0, 3), np.full((99, 3), 0.5)))
    run = SimpleNamespace(name="source", load=lambda: SimpleNamespace(model=source))
    monkeypatch.setattr("landmarkfer.training.initialise.find_run", lambda name: run)
    initialise_from(model, "source")
    for name, value in model.state_dict().items():
        expected = fresh if name in OF_ITS_DATA else source
        assert torch.equal(value, expected.state_dict()[name]), name


def test_a_graph_by_distance_is_built_on_the_mean_training_face(dataset, splits):
    model = initialise_model(gnn(graph="knn", k=4), dataset, splits)
    expected = build_graph("knn", mean_face=model.mean.numpy(), k=4)
    np.testing.assert_array_equal(model.face_graph.edge_index, expected.edge_index)


def test_an_unknown_graph(dataset, splits):
    with pytest.raises(GraphError, match="'mesh'"):
        initialise_model(gnn(graph="mesh"), dataset, splits)


def test_too_few_faces_or_classes(make_rows, tmp_path):
    happy = [row for row in make_rows() if row.label == "happy"]
    for number, rows in enumerate((happy, happy[-3:])):
        cache = write_cache(tmp_path / str(number), rows)
        dataset = load_dataset(cache, NormalisationSettings())
        splits = make_splits(dataset.frame.assign(split=None), SplitSettings(validation=0.5))
        with pytest.raises(CacheError, match=r"at least two faces and two classes.* 1 class"):
            initialise_model(resolve(load_settings(overrides={"model.name": "mlp"})), dataset, splits)
