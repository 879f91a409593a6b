"""One training on several caches, from the command line to the evaluation of each."""

import io
import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import landmarkfer as lf
from landmarkfer.cli import cli
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.estimator import ExpressionClassifier
from landmarkfer.evaluation.evaluate import evaluate_run, evaluate_runs
from landmarkfer.evaluation.files import read_evaluation
from landmarkfer.evaluation.opened import open_run
from landmarkfer.evaluation.robustness.run import robustness
from landmarkfer.metrics.predictions import read_predictions
from landmarkfer.progress import SILENT
from landmarkfer.runs.config import read_config
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.groups import System
from landmarkfer.runs.records import read_run
from landmarkfer.training import network
from landmarkfer.training.cache_figures import cache_columns
from landmarkfer.training.fit import resume, train
from landmarkfer.training.resolve import resolve
from landmarkfer.training.setup import open_caches, set_up

PERSON, COPIES = "person 3", 6


def other_rows(make, **options):
    """Other faces than those of the first cache under the same ids, without splits, in known groups."""
    rows = make(**{"train": 30, "test": 4, "seed": 5} | options)
    for number, row in enumerate(rows):
        row.split = row.subset = None
        row.group = f"person {number % 17}"
        row.sha256 = None if row.sha256 is None else f"f{row.sha256[1:]}"
    return rows


@pytest.fixture(scope="module")
def caches(make_pictured_rows, tmp_path_factory):
    """`first` has test images of its own; `second` has none, and one image of the first's test among others.

    It has that image some times, of one person, who trains.
    """
    root = tmp_path_factory.mktemp("several")
    first, second = make_pictured_rows(), other_rows(make_pictured_rows)
    of_test = next(row for row in first if row.id == "test/sad/003.png")
    copies = [row for row in second if row.group == PERSON and row.status == "ok"]
    assert len(copies) == COPIES
    for row in copies:
        row.sha256 = of_test.sha256
    return [write_cache(root / name, rows) for name, rows in (("first", first), ("second", second))]


@pytest.fixture(scope="module")
def settings(caches, small_settings):
    def made(model="mlp", **overrides):
        several = {"cache": [str(one.path) for one in caches]}
        return small_settings(model, **several | overrides)

    return made


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    return train(settings(name="both", **{"fit.epochs": 3}), runs_root=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def evaluated(run):
    [(_, evaluation)] = evaluate_runs([run])
    return evaluation, read_predictions(run.path / "predictions.parquet")


class TestARun:
    def test_states_its_caches(self, run, caches):
        config = run.read_config()
        assert [(one.path, one.fingerprint) for one in config.cache.members] == [
            (one.path.as_posix(), one.fingerprint) for one in caches
        ]
        assert config.cache.path == "first+second"
        assert config.cache.rows == sum(map(len, caches))
        assert config.settings.cache == [str(one.path) for one in caches]
        record = read_run(run.path)
        assert (record.cache, record.caches) == ("first+second", ("first", "second"))

    def test_splits_each_as_a_run_on_it_alone(self, run, caches, settings, tmp_path):
        splits = run.read_splits()
        for cache in caches:
            alone = train(
                settings(cache=str(cache.path), **{"fit.epochs": 1}), runs_root=tmp_path / cache.name
            ).read_splits()
            for part in ("val", "test"):
                own = [one for one in splits[part] if one.startswith(f"{cache.name}/")]
                assert own == [f"{cache.name}/{one}" for one in alone[part]]
            trained = {one for one in splits["train"] if one.startswith(f"{cache.name}/")}
            left_out = {f"{cache.name}/{one}" for one in alone["train"]} - trained
            assert len(left_out) == {"first": 0, "second": COPIES}[cache.name]

    def test_validates_each(self, run):
        epochs = pd.read_csv(run.metrics_file)
        assert list(epochs)[-12:] == cache_columns(["first", "second"])
        splits = run.read_splits()
        counts = [sum(one.startswith(f"{name}/") for one in splits["val"]) for name in ("first", "second")]
        pooled = epochs[["val_accuracy_first", "val_accuracy_second"]] @ counts / sum(counts)
        np.testing.assert_allclose(epochs["val_accuracy"], pooled, atol=1e-6)
        mean = epochs[["val_accuracy_first", "val_accuracy_second"]].mean(axis=1)
        np.testing.assert_allclose(epochs["val_accuracy_cache_mean"], mean, atol=1e-6)

    def test_resumes_as_if_it_had_not_been_interrupted(self, run, settings, tmp_path):
        class Interrupt(network.pl.Callback):
            def on_train_epoch_end(self, trainer, pl_module):
                if trainer.current_epoch == 1:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(settings(name="both", **{"fit.epochs": 3}), runs_root=tmp_path, callbacks=[Interrupt()])
        again = resume(lf.RunFolder(tmp_path / "both"))
        assert again.weights_file.read_bytes() == run.weights_file.read_bytes()
        columns = [name for name in pd.read_csv(run.metrics_file) if name != "seconds"]
        pd.testing.assert_frame_equal(
            pd.read_csv(again.metrics_file)[columns], pd.read_csv(run.metrics_file)[columns]
        )

    def test_of_a_cache_that_has_changed_does_not(self, run, tmp_path):
        path = tmp_path / "config.json"
        saved = json.loads(run.config_file.read_text())
        saved["cache"]["members"][1]["fingerprint"] = "of others"
        path.write_text(json.dumps(saved))
        (tmp_path / "splits.json").write_bytes(run.splits_file.read_bytes())
        with pytest.raises(RunError, match="second has changed since run"):
            resume(lf.RunFolder(tmp_path))
        saved["cache"]["fingerprint"] = "of others"
        path.write_text(json.dumps(saved))
        (tmp_path / "model.safetensors").write_bytes(run.weights_file.read_bytes())
        with pytest.raises(CacheError, match="second is no longer the cache that run"):
            open_run(lf.RunFolder(tmp_path))


class TestEvaluation:
    def test_has_rows_for_all_and_for_each(self, run, evaluated):
        evaluation, predictions = evaluated
        assert list(evaluation.subsets)[:4] == ["test", "test_detected", "first", "second"]
        assert {"public", "private"} < set(evaluation.subsets)
        of = {name: evaluation.subsets[name] for name in ("test", "first", "second")}
        assert of["test"].n == of["first"].n + of["second"].n == len(run.read_splits()["test"])
        assert set(predictions.caches) == {"first", "second"}
        correct = predictions.correct[predictions.caches == "second"]
        assert of["second"].accuracy == pytest.approx(correct.mean())
        assert read_evaluation(run.path) == evaluation

    def test_of_one_cache_is_on_the_test_images_of_the_run(self, run, evaluated, caches):
        _, whole = evaluated
        for cache in caches:
            evaluation, predictions = evaluate_run(run, cache.path)
            own = whole.rows(whole.caches == cache.name)
            assert [f"{cache.name}/{one}" for one in predictions.ids] == own.ids.tolist()
            np.testing.assert_allclose(predictions.probabilities, own.probabilities, atol=1e-6)
            assert evaluation.subsets["test"].accuracy == whole_accuracy(own)
            assert evaluation.other_data.cache == cache.name

    def test_of_one_cache_knows_which_images_trained(self, run, caches):
        """Test images of the first that are pixel-identical to images that the run was trained on."""
        predictions = evaluate_run(run, caches[0].path)[1]
        trained = set(run.read_splits()["train"]) | set(run.read_splits()["val"])
        hashes = open_run(run).dataset.frame.set_index("id")["sha256"]
        known = set(hashes[list(trained)].dropna())
        expected = [hashes[f"first/{one}"] not in known for one in predictions.ids]
        assert predictions.clean.tolist() == expected
        assert 0 < sum(expected) < len(expected)

    def test_of_a_copy_of_one_cache_elsewhere(self, run, evaluated, caches, tmp_path):
        shutil.copytree(caches[1].path, tmp_path / "moved")
        assert len(evaluate_run(run, tmp_path / "moved")[1]) == evaluated[0].subsets["second"].n

    def test_with_one_cache_gone_names_the_other(self, run, caches, tmp_path):
        moved = RunFolder(tmp_path / "run")
        shutil.copytree(run.path, moved.path)
        config = moved.read_config()
        gone, left = config.cache.members
        members = (gone.model_copy(update={"path": str(tmp_path / "gone")}), left)
        info = config.cache.model_copy(update={"members": members})
        moved.write_config(config.model_copy(update={"cache": info}))
        with pytest.raises(CacheError, match=rf"gone is no landmark cache.*name it: --cache {left.path}\."):
            open_run(moved)

    def test_of_another_cache(self, run, make_rows, tmp_path):
        third = write_cache(tmp_path / "third", other_rows(make_rows, seed=8))
        predictions = evaluate_run(run, third.path)[1]
        assert predictions.caches is None
        assert len(predictions) == sum(third.frame()["label"].notna())

    def test_without_splits_they_follow_from_the_settings(self, run, evaluated, caches, tmp_path):
        for file in (run.config_file, run.weights_file):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        alone = lf.RunFolder(tmp_path)
        assert open_run(alone).predict_test().ids.tolist() == evaluated[1].ids.tolist()
        own = evaluate_run(alone, caches[1].path)[1]
        assert len(own) == evaluated[0].subsets["second"].n

    def test_as_a_scikit_learn_estimator_scores_no_training_images_of_one_cache(self, run, caches):
        splits, frame = run.read_splits(), caches[1].frame()
        seen = ("second/" + frame["id"]).isin([*splits["train"], *splits["val"]])
        assert seen.sum() > 40
        estimator = ExpressionClassifier.from_run(run.path)
        counted = (frame["label"].notna() & ~seen).to_numpy()
        expected = (estimator.predict(caches[1]) == frame["label"])[counted].mean()
        assert estimator.score(caches[1]) == pytest.approx(expected)

    def test_under_another_prior_has_a_folder_of_its_own(self, run):
        evaluate_runs([run], prior="uniform")
        stated = json.loads((run.path / "on-first+second" / "applied.json").read_text())
        assert [path.rpartition("/")[2] for path in stated["cache"]] == ["first", "second"]

    def test_near_duplicates_are_sought_in_all_caches(self, run, evaluated):
        opened = open_run(run)
        marked = opened.with_near_duplicates(opened.predict_test())
        assert marked.clean_near is not None
        assert (opened.cache.store / "near-duplicates.parquet").exists()

    def test_further_versions_are_of_one_cache(self, run, caches):
        with pytest.raises(SettingsError, match=r"was trained on several caches.*name it: --cache first\."):
            evaluate_run(run, also=[caches[0].path])

    def test_robustness_is_of_one_cache(self, run):
        expected = r"'both' was trained on first\+second, and robustness is .*name it: --cache first\."
        with pytest.raises(SettingsError, match=expected):
            robustness([System("both", {0: (run,)})])


def whole_accuracy(predictions):
    return pytest.approx(predictions.correct.mean())


class TestShares:
    def test_an_epoch_draws_each_cache_as_often_as_stated(self, settings, tmp_path, monkeypatch):
        drawn = []
        original = network.ExpressionTask.training_step

        def noted(self, batch, number):
            drawn.extend(batch.caches.tolist())
            return original(self, batch, number)

        monkeypatch.setattr(network.ExpressionTask, "training_step", noted)
        shares = {"sampling.shares": {"first": 0.2, "second": 0.8}, "fit.batch_size": 4}
        run = train(settings(**shares, **{"fit.epochs": 1}), runs_root=tmp_path)
        assert np.mean(drawn) == pytest.approx(0.8, abs=0.03)
        drawn.clear()
        train(settings(**{"fit.batch_size": 4, "fit.epochs": 1}), runs_root=tmp_path)
        assert np.mean(drawn) < 0.5, "as many as each has images"
        whole = run.weights_file.read_bytes()
        run.weights_file.unlink()
        assert resume(run).weights_file.read_bytes() == whole

    def test_the_prior_the_class_weights_and_the_calibration_are_of_the_draws(self, settings, caches):
        def training(**overrides):
            resolved = resolve(settings(**overrides))
            return set_up(resolved, open_caches(resolved), SILENT)

        stated = training(**{"sampling.shares": {"first": 0.1, "second": 0.9}})
        labels = stated.dataset.faces.labels.numpy()[stated.splits.train]
        of_cache = stated.dataset.faces.caches.numpy()[stated.splits.train]
        counts = np.stack([np.bincount(labels[of_cache == number], minlength=3) for number in (0, 1)])
        expected = np.array([0.1, 0.9]) @ (counts / counts.sum(axis=1, keepdims=True))
        np.testing.assert_allclose(stated.model.prior, expected, rtol=1e-5)
        np.testing.assert_allclose(stated.class_counts, expected * len(labels))
        np.testing.assert_allclose(
            stated.log_class_weights, -0.5 * (np.log(expected) - np.log(expected).mean()), atol=1e-5
        )
        validating = stated.dataset.faces.caches.numpy()[stated.splits.val]
        share = stated.validation_weights[validating == 1].sum() / len(validating)
        assert share == pytest.approx(0.9)
        plain = training()
        share = plain.validation_weights[validating == 1].sum() / len(validating)
        assert share == pytest.approx(np.mean(of_cache), abs=1e-9)

    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            (
                {"sampling.shares": {"first": 1.0}},
                "must give a share for each of first, second; it has first",
            ),
            (
                {"sampling.shares": {"first": 0.7, "second": 0.7}},
                "above 0 and sum to 1, not first = 0.7, sec",
            ),
            ({"sampling.shares": {"first": 1.0, "second": 0.0}}, "leave out a cache of share 0"),
            (
                {"sampling.shares": {"first": 0.5, "second": 0.5}, "sampling.name": "balanced"},
                "how often each class is, which need not agree",
            ),
            (
                {"fit.monitor": "val_loss_cache_mean", "cache": "first"},
                "of several caches, and one is trained",
            ),
            ({"cache": []}, "of several caches it is a list of their names"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, settings, tmp_path, overrides, said):
        with pytest.raises(SettingsError, match=said):
            train(settings(**overrides), runs_root=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_of_one_cache_are_refused(self, settings, caches, tmp_path):
        one = {"cache": str(caches[0].path), "sampling.shares": {"first": 1.0}}
        with pytest.raises(SettingsError, match="'first' is the only one"):
            train(settings(**one), runs_root=tmp_path)


class TestTheBestEpoch:
    def test_may_be_that_of_the_mean_over_caches(self, settings, tmp_path):
        monitor = "val_loss_cache_mean"
        run = train(settings(**{"fit.monitor": monitor, "fit.epochs": 4}), runs_root=tmp_path)
        epochs = pd.read_csv(run.metrics_file)
        stored = int(epochs["epoch"][epochs[monitor].argmin()])
        assert read_run(run.path).best_epoch == stored
        best, last = (run.read_checkpoint(path) for path in (run.best_checkpoint, run.last_checkpoint))
        assert best["global_step"] == epochs["step"][stored - 1]
        assert last["global_step"] == epochs["step"].iloc[-1]


class TestClasses:
    def test_are_matched_by_name(self, caches, settings, make_pictured_rows, tmp_path, caplog):
        rows = other_rows(make_pictured_rows, seed=6)
        for row in rows:
            row.label = {"angry": "contempt"}.get(row.label, row.label)
        other = write_cache(tmp_path / "other", rows)
        several = {"cache": [str(caches[0].path), str(other.path)], "fit.epochs": 1}
        with caplog.at_level(logging.WARNING):
            run = train(settings(name="union", **several), runs_root=tmp_path)
        assert run.read_config().classes == ("angry", "happy", "sad", "contempt")
        assert "only 'first' has training images of angry" in caplog.text
        assert "only 'other' has training images of contempt" in caplog.text
        chosen = {"data.merge": {"tense": ["angry", "contempt"]}, "data.classes": ["tense", "happy"]}
        run = train(settings(name="merged", **several, **chosen), runs_root=tmp_path)
        assert run.read_config().classes == ("happy", "tense")
        evaluation, _ = evaluate_run(run, other.path)
        assert evaluation.subsets["test"].n == len(
            [one for one in run.read_splits()["test"] if one.startswith("other/")]
        )

    def test_votes_of_one_cache(self, caches, settings, make_pictured_rows, tmp_path):
        rows = other_rows(make_pictured_rows, seed=6)
        for row in rows:
            row.label = {"angry": "contempt"}.get(row.label, row.label)
            if row.split != "test" and row.label is not None:
                row.votes = (1.0, 2.0, 5.0)  # happy, sad, contempt
        other = write_cache(tmp_path / "other", rows)
        resolved = resolve(settings(cache=[str(caches[0].path), str(other.path)], **{"data.labels": "votes"}))
        training = set_up(resolved, open_caches(resolved), SILENT)
        assert training.dataset.classes == ("angry", "happy", "sad", "contempt")
        targets = training.dataset.faces.targets
        voted = [row.votes is not None for row in rows]
        of_other = targets[len(caches[0]) :][torch.tensor(voted)]
        np.testing.assert_allclose(of_other, [[0, 1 / 8, 2 / 8, 5 / 8]] * len(of_other))


class TestOfflineAugmentation:
    def copies(self, cache, make, path, ids=None, **options):
        rows = make(**options)
        some = rows if ids is None else [row for row in rows if row.id in ids]
        return write_cache(path, [replace(row, label=None, split=None) for row in some])

    def test_belongs_to_the_cache_that_has_its_images(self, caches, settings, make_pictured_rows, tmp_path):
        """The first cache alone has `train/*/035.png`."""
        more = self.copies(caches[0], make_pictured_rows, tmp_path / "more", seed=3)
        resolved = resolve(settings(**{"data.also": [str(more.path)]}))
        training = set_up(resolved, open_caches(resolved), SILENT)
        joined = sum(map(len, caches))
        added = training.dataset.frame.iloc[joined:]
        assert added["id"].str.startswith("first/").all() and len(added)
        assert set(training.dataset.faces.caches[joined:].tolist()) == {0}
        own = training.splits.train[training.dataset.faces.caches.numpy()[training.splits.train] == 0]
        assert len(added) == len(own)

    def test_that_may_be_of_either_is_refused(self, caches, settings, make_pictured_rows, tmp_path):
        both = {f"train/{label}/{number:03}.png" for label in ("happy", "sad") for number in range(9)}
        more = self.copies(caches[0], make_pictured_rows, tmp_path / "more", both)
        with pytest.raises(CacheError, match="more are in first and in second alike"):
            train(settings(**{"data.also": [str(more.path)]}), runs_root=tmp_path)

    def test_of_neither(self, settings, make_rows, tmp_path):
        more = write_cache(tmp_path / "more", [replace(row, id=f"x{row.id}") for row in make_rows()])
        with pytest.raises(CacheError, match="more has images that none of first, second has"):
            train(settings(**{"data.also": [str(more.path)]}), runs_root=tmp_path)


def test_images_of_two_sizes_train_one_network(caches, image_settings, make_pictured_rows, tmp_path):
    rows = other_rows(make_pictured_rows, seed=6)
    for row in rows:
        if row.face is not None:
            image = Image.open(io.BytesIO(row.face)).resize((40, 40))
            file = io.BytesIO()
            image.save(file, "PNG")
            row.face, row.width, row.height = file.getvalue(), 40, 40
    large = write_cache(tmp_path / "large", rows)
    run = train(
        image_settings(cache=[str(caches[0].path), str(large.path)], **{"fit.epochs": 1}),
        runs_root=tmp_path / "runs",
    )
    config = run.read_config()
    assert config.images.size == 40
    assert config.frame.size == 40
    assert list(evaluate_run(run)[0].subsets)[2:4] == ["first", "large"]


def test_a_classical_model(settings, tmp_path):
    classical = {"model.name": "landmark-svm", "cache": list(settings().caches)}
    run = train(load_settings(overrides=classical), runs_root=tmp_path)
    [row] = pd.read_csv(run.metrics_file).to_dict("records")
    assert set(cache_columns(["first", "second"])) < set(row)
    assert {"first", "second"} < set(evaluate_run(run)[0].subsets)
    shares = {"sampling.shares": {"first": 0.5, "second": 0.5}}
    with pytest.raises(SettingsError, match="'sampling' is for networks"):
        train(load_settings(overrides=classical | shares))


class TestAsAUserWould:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path, monkeypatch, make_rows):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        write_cache("cache/faces", make_rows())
        write_cache("cache/photos", other_rows(make_rows))
        return tmp_path

    SMALL = ("model.hidden=[8]", "model.features=displacement", "fit.batch_size=16", "fit.device=cpu")

    def run(self, *words):
        return CliRunner().invoke(cli, words, catch_exceptions=False)

    def test_on_the_command_line(self, place):
        sets = [word for one in self.SMALL for word in ("--set", one)]
        words = ("train", "--model", "mlp", "--cache", "faces", "--cache", "photos", "--epochs", "1")
        result = self.run(*words, *sets, "--set", "sampling.shares={faces = 0.5, photos = 0.5}")
        assert result.exit_code == 0, result.output
        assert "(faces " in result.output and "photos " in result.output, "each is validated"
        config = read_config(place / "experiments/runs/mlp-s0/config.json")
        assert config.settings.cache == ["faces", "photos"]
        assert config.settings.sampling.shares == {"faces": 0.5, "photos": 0.5}
        shown = self.run("evaluate", "mlp-s0").output
        for name in ("test ", "faces ", "photos "):
            assert any(line.strip().startswith(name) for line in shown.splitlines()), shown
        assert self.run("evaluate", "mlp-s0", "--cache", "photos").exit_code == 0
        assert (place / "experiments/runs/mlp-s0/on-photos/metrics.json").exists()
        listed = self.run("runs", "--cache", "photos").output
        assert "mlp-s0" in listed and "faces+photos" in listed
        assert "None of the 1 run fits" in self.run("runs", "--cache", "others").output

    def test_in_a_recipe_and_in_python(self, place):
        recipe = place / "mine.toml"
        recipe.write_text(
            'cache = ["faces", "photos"]\n[model]\nname = "mlp"\nhidden = [8]\nfeatures = "displacement"\n'
            '[fit]\nepochs = 1\nbatch_size = 16\ndevice = "cpu"\n[sampling]\n'
            "shares = { faces = 0.25, photos = 0.75 }\n"
        )
        first = lf.train(recipe=recipe, name="of-recipe")
        assert first.read_config().cache.path == "faces+photos"
        caches = [LandmarkCache.open("cache/faces"), "photos"]
        second = lf.train(recipe=recipe, cache=caches, name="of-python")
        assert second.weights_file.read_bytes() == first.weights_file.read_bytes()
        assert {"faces", "photos"} < set(lf.evaluate(second).subsets)

    def test_a_list_of_one_is_that_cache(self):
        settings = {"model.hidden": [8], "model.features": "displacement"}
        run = lf.train("mlp", ["faces"], epochs=1, settings=settings, device="cpu")
        assert run.read_config().settings.cache == "faces"
        assert run.read_config().cache.members == ()
