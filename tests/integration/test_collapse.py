"""A training that is made to collapse says so, and so does its evaluation; a healthy one says nothing."""

import json
import logging

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.evaluation.evaluate import evaluate_runs
from landmarkfer.evaluation.files import read_evaluation
from landmarkfer.runs.records import read_run
from landmarkfer.training.fit import train

SETTINGS = {"fit.epochs": 4, "fit.batch_size": 32, "split.validation": 0.3}


def same_faces(rows):
    """Nothing distinguishes the classes, and two in three images are of one of them."""
    same = next(row.landmarks for row in rows if row.landmarks is not None)
    for row in rows:
        row.landmarks = None if row.landmarks is None else same
    return [row for row in rows if row.label == "happy" or int(row.id[-7:-4]) % 4 == 0]


def one_class_of_chance(rows):
    """The few angry faces are those of other people who are happy or sad."""
    rng = np.random.default_rng(0)
    others = [row for row in rows if row.label != "angry" and row.landmarks is not None]
    for row in rows:
        if row.label == "angry" and row.landmarks is not None:
            row.landmarks = others[rng.integers(len(others))].landmarks
    return [row for row in rows if row.label != "angry" or int(row.id[-7:-4]) % 2 == 0]


class Exchange(pl.Callback):
    """Exchanges the hidden units after each epoch: no prediction changes, and the weights move far."""

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 0:
            return
        model = pl_module.model
        with torch.no_grad():
            for tensor in model.layers.state_dict().values():
                if tensor.ndim:
                    tensor.copy_(tensor.roll(4, dims=0))
            model.head.weight.copy_(model.head.weight.roll(4, dims=1))


def everything(rows):
    return rows


COLLAPSES = {
    "one class": (
        same_faces,
        {"loss.class_weights": "none", "prediction.mirror": False, "fit.epochs": 8, "split.validation": 0.5},
        [],
        ["one_class"],
        "every {image} was predicted as 'happy': the model has learnt which class is most common",
    ),
    "a class at chance": (
        one_class_of_chance,
        {"loss.class_weights": "none"},
        [],
        ["class_at_chance"],
        "(the share of all images predicted as the class) on the {n} {image}s: angry 0",
    ),
    "all at chance": (
        everything,
        {"optimiser.lr": 1e-9},
        [],
        ["at_chance", "class_at_chance"],
        "which shuffled predictions reach too (chance 33.3%, p = ",
    ),
    "a young average": (everything, {"fit.ema": 0.9999}, [], ["young_average"], None),
    "a bad average": (everything, {"fit.ema": 0.9999}, [Exchange()], ["averaged_below_plain"], None),
}
IN_TRAINING = {
    "a young average": "fit.ema=0.9999 averages over about 10,000 steps, and the training had 24: ",
    "a bad average": "after the last epoch the averaged weights predict ",
}


@pytest.mark.parametrize("name", COLLAPSES)
def test_it_is_said_in_training_and_in_evaluation(make_rows, small_settings, tmp_path, caplog, name):
    change, settings, callbacks, kinds, sentence = COLLAPSES[name]
    cache = write_cache(tmp_path / "faces", change(make_rows(100, 40)))
    given = SETTINGS | settings | {"cache": str(cache.path), "name": "run"}
    with caplog.at_level(logging.WARNING):
        run = train(small_settings(**given), runs_root=tmp_path, callbacks=callbacks)
    stored = json.loads(run.warnings_file.read_text())
    assert [one["kind"] for one in stored] == kinds
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"run 'run': {one['sentence']}" for one in stored]
    wanted = sentence or IN_TRAINING[name]
    val = len(run.read_splits()["val"])
    assert wanted.format(image="validation image", n=val) in said[0]
    assert read_run(run.path).warnings == tuple(one["sentence"] for one in stored)

    ((_, evaluation),) = evaluate_runs([run])
    test = len(run.read_splits()["test"])
    own = [one for one in evaluation.warnings if not one.startswith("in training, ")]
    assert evaluation.warnings[len(own) :] == [f"in training, {one['sentence']}" for one in stored]
    assert read_evaluation(run.path).warnings == evaluation.warnings
    if sentence:
        assert len(own) == len(kinds)
        assert sentence.format(image="test image", n=test) in own[0]


def test_a_healthy_training_says_nothing(make_rows, small_settings, tmp_path, caplog):
    cache = write_cache(tmp_path / "faces", make_rows(100, 40))
    for name, ema in (("plain", 0.0), ("averaged", 0.9)):
        given = SETTINGS | {"cache": str(cache.path), "name": name, "fit.ema": ema}
        run = train(small_settings(**given), runs_root=tmp_path)
        assert json.loads(run.warnings_file.read_text()) == []
        ((_, evaluation),) = evaluate_runs([run])
        assert evaluation.warnings == []
    assert not caplog.records


def test_a_classical_model_says_so_too(make_rows, small_settings, tmp_path, caplog):
    cache = write_cache(tmp_path / "faces", same_faces(make_rows(60, 20)))
    from landmarkfer.config.recipes import load_settings

    settings = {"model.name": "landmark-forest", "model.n_estimators": 5, "cache": str(cache.path)}
    run = train(load_settings(overrides=settings | {"split.validation": 0.3}), runs_root=tmp_path)
    assert "every validation image was predicted as 'happy'" in caplog.text
    assert "try model.class_weight=balanced" in caplog.text
    ((_, evaluation),) = evaluate_runs([run])
    assert evaluation.warnings[0].startswith("every test image was predicted as 'happy'")


@pytest.mark.parametrize("name", ["landmark-forest", "mlp"])
@pytest.mark.parametrize("found", [30, 0])
def test_few_validation_faces_are_told_of(make_rows, small_settings, tmp_path, caplog, name, found):
    """Fewer than calibration takes, and none at all."""
    rows = make_rows(100, 40)
    val = [row for row in rows if row.split == "train"][:60]  # one of which cannot be read
    for row in val:
        row.split = "val"
    for row in val[found:]:
        row.landmarks = row.deviation = row.blendshapes = None
        row.status = "no_face"
    cache = write_cache(tmp_path / "faces", rows)
    from landmarkfer.config.recipes import load_settings

    settings = {"cache": str(cache.path), "name": "run", "model.name": name}
    if name == "mlp":
        made = small_settings(**SETTINGS, **settings)
    else:
        made = load_settings(overrides=settings | {"model.n_estimators": 5})
    run = train(made, runs_root=tmp_path)
    (said,) = [one for one in run.read_warnings() if "validation images" in one and "face" in one]
    if found:
        assert "that takes 50 validation images with a face, and there are 29" in said
    else:
        assert said.startswith("no face was found in any of 59 validation images")
    assert run.load().model.calibration.answer_thresholds is None
