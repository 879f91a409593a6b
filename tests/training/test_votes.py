"""Votes of annotators as targets, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from landmarkfer.config.data import DataSettings, NormalisationSettings
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.row import Row
from landmarkfer.errors import SettingsError
from landmarkfer.training.fit import train
from landmarkfer.training.votes import vote_targets

# Classes of the cache in order: angry, happy, sad.
ROWS = [
    ("a", "happy", "train", (0, 8, 2)),
    ("b", None, "train", (5, 0, 5)),
    ("c", None, "test", (5, 5, 0)),
    ("d", "sad", "train", None),
    ("e", "angry", "test", (6, 0, 3)),
]


@pytest.fixture
def cache(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for name, label, split, votes in ROWS:
        row = Row(name, label, split, votes=votes and tuple(map(float, votes)))
        row.width = row.height = 48
        row.landmarks = rng.random((478, 3), dtype=np.float32)
        rows.append(row)
    return write_cache(tmp_path / "votes", rows)


def dataset(cache, settings):
    return load_dataset(cache, NormalisationSettings(), label_images(cache, settings))


def test_targets_are_shares_of_votes(cache):
    settings = DataSettings(labels="votes")
    targets = vote_targets(cache, settings, dataset(cache, settings))
    expected = torch.tensor([[0, 0.8, 0.2], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 1], [2 / 3, 0, 1 / 3]])
    torch.testing.assert_close(targets, expected)


def test_training_images_without_a_majority_take_part_and_test_images_do_not(cache):
    assert label_images(cache, DataSettings())[0]["label"].isna().tolist() == [
        False,
        True,
        True,
        False,
        False,
    ]
    labels = label_images(cache, DataSettings(labels="votes"))[0]["label"]
    assert labels.isna().tolist() == [False, False, True, False, False]
    assert labels[1] == "angry", "the first of two with equal votes"


def test_classes_that_are_merged_or_left_out(cache):
    settings = DataSettings(labels="votes", merge={"bad": ["angry", "sad"]})
    merged = dataset(cache, settings)
    assert merged.classes == ("happy", "bad")
    targets = vote_targets(cache, settings, merged)
    torch.testing.assert_close(targets[:2], torch.tensor([[0.8, 0.2], [0.0, 1.0]]))
    few = DataSettings(labels="votes", classes=["happy", "sad"])
    targets = vote_targets(cache, few, dataset(cache, few))
    torch.testing.assert_close(targets[[1, 4]], torch.tensor([[0.0, 1.0], [0.0, 1.0]]))


def test_a_cache_without_votes_is_refused(tiny_cache):
    settings = DataSettings(labels="votes")
    with pytest.raises(SettingsError, match=r"holds no votes; extract it with --labels fer2013new\.csv"):
        vote_targets(tiny_cache, settings, dataset(tiny_cache, settings))


def test_votes_and_distillation_exclude_each_other(tiny_settings, tmp_path):
    settings = tiny_settings(**{"data.labels": "votes", "distillation.predictions": "x.parquet"})
    with pytest.raises(SettingsError, match="both say what is to be learnt"):
        train(settings, runs_root=tmp_path)


def test_a_model_that_is_fitted_at_once_takes_no_votes(tiny_cache, tmp_path):
    overrides = {"model.name": "landmark-svm", "cache": str(tiny_cache.path), "data.labels": "votes"}
    with pytest.raises(SettingsError, match=r"'data\.labels' is for networks"):
        train(load_settings(overrides=overrides), runs_root=tmp_path)


def test_a_run_is_trained_on_votes(tiny_cache, tiny_settings, tmp_path):
    """Trained on votes that contradict the labels, a model predicts the votes."""
    frame = tiny_cache.frame()
    frame = frame.astype(object).where(frame.notna(), None)
    landmarks = tiny_cache.landmarks()
    turned = {"angry": (0.0, 9.0, 1.0), "happy": (0.0, 1.0, 9.0), "sad": (9.0, 0.0, 1.0)}
    rows = []
    for place, known in enumerate(frame.itertuples()):
        row = Row(known.id, known.label, known.split, status=known.status, votes=turned.get(known.label))
        row.width, row.height, row.sha256 = known.width, known.height, known.sha256
        row.landmarks = landmarks[place] if known.status == "ok" else None
        rows.append(row)
    voted = write_cache(tmp_path / "voted", rows)
    settings = tiny_settings(**{"cache": str(voted.path), "data.labels": "votes", "fit.epochs": 20})
    run = train(settings, runs_root=tmp_path / "runs")
    trained = run.load()
    data = replace(dataset(voted, DataSettings()), classes=trained.config.classes)
    with torch.no_grad():
        predicted = trained.model.eval()(data.faces).argmax(dim=1)
    found = torch.as_tensor((frame["status"] == "ok").to_numpy(bool) & frame["label"].notna().to_numpy())
    expected = torch.tensor([1, 2, 0])[data.faces.labels.clamp_min(0)]
    assert (predicted == expected)[found].float().mean() > 0.6
