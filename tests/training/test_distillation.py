"""Targets from predictions: of training images only, mixed with their labels."""

import logging

import pandas as pd
import pytest
import torch

from landmarkfer.config.data import NormalisationSettings
from landmarkfer.config.train import DistillationSettings
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.splits import make_splits
from landmarkfer.errors import SettingsError
from landmarkfer.training.distillation import soft_targets
from landmarkfer.training.fit import train

CLASSES = ("angry", "happy", "sad")


@pytest.fixture(scope="module")
def dataset(tiny_cache):
    return load_dataset(tiny_cache, NormalisationSettings())


@pytest.fixture(scope="module")
def splits(tiny_cache, tiny_split):
    return make_splits(label_images(tiny_cache, tiny_split.data)[0], tiny_split.split)


@pytest.fixture(scope="module")
def tiny_split(tiny_cache):
    from landmarkfer.config.recipes import load_settings

    return load_settings(overrides={"cache": str(tiny_cache.path)})


def predictions(dataset, rows, path, p=(0.2, 0.5, 0.3), **columns):
    known = dataset.frame.iloc[rows].reset_index(drop=True)
    table = known[["id", "label", "status"]].assign(predicted="happy")
    for name, value in zip(CLASSES, p, strict=True):
        table[f"p_{name}"] = value
    table.assign(**columns).to_parquet(path)
    return str(path)


def test_no_predictions_no_targets(dataset, splits):
    assert soft_targets(DistillationSettings(), dataset, splits.train) is None


def test_labels_and_predictions_are_mixed(dataset, splits, tmp_path):
    path = predictions(dataset, splits.train, tmp_path / "said.parquet")
    targets = soft_targets(DistillationSettings(predictions=path, weight=0.25), dataset, splits.train)
    assert targets.shape == (len(dataset), 3)
    row = splits.train[0]
    expected = 0.25 * torch.tensor([0.2, 0.5, 0.3])
    expected[dataset.faces.labels[row]] += 0.75
    torch.testing.assert_close(targets[row], expected)
    assert torch.allclose(targets[torch.as_tensor(splits.train)].sum(dim=1), torch.ones(len(splits.train)))


def test_images_of_other_parts_keep_their_labels(dataset, splits, tmp_path, caplog):
    path = predictions(dataset, [*splits.train[:20], *splits.val], tmp_path / "said.parquet")
    with caplog.at_level(logging.WARNING):
        targets = soft_targets(DistillationSettings(predictions=path), dataset, splits.train)
    assert f"{len(splits.train) - 20} of {len(splits.train)} training images" in caplog.text
    for row in (*splits.train[20:], *splits.val):
        assert sorted(targets[row].tolist()) == [0, 0, 1]


@pytest.mark.parametrize("fault", ["missing", "no table", "other classes", "other images"])
def test_what_does_not_fit_is_refused(dataset, splits, tmp_path, fault):
    path = tmp_path / "said.parquet"
    if fault == "no table":
        path.write_text("id,label")
    elif fault == "other classes":
        predictions(dataset, splits.train, path, p_fear=0.0)
    elif fault == "other images":
        predictions(dataset, splits.test, path)
    with pytest.raises(SettingsError, match="distillation"):
        soft_targets(DistillationSettings(predictions=str(path)), dataset, splits.train)


def test_a_model_learns_what_was_predicted_instead_of_the_labels(dataset, splits, tmp_path, tiny_settings):
    """A teacher that calls every face sad: whoever believes it alone says so of every face."""
    path = predictions(dataset, splits.train, tmp_path / "said.parquet", p=(0.05, 0.05, 0.9))
    settings = {"distillation.predictions": path, "distillation.weight": 1.0, "fit.epochs": 4}
    run = train(tiny_settings(name="run", **settings), runs_root=tmp_path)
    model = run.load().model
    with torch.inference_mode():
        predicted = model(dataset.faces.rows(torch.as_tensor(splits.val))).argmax(dim=1)
    assert (predicted == 2).double().mean() > 0.9
    assert pd.read_csv(run.metrics_file)["val_accuracy"].iloc[-1] < 0.5, "validation goes by the labels"


def test_a_table_that_does_not_fit_leaves_no_run_behind(tmp_path, tiny_settings):
    settings = tiny_settings(name="run", **{"distillation.predictions": str(tmp_path / "none.parquet")})
    with pytest.raises(SettingsError, match="distillation"):
        train(settings, runs_root=tmp_path / "runs")
    assert not (tmp_path / "runs" / "run").exists()
