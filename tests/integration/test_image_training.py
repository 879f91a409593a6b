"""Image models through the whole path: the cache's pixels, training, the run folder, evaluation."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.opened import open_run
from landmarkfer.inference.predict import predict_faces
from landmarkfer.inference.tta import views
from landmarkfer.models.base import OF_ITS_DATA
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import resume, train
from landmarkfer.training.task import ExpressionTask


class Cut(BaseException):
    """As sudden as a kill, but inside the process."""


def outcome(run):
    return run.weights_file.read_bytes(), pd.read_csv(run.metrics_file).drop(columns="seconds").to_csv()


def test_a_small_network_learns_the_bands(image_settings, tmp_path):
    run = train(image_settings(**{"fit.epochs": 6, "augment.mirror": 0.0}), runs_root=tmp_path)
    assert run.name == "image-resnet-fer-s0"
    config = run.read_config()
    assert (config.images.size, config.images.channels) == (24, 1)
    evaluation, predictions = evaluate_run(run)
    table = predictions.to_frame()
    report = evaluation.subsets["test"]
    assert report.accuracy > 0.9
    # A face that was not found has pixels all the same; an image that could not be read has none.
    unreadable = table[table["status"] == "unreadable"]
    prior = run.load().model.log_prior.exp().numpy()
    np.testing.assert_allclose(unreadable[["p_angry", "p_happy", "p_sad"]].to_numpy()[0], prior, rtol=1e-5)
    missing = table[table["status"] == "no_face"]
    assert (missing["label"] == missing["predicted"]).all()


def test_the_images_are_normalised_by_the_training_images(image_settings, pictured_cache, tmp_path):
    run = train(image_settings(**{"fit.epochs": 1}), runs_root=tmp_path)
    opened = open_run(run)
    rows = np.flatnonzero(opened.dataset.frame["id"].isin(run.read_splits()["train"]))
    pixels = opened.dataset.faces.image.numpy()[rows] / 255
    model = opened.trained.model
    assert model.image_mean.item() == pytest.approx(pixels.mean(), abs=1e-4)
    assert model.image_std.item() == pytest.approx(pixels.std(), abs=1e-3)


VARIANTS = {
    "mixup": {"mixing.mixup": 0.2},
    "augmented": {"augment.image.rotation": 10.0, "augment.image.erasing": 0.5, "model.crop": 0.75},
    "adaptive": {"sampling.name": "adaptive", "sampling.k": 1},
    "oversampled": {"sampling.name": "oversample"},
    "ema": {"fit.ema": 0.8},
    "stages": {
        "stages": [{"train": "head", "epochs": 1, "lr": 0.02}, {"train": "full", "epochs": 2}],
        "optimiser.schedule": "cosine",
    },
    "sgd": {"optimiser.schedule": "cosine", "optimiser.name": "sgd"},
    "clipped, focal": {"optimiser.clip": 0.5, "loss.name": "focal"},
    "bf16": {"fit.precision": "bf16-mixed"},
}


@pytest.mark.parametrize(
    ("step", "variant"),
    [
        *[(8, "mixup"), (8, "stages"), (4, "adaptive")],
        *(pytest.param(4, name, marks=pytest.mark.slow) for name in VARIANTS if name != "adaptive"),
        *(
            pytest.param(8, name, marks=pytest.mark.slow)
            for name in VARIANTS
            if name not in ("mixup", "stages")
        ),
    ],
)
def test_resumed_as_if_never_cut(image_settings, tmp_path, monkeypatch, variant, step):
    """Cut in the first and in the second epoch, with a checkpoint every other step."""
    overrides = {"fit.epochs": None if "stages" in VARIANTS[variant] else 3, "fit.checkpoint_every": 2}
    settings = image_settings(name="run", **overrides | VARIANTS[variant])
    whole = outcome(train(settings, runs_root=tmp_path / "whole"))
    original = ExpressionTask.training_step

    def stopping(self, batch, batch_idx):
        if self.global_step == step:
            raise Cut
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ExpressionTask, "training_step", stopping)
        with pytest.raises(Cut):
            train(settings, runs_root=tmp_path / "cut")
    run = resume(RunFolder(tmp_path / "cut" / "run"))
    assert outcome(run) == whole
    assert len(run.resumes_file.read_text().splitlines()) == 1


def test_the_focus_of_adaptive_sampling_is_logged(image_settings, tmp_path):
    settings = image_settings(**{"fit.epochs": 3, "sampling.name": "adaptive", "sampling.k": 1})
    table = pd.read_csv(train(settings, runs_root=tmp_path).metrics_file)
    assert table["focus"].isna().tolist() == [True, False, False], (
        "nothing was validated before the first epoch"
    )
    assert set(table["focus"].dropna()) <= {"angry", "happy", "sad"}


class TestStages:
    def test_what_is_frozen_does_not_move_and_its_statistics_neither(
        self, image_settings, tmp_path, monkeypatch
    ):
        """The published fault: norm layers of a frozen backbone that go on averaging."""
        states = []
        original = ExpressionTask.on_validation_epoch_end

        def spy(self):
            states.append(copy.deepcopy(self.model.state_dict()))
            original(self)

        monkeypatch.setattr(ExpressionTask, "on_validation_epoch_end", spy)
        stages = [
            {"train": "head", "epochs": 2},
            {"train": "partial", "epochs": 1, "layers": 1},
            {"train": "full", "epochs": 1},
        ]
        given = {"stages": stages, "optimiser.schedule": "constant", "fit.epochs": None}
        run = train(image_settings(**given), runs_root=tmp_path)
        groups = run.load().model.depth_groups()
        changed = [
            {key for key in first if not torch.equal(first[key], second[key])}
            for first, second in itertools.pairwise(states)
        ]
        head, last = set(groups[-1]), set(groups[-2])
        assert changed[0] == head, "no weight, mean or variance of the backbone"
        assert {key for key in changed[1] if "running" not in key and "tracked" not in key} == head | last
        prefixes = {name.rpartition(".")[0] for name in last}
        moved = {key.rpartition(".")[0] for key in changed[1] if "running" in key}
        assert moved and moved <= prefixes, "statistics move where weights do"
        everything = {name for group in groups for name in group}
        assert {key for key in changed[2] if key in everything} == everything

    def test_freezing_survives_train(self, image_settings, tmp_path):
        model = train(image_settings(**{"fit.epochs": 1}), runs_root=tmp_path).load().model
        model.freeze(len(model.depth_groups()) - 1)
        model.train()
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert norms and not any(norm.training for norm in norms)
        assert model.head.training
        model.freeze(0)
        assert all(norm.training for norm in norms)


class TestFineTuning:
    @pytest.fixture
    def first(self, image_settings, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return train(image_settings(name="first"))

    def test_begins_with_the_weights_of_another_run(self, first, image_settings, monkeypatch):
        seen = []
        monkeypatch.setattr(
            ExpressionTask, "on_train_start", lambda self: seen.append(copy.deepcopy(self.model.state_dict()))
        )
        run = train(image_settings(name="second", init="first"))
        assert run.read_config().settings.init == "first"
        weights = first.load().model.state_dict()
        own = [key for key in weights if key not in OF_ITS_DATA]
        assert all(torch.equal(seen[0][key], weights[key]) for key in own)

    def test_other_classes_get_a_head_of_their_own(self, first, image_settings):
        run = train(image_settings(init="first", **{"data.classes": ["happy", "sad"]}))
        assert run.read_config().classes == ("happy", "sad")
        assert run.load().model.head.weight.shape[0] == 2

    def test_another_model_is_refused(self, first, image_settings):
        with pytest.raises(RunError, match="'first' is not this one"):
            train(image_settings(init="first", **{"model.width": 8}))


class TestViews:
    @pytest.fixture
    def opened(self, image_settings, tmp_path):
        settings = image_settings(**{"model.crop": 0.75, "prediction.crops": "five"})
        return open_run(train(settings, runs_root=tmp_path))

    def test_ten_crops(self, opened):
        batch = opened.dataset.faces.rows(torch.arange(5))
        model, settings = opened.trained.model, opened.trained.config.settings.prediction
        found = list(views(batch, model, settings))
        assert len(found) == 10
        image = batch.image.float() / 255
        assert torch.equal(found[0].image, image[..., :18, :18])
        assert torch.equal(found[1].image, image[..., :18, :18].flip(-1))
        assert torch.equal(found[6].image, image[..., 6:, 6:])
        assert torch.equal(found[8].image, image[..., 3:21, 3:21])
        with torch.inference_mode():
            mean = torch.stack([model(view).softmax(dim=1) for view in found]).mean(dim=0)
            expected = model.calibration.scaling(mean.numpy())
            outputs = predict_faces(model, batch, settings)
            np.testing.assert_allclose(outputs.probabilities, expected, rtol=1e-4)
            np.testing.assert_allclose(outputs.uncalibrated, mean.numpy(), rtol=1e-4)
            centre = model(batch)
        torch.testing.assert_close(centre, model(found[8]), msg="the stored image is cut in the middle")


def test_subsets_and_merged_classes(image_settings, tmp_path):
    given = {"data.merge": {"negative": ["sad", "angry"]}, "data.per_class": 20, "fit.epochs": 1}
    run = train(image_settings(**given), runs_root=tmp_path)
    assert set(run.read_config().classes) == {"happy", "negative"}
    train_ids = run.read_splits()["train"]
    assert len(train_ids) == 40
    assert sum("happy" in name for name in train_ids) == 20
    table = evaluate_run(run)[1].to_frame()
    assert set(table["label"]) == {"happy", "negative"}
    assert (table.loc[table["id"].str.contains("sad"), "label"] == "negative").all()


def test_splits_of_our_own(image_settings, pictured_cache, tmp_path):
    given = {"data.official": False, "split.test": 0.2, "split.validation": 0.125, "fit.epochs": 1}
    splits = train(image_settings(**given), runs_root=tmp_path).read_splits()
    total = sum(map(len, splits.values()))
    assert total == pictured_cache.frame()["label"].notna().sum()
    shares = {name: len(ids) / total for name, ids in splits.items()}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.03)
    assert any(name.startswith("test/") for name in splits["train"])


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"data.classes": ["joy", "sad"]}, r"'data\.classes' names 'joy'.*angry, happy, sad"),
        ({"data.merge": {"bad": ["fear"]}}, r"'data\.merge' names 'fear'"),
        ({"data.per_class": 500}, r"'data\.per_class' = 500, and class '\w+' has \d+ training images"),
        ({"sampling.name": "adaptive", "sampling.k": 3}, r"sampling\.k = 3"),
        ({"augment.jitter": 0.2}, r"'augment\.jitter' changes landmarks, and model 'image' reads none"),
        ({"loss.class_weights": "inverse", "sampling.name": "balanced"}, "both even out the classes"),
        ({"loss.logit_adjustment": 1.0, "loss.class_weights": "inverse"}, "both even out the classes"),
        ({"stages": [{"train": "head", "epochs": 1}]}, r"leave fit\.epochs \(--epochs\) out"),
        (
            {"stages": [{"train": "head", "epochs": 1}], "fit.epochs": None},
            "cannot restart with each stage",
        ),
        ({"stages": [{"train": "neck", "epochs": 1}], "fit.epochs": None}, "stages.0.train"),
        (
            {"stages": [{"train": "head", "epochs": 1, "speed": 2}], "fit.epochs": None},
            "no setting 'stages.0.speed'",
        ),
    ],
)
def test_bad_settings_are_refused_before_any_pixel_is_read(
    image_settings, tmp_path, monkeypatch, overrides, reason
):
    def never(*_, **__):
        raise AssertionError("data was read")

    monkeypatch.setattr(LandmarkCache, "landmarks", never)
    monkeypatch.setattr(LandmarkCache, "faces", never)
    with pytest.raises(SettingsError, match=reason):
        train(image_settings(**overrides), runs_root=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"augment.image.rotation": 5.0}, r"'augment\.rotation'|changes pixels"),
        ({"prediction.crops": "five"}, "crops pixels"),
    ],
)
def test_what_needs_pixels_is_refused_for_landmarks(tiny_settings, overrides, reason, tmp_path):
    with pytest.raises(SettingsError, match=reason):
        train(tiny_settings(**overrides), runs_root=tmp_path)
