import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from landmarkfer.config.data import NormalisationSettings
from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.datamodule import FaceDataModule
from landmarkfer.data.dataset import load_dataset
from landmarkfer.data.images import ImageInfo
from landmarkfer.errors import CacheError, RunError
from landmarkfer.progress import SILENT
from landmarkfer.training.fit import resume, train
from landmarkfer.training.offline_augmentation import add_augmented, image_versions
from landmarkfer.training.resolve import resolve
from landmarkfer.training.task import ExpressionTask

IMAGES = ImageInfo(size=24, channels=1)
SETTINGS = resolve(TrainSettings())


@pytest.fixture(scope="module")
def copies(make_pictured_rows, tmp_path_factory):
    """A cache of the same ids with other landmarks and pixels, and without the last image."""
    return write_cache(tmp_path_factory.mktemp("further") / "copies", make_pictured_rows(seed=1)[:-1])


@pytest.fixture
def dataset(pictured_cache):
    return load_dataset(pictured_cache, NormalisationSettings(), images=IMAGES)


def test_copies_of_training_images_and_of_no_others_are_added(dataset, copies):
    train_rows = np.arange(3, 9)
    longer, rows = add_augmented(dataset, train_rows, [copies], SETTINGS, IMAGES, SILENT)
    ids = longer.frame["id"]
    assert len(longer) == len(dataset) + 6
    assert ids.iloc[rows].tolist() == 2 * dataset.frame["id"].iloc[train_rows].tolist()
    own = load_dataset(copies, NormalisationSettings(), images=IMAGES)
    place = own.frame["id"].tolist()
    for row in rows[6:]:
        theirs = place.index(ids.iloc[row])
        for name in ("landmarks", "image", "has_face", "has_image"):
            assert torch.equal(getattr(longer.faces, name)[row], getattr(own.faces, name)[theirs])
    assert torch.equal(longer.faces.landmarks[: len(dataset)], dataset.faces.landmarks), "what was stays"


def test_copies_may_be_detected_once(make_pictured_rows, tmp_path, copies):
    rows = make_pictured_rows()
    for row in rows:
        if row.landmarks is not None:
            row.deviation = np.full((478, 3), 0.01, np.float16) * np.arange(3, dtype=np.float16)
            row.deviation[:10] *= -1
    cache = write_cache(tmp_path / "twice", rows)
    twice = load_dataset(cache, NormalisationSettings(), images=IMAGES, deviations=True)
    longer, added = add_augmented(twice, np.arange(3, 9), [copies], SETTINGS, IMAGES, SILENT)
    assert torch.equal(longer.faces.deviation[: len(twice)], twice.faces.deviation)
    assert (longer.faces.deviation[added[6:]] == 0).all()
    longer, added = add_augmented(twice, np.arange(3, 9), [cache], SETTINGS, IMAGES, SILENT)
    assert torch.equal(longer.faces.deviation[added[6:]], twice.faces.deviation[added[:6]])
    assert longer.faces.deviation[added[6:]].any()


def test_what_is_learnt_of_an_image_is_learnt_of_its_copies(dataset, copies):
    targets = torch.rand(len(dataset), 3)
    faces = replace(dataset.faces, targets=targets, labels=torch.arange(len(dataset)) % 3)
    longer, _ = add_augmented(
        replace(dataset, faces=faces), np.array([5, 2]), [copies], SETTINGS, IMAGES, SILENT
    )
    originals = [dataset.frame["id"].tolist().index(one) for one in longer.frame["id"].iloc[-2:]]
    assert sorted(originals) == [2, 5]
    assert torch.equal(longer.faces.targets[-2:], targets[originals])
    assert torch.equal(longer.faces.labels[-2:], faces.labels[originals])


def test_no_cache_changes_nothing(dataset):
    rows = np.array([5, 2])
    same, still = add_augmented(dataset, rows, [], SETTINGS, None, SILENT)
    assert same is dataset
    assert still.tolist() == [5, 2]


def test_what_is_no_copy(dataset, pictured_cache, make_rows, tmp_path):
    others = write_cache(tmp_path / "others", [replace(row, id=f"x{row.id}") for row in make_rows()])
    with pytest.raises(CacheError, match="others holds none of the 2 training images"):
        add_augmented(dataset, np.array([1, 2]), [others], SETTINGS, IMAGES, SILENT)
    with pytest.raises(CacheError, match="is no augmentation of these training images: there are no image"):
        add_augmented(dataset, np.array([1, 2]), [pictured_cache], SETTINGS, None, SILENT)


def test_versions_of_an_image_are_found_by_its_id():
    ids = pd.Series(["a", "b", "c", "b", "c", "b", "d"])
    assert image_versions(ids, np.array([2, 1, 3, 4, 5])).tolist() == [[2, 4, 2], [1, 3, 5]]
    assert image_versions(ids, np.array([6, 0])).tolist() == [[6], [0]]
    assert image_versions(ids, np.array([5, 0])).tolist() == [[5], [0]], "an original without usable input"


class TestRuns:
    """Trainings whose settings name further caches."""

    @pytest.fixture
    def seen(self, monkeypatch):
        """How many training faces each training saw."""
        found = []
        original = FaceDataModule.__init__

        def noted(self, dataset, train_rows, *rest):
            found.append(len(train_rows))
            original(self, dataset, train_rows, *rest)

        monkeypatch.setattr(FaceDataModule, "__init__", noted)
        return found

    def test_both_are_trained_on_and_told_of(self, image_settings, copies, seen, tmp_path):
        plain = train(image_settings(name="plain", **{"fit.epochs": 1}), runs_root=tmp_path)
        settings = image_settings(name="both", **{"fit.epochs": 1, "data.also": [str(copies.path)]})
        both = train(settings, runs_root=tmp_path)
        assert seen[1] > 1.9 * seen[0]
        assert both.splits_file.read_text() == plain.splits_file.read_text()
        config = both.read_config()
        assert [(info.path, info.fingerprint) for info in config.also] == [
            (copies.path.as_posix(), copies.fingerprint)
        ]
        assert both.weights_file.read_bytes() != plain.weights_file.read_bytes()

    def test_a_resumed_run_needs_the_copies_it_began_with(self, image_settings, copies, tmp_path):
        settings = image_settings(name="run", **{"fit.epochs": 2, "data.also": [str(copies.path)]})
        run = train(settings, runs_root=tmp_path)
        whole = run.weights_file.read_bytes()
        run.weights_file.unlink()
        assert resume(run).weights_file.read_bytes() == whole
        run.weights_file.unlink()
        saved = json.loads(run.config_file.read_text())
        saved["also"][0]["fingerprint"] = "of others"
        run.config_file.write_text(json.dumps(saved))
        with pytest.raises(RunError, match="copies has changed since run 'run' started"):
            resume(run)

    def test_with_consistency_an_epoch_draws_each_image_once_as_two_versions(
        self, image_settings, copies, tmp_path, monkeypatch
    ):
        batches = []
        original = ExpressionTask.training_step

        def noted(self, batch, number):
            batches.append(batch.labels.tolist())
            return original(self, batch, number)

        monkeypatch.setattr(ExpressionTask, "training_step", noted)
        changes = {"fit.epochs": 2, "data.also": [str(copies.path)]}
        train(image_settings(name="plain", **changes), runs_root=tmp_path)
        draws = len(batches)
        batches.clear()
        run = train(image_settings(name="run", **changes, **{"loss.consistency": 1.0}), runs_root=tmp_path)
        assert len(batches) == pytest.approx(draws / 2, abs=2), "an epoch draws images, not their versions"
        for labels in batches:
            half = len(labels) // 2
            assert labels[:half] == labels[half:]
        whole = run.weights_file.read_bytes()
        run.weights_file.unlink()
        assert resume(run).weights_file.read_bytes() == whole

    def test_classical_models_too(self, tiny_cache, copies, tmp_path):
        settings = {"model.name": "landmark-svm", "cache": str(tiny_cache.path)}
        plain = train(load_settings(overrides=settings | {"name": "plain"}), runs_root=tmp_path)
        settings |= {"name": "both", "data.also": [str(copies.path)]}
        both = train(load_settings(overrides=settings), runs_root=tmp_path)
        assert plain.estimator_file.read_bytes() != both.estimator_file.read_bytes()
