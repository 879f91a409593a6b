"""Fused models from a cache of pixels and landmarks to an evaluation."""

import numpy as np
import pytest
import torch

from landmarkfer.errors import LandmarkferError, RunError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.opened import open_run
from landmarkfer.models.base import OF_ITS_DATA
from landmarkfer.models.fusion_heads import FUSIONS
from landmarkfer.training.fit import resume, train
from landmarkfer.training.initialise import initialise_model
from landmarkfer.training.resolve import resolve

SMALL = {
    "model.width": 4,
    "model.size": 16,
    "model.dropout": 0.0,
    "model.fusion_width": 8,
    "model.graph": "anatomical",
    "model.encoder_settings": {"widths": [8], "hidden": [16], "node_width": 2, "identity": 2},
}
IMAGE = {"model.width": 4, "model.size": 16, "model.dropout": 0.0}


@pytest.mark.parametrize(
    "fusion",
    [
        *("concat", "sampled"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in FUSIONS
            if name not in ("concat", "sampled")
        ),
    ],
)
def test_it_learns_and_is_evaluated(image_settings, tmp_path, fusion):
    settings = image_settings("fusion", **SMALL | {"model.fusion": fusion, "fit.epochs": 6})
    run = train(settings, runs_root=tmp_path)
    evaluation, predictions = evaluate_run(run)
    table = predictions.to_frame()
    assert evaluation.subsets["test"].accuracy > 0.6
    assert evaluation.subsets["test"].n == 36
    prior = run.load().model.log_prior.exp().numpy()
    unreadable = table[table["status"] == "unreadable"].filter(like="p_").to_numpy()
    np.testing.assert_allclose(unreadable, np.tile(prior, (len(unreadable), 1)), rtol=1e-4)
    stated = run.read_config().settings.model.keywords["encoder_settings"]
    assert stated["widths"] == [8]
    assert stated["dropout"] == 0.5, "what was not given is stated"
    assert run.read_config().graph.name == "anatomical"


@pytest.mark.slow
def test_it_goes_on_as_if_never_cut(image_settings, tmp_path, monkeypatch):
    settings = image_settings("fusion", **SMALL | {"fit.epochs": 3, "name": "whole"})
    whole = train(settings, runs_root=tmp_path)

    class Stop(Exception):
        pass

    import lightning.pytorch as pl

    class Cut(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            if trainer.current_epoch == 1:
                raise Stop

    cut = settings.model_copy(update={"name": "cut"})
    with pytest.raises(Stop):
        train(cut, runs_root=tmp_path, callbacks=[Cut()])
    from landmarkfer.runs.folder import RunFolder

    again = resume(RunFolder(tmp_path / "cut"))
    ours, theirs = (run.load().model.state_dict() for run in (again, whole))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, msg=name)


class TestBranches:
    @pytest.fixture
    def image_run(self, image_settings, tmp_path):
        return train(image_settings(name="pixels", **{"fit.epochs": 3}), runs_root=tmp_path)

    @pytest.fixture
    def encoder_run(self, image_settings, tmp_path):
        keywords = {f"model.{key}": value for key, value in SMALL["model.encoder_settings"].items()}
        settings = image_settings("gnn", **keywords | {"model.graph": "anatomical", "name": "landmarks"})
        return train(settings, runs_root=tmp_path)

    def test_frozen_branches_of_finished_runs_leave_a_weight_to_choose(
        self, image_settings, image_run, encoder_run, tmp_path
    ):
        branches = {"branches.image": str(image_run.path), "branches.encoder": str(encoder_run.path)}
        branches |= {"branches.freeze": ["image", "encoder"]}
        settings = image_settings("fusion", **SMALL | branches | {"model.fusion": "late", "fit.epochs": 1})
        run = train(settings, runs_root=tmp_path)
        model, pixels = run.load().model, image_run.load().model
        for name, value in pixels.state_dict().items():
            if name not in OF_ITS_DATA:
                assert torch.equal(model.image.state_dict()[name], value), name
        assert model.head.weight.abs().max() > 0

    def test_a_frozen_branch_sees_images_as_in_its_training(self, image_settings, image_run, tmp_path):
        branches = {"branches.image": str(image_run.path), "branches.freeze": ["image"], "model.crop": 0.5}
        with pytest.raises(
            RunError, match=r"run 'pixels' was trained with model\.crop=1\.0, .* set model\.crop="
        ):
            train(image_settings("fusion", **SMALL | branches), runs_root=tmp_path)

    def test_a_run_of_another_model(self, image_settings, image_run, encoder_run, tmp_path):
        pixels, landmarks = str(image_run.path), str(encoder_run.path)
        other_backbone = {"model.backbone": "cnn-small", "model.width": 64, "branches.image": pixels}
        wider = {**SMALL["model.encoder_settings"], "hidden": [32]}
        for settings, match in (
            ({"branches.image": landmarks}, "'landmarks' is a model 'gnn', and the image branch is 'image'"),
            ({"branches.encoder": pixels}, "'pixels' is a model 'image', and the encoder branch is 'gnn'"),
            (other_backbone, r"has the image network 'resnet-fer', .*set model\.backbone=resnet-fer"),
            (
                {"branches.encoder": landmarks, "model.encoder_settings": wider},
                r"not the encoder branch of this one \(.* differs\); set model\.encoder_settings\.hidden=\[",
            ),
            (
                {"branches.image": pixels, "data.classes": ["sad", "happy"]},
                "trained on angry, happy, sad, and",
            ),
        ):
            with pytest.raises(RunError, match=match):
                train(image_settings("fusion", **SMALL | settings), runs_root=tmp_path)

    def test_names_are_checked_before_the_data_is_read(self, image_settings, tmp_path, monkeypatch):
        monkeypatch.setattr("landmarkfer.training.fit.open_caches", None)
        for name, settings, error in (
            ("fusion", SMALL | {"branches.image": "nobody"}, "nobody"),
            ("mlp", {"init": "nobody"}, "nobody"),
            ("gnn", {"model.graph": "nothing"}, "there is no graph 'nothing'"),
            ("gnn", {"model.conv": "nothing"}, "nothing"),
            ("gnn", {"model.dynamic_k": 478}, "dynamic_k must be below 478"),
        ):
            with pytest.raises(LandmarkferError, match=error):
                train(image_settings(name, **settings), runs_root=tmp_path)

    def test_settings_that_contradict_each_other(self, image_settings):
        with pytest.raises(SettingsError, match="branches are of model 'fusion'"):
            image_settings(**{"branches.image": "pixels"})
        with pytest.raises(SettingsError, match="choose one"):
            image_settings("fusion", **SMALL | {"branches.image": "pixels", "init": "fused"})
        with pytest.raises(SettingsError, match="encoder is frozen and initialised from nothing"):
            image_settings("fusion", **SMALL | {"branches.freeze": ["encoder"]})


@pytest.mark.slow
def test_shuffled_landmarks_are_those_of_another_image_in_training_and_test(image_settings, tmp_path):
    settings = image_settings(
        "fusion", **SMALL | {"data.shuffled": True, "fit.epochs": 1, "name": "shuffled"}
    )
    shuffled = open_run(train(settings, runs_root=tmp_path)).dataset.faces
    plain = settings.model_copy(update={"data": settings.data.model_copy(update={"shuffled": False})})
    straight = open_run(train(plain.model_copy(update={"name": "plain"}), runs_root=tmp_path)).dataset.faces
    assert torch.equal(shuffled.image, straight.image)
    assert torch.equal(shuffled.labels, straight.labels)
    same = (shuffled.landmarks == straight.landmarks).all(dim=(1, 2)) & straight.has_face
    assert same.float().mean() < 0.1
    assert shuffled.has_face.sum() == straight.has_face.sum()
    # A face's points go with its landmarks.
    key = {
        tuple(face[:3, 0].tolist()): points
        for face, points in zip(straight.landmarks, straight.keypoints, strict=True)
    }
    for face, points in zip(shuffled.landmarks[:20], shuffled.keypoints[:20], strict=True):
        assert torch.equal(key[tuple(face[:3, 0].tolist())], points)


def test_a_fresh_model_knows_its_faces_and_pixels(image_settings, pictured_cache):
    from landmarkfer.data.dataset import label_images, load_dataset
    from landmarkfer.data.splits import make_splits
    from landmarkfer.training.setup import image_info

    settings = resolve(image_settings("fusion", **SMALL))
    labels = label_images(pictured_cache, settings.data)
    dataset = load_dataset(
        pictured_cache, settings.normalisation, labels, image_info(settings, pictured_cache)
    )
    model = initialise_model(settings, dataset, make_splits(labels[0], settings.split, 0))
    assert not torch.equal(model.encoder.std, torch.ones(478, 3))
    assert model.image.image_mean.item() != 0.5
