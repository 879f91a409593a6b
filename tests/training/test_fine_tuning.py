"""Fine-tuning of the models that ship: what is taken from them, what is refused, and which weights."""

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import landmarkfer as lf
from landmarkfer.cli import cli
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.progress import SILENT
from landmarkfer.runs.folder import RunFolder, find_run
from landmarkfer.runs.records import read_run
from landmarkfer.runs.shipped import SHIPPED, folder_of_shipped, shipped_run
from landmarkfer.training.fine_tuning import DEFAULTS, with_shipped
from landmarkfer.training.fit import resume, train
from landmarkfer.training.multirun import repetitions, train_multirun
from landmarkfer.training.resolve import resolve
from landmarkfer.training.setup import open_caches, set_up

FACEMESH = shipped_run("fusion-facemesh"), shipped_run("landmarks-facemesh")


@pytest.fixture(scope="module")
def cache_of(make_pictured_rows, tmp_path_factory):
    """Own images, of three classes, one of which no model that ships knows."""
    root = tmp_path_factory.mktemp("own")

    def write(name, detector="facemesh", settings=None, seed=0):
        if not (root / name).exists():
            rows = make_pictured_rows(train=12, test=4, seed=seed)
            for row in rows:
                row.label = {"angry": "smirk"}.get(row.label, row.label)
                if row.sha256 is not None:
                    row.sha256 = f"{seed}{row.sha256[1:]}"
            write_cache(
                root / name, rows, detector=detector, settings={"crop": 52, "passes": 1} | (settings or {})
            )
        return str(root / name)

    return write


@pytest.fixture
def own(cache_of):
    return cache_of("own")


def settings_of(cache, init="shipped", **overrides):
    return load_settings(overrides={"cache": cache, "init": init, "fit.device": "cpu", **overrides})


class TestWhatIsTaken:
    def test_all_that_makes_the_model_what_it_is(self, own, monkeypatch):
        config = FACEMESH[0].read_config()
        five = config.settings.prediction.model_copy(update={"crops": "five"})
        shipped = config.settings.model_copy(update={"prediction": five})
        made = config.model_copy(update={"settings": shipped})
        monkeypatch.setattr(type(FACEMESH[0]), "read_config", lambda run: made)
        found = with_shipped(settings_of(own))
        assert found.init == "fusion-facemesh"
        assert found.model == shipped.model
        assert found.normalisation == shipped.normalisation
        assert found.augment == shipped.augment
        assert found.prediction.crops == "five"
        assert found.optimiser.lr == DEFAULTS["optimiser"]["lr"] < load_settings().optimiser.lr
        assert found.fit.epochs == DEFAULTS["fit"]["epochs"] < load_settings().epochs
        assert resolve(found) == resolve(settings_of(own)), "it stays what it is"

    def test_the_model_of_the_detector_of_the_cache(self, own, cache_of):
        for detector in ("facemesh", "landmarker"):
            for name in SHIPPED:
                found = with_shipped(settings_of(cache_of(detector, detector), name))
                assert found.init == f"{name}-{detector}"
        assert with_shipped(settings_of(own, "landmarks-facemesh")).model.name == "mlp"

    def test_what_is_stated_stays(self, own):
        stated = {
            "optimiser.lr": 0.002,
            "fit.epochs": 3,
            "augment.image.blur": 0.0,
            "prediction.crops": "five",
        }
        stated |= {"loss.smoothing": 0.0, "model.name": "fusion", "model.fusion": "late"}
        found = with_shipped(settings_of(own, **stated))
        assert (found.optimiser.lr, found.fit.epochs, found.prediction.crops) == (0.002, 3, "five")
        assert found.augment.image.blur == 0.0
        assert found.augment.image.rotation == FACEMESH[0].read_config().settings.augment.image.rotation
        assert found.loss.smoothing == 0.0

    def test_dropout_may_be_stated(self, own):
        found = with_shipped(settings_of(own, **{"model.dropout": 0.6}))
        assert found.model.keywords["dropout"] == 0.6
        assert found.model.keywords["size"] == FACEMESH[0].read_config().settings.model.keywords["size"]

    def test_another_number_of_detections_is_said_once(self, cache_of, caplog):
        settings = settings_of(cache_of("one-pass"), "landmarks")
        for _ in range(2):
            with_shipped(settings)
        (said,) = (one for one in caplog.messages if "one-pass" in one)
        assert "averaged over 3 detections" in said and "are over 1; `landmarkfer extract --passes 3`" in said

    def test_stages_have_epochs_of_their_own(self, own):
        stages = [{"train": "head", "epochs": 1}, {"train": "full", "epochs": 2}]
        found = with_shipped(settings_of(own, stages=stages, **{"optimiser.schedule": "constant"}))
        assert found.epochs == 3 and found.fit.epochs is None
        assert found.fit.batch_size == DEFAULTS["fit"]["batch_size"]

    def test_settings_without_a_model_that_ships_are_as_they_were(self, own, tmp_path):
        for init in (None, "gnn-s0", "fused"):
            settings = settings_of(own, init)
            assert with_shipped(settings) is settings

    def test_a_run_of_that_name_goes_first(self, own, tmp_path, monkeypatch, tiny_settings):
        monkeypatch.chdir(tmp_path)
        train(tiny_settings(name="landmarks", **{"fit.epochs": 1}))
        settings = settings_of(own, "landmarks")
        assert with_shipped(settings) is settings


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            (
                {"model.name": "gnn"},
                r"'model\.name' = 'gnn' contradicts 'init' = 'shipped', whose model has 'fus",
            ),
            ({"model.size": 64}, r"'model\.size' = 64 contradicts .*, whose model has 96; leave it out"),
            (
                {"model.readout": "region"},
                r"'model\.readout' = 'region' .*, whose model has no such setting; leave",
            ),
            (
                {"model.encoder_settings": {"hidden": [9]}},
                r"'model\.encoder_settings\.hidden' = \[9\] contradic",
            ),
            ({"normalisation.align": "none"}, r"'normalisation\.align' = 'none' contradicts"),
        ],
    )
    def test_another_model(self, own, overrides, said):
        with pytest.raises(SettingsError, match=said):
            resolve(settings_of(own, **overrides))

    def test_widths_of_the_perceptron(self, own):
        with pytest.raises(SettingsError, match=r"'model\.hidden' = \[64\] contradicts 'init' = 'landmarks'"):
            resolve(settings_of(own, "landmarks", **{"model.hidden": [64]}))

    def test_landmarks_of_another_detector(self, own, cache_of):
        with pytest.raises(
            SettingsError, match=r"own has those of the detector 'facemesh'; take 'init' = 'fusion'"
        ):
            resolve(settings_of(own, "fusion-landmarker"))
        with pytest.raises(
            SettingsError, match=r"of the detector 'none'; extract it with one of the package's"
        ):
            resolve(settings_of(cache_of("none", "none"), "landmarks"))

    @pytest.mark.parametrize(("crop", "said"), [(None, "has whole images"), (96, "has crops of 96")])
    def test_images_that_show_faces_otherwise(self, cache_of, crop, said):
        cache = cache_of(f"crop-{crop}", settings={"crop": crop})
        with pytest.raises(
            SettingsError,
            match=rf"{said}; extract it again with --crop 112 --passes 3, or take 'init' = 'landmarks'",
        ):
            resolve(settings_of(cache))
        assert resolve(settings_of(cache, "landmarks")).init == "landmarks-facemesh"

    def test_a_cache_that_is_not_there(self):
        with pytest.raises(CacheError, match="gone is no landmark cache"):
            resolve(settings_of("gone"))


@pytest.mark.parametrize(("name", "heads"), [("fusion", ("image.head", "head")), ("landmarks", ("head",))])
def test_weights_are_those_of_the_model_and_of_its_classes_in_the_head(own, name, heads):
    resolved = resolve(settings_of(own, name))
    training = set_up(resolved, open_caches(resolved), SILENT)
    shipped = shipped_run(resolved.init).load()
    assert training.dataset.classes == ("happy", "sad", "smirk")
    places = [shipped.config.classes.index(one) for one in ("happy", "sad")]
    new, old = training.model.state_dict(), shipped.model.state_dict()
    in_heads = [f"{head}.{what}" for head in heads for what in ("weight", "bias") if f"{head}.{what}" in new]
    assert len(in_heads) == (3 if name == "fusion" else 2)
    for key in in_heads:
        assert torch.equal(new[key][:2], old[key][places]), key
        assert len(new[key]) == 3 and new[key][2].abs().sum() > 0
    others = [key for key in new if key not in in_heads and new[key].shape == old[key].shape]
    own_data = ("log_prior", "class_offset", "scale_matrix", "scale_bias", "answer_thresholds")
    for key in others:
        if not key.endswith(own_data):
            assert torch.equal(new[key], old[key]), key
    assert len(others) > 8
    expected = np.bincount(training.dataset.faces.labels[training.splits.train]) / len(training.splits.train)
    np.testing.assert_allclose(training.model.prior, expected, rtol=1e-5)


class TestOrdinaryRuns:
    def test_classes_of_another_order_are_matched(
        self, make_rows, small_settings, tmp_path, monkeypatch, caplog
    ):
        """`merge` renames the classes, so that their order and their number are others."""
        monkeypatch.chdir(tmp_path)
        cache = write_cache("cache/faces", make_rows())
        few = {"fit.epochs": 1, "prediction.calibrate": False}
        first = train(small_settings(cache=str(cache.path), name="first", **few))
        names = {"zeal": ["happy"], "angry": ["angry"], "sad": ["sad"]}
        settings = small_settings(cache=str(cache.path), init="first", **{"data.merge": names})
        resolved = resolve(settings)
        training = set_up(resolved, open_caches(resolved), SILENT)
        assert training.dataset.classes == ("angry", "sad", "zeal")
        old = find_run("first").load()
        assert old.config.classes == ("angry", "happy", "sad")
        weight, before = training.model.head.weight, old.model.head.weight
        assert torch.equal(weight[:2], before[[0, 2]])
        assert not torch.equal(weight[2], before[1])
        assert first.finished and not caplog.text

    def test_without_a_common_class_that_is_said(
        self, make_rows, small_settings, tmp_path, monkeypatch, caplog
    ):
        monkeypatch.chdir(tmp_path)
        cache = write_cache("cache/faces", make_rows())
        train(small_settings(cache=str(cache.path), name="first", **{"fit.epochs": 1}))
        names = {"a": ["happy"], "b": ["angry"], "c": ["sad"]}
        resolved = resolve(small_settings(cache=str(cache.path), init="first", **{"data.merge": names}))
        set_up(resolved, open_caches(resolved), SILENT)
        assert "no class of run 'first' (angry, happy, sad) is one here" in caplog.text


class TestTraining:
    def test_starts_where_the_model_is_and_resumes(self, own, tmp_path):
        settings = settings_of(own, "landmarks", name="tuned", **{"fit.epochs": 2})
        run = train(settings, runs_root=tmp_path)
        config = run.read_config()
        assert (config.settings.init, config.settings.optimiser.lr) == ("landmarks-facemesh", 1e-3)
        assert config.classes == ("happy", "sad", "smirk")
        assert config.cache.extraction["detector"] == "facemesh"
        assert read_run(run.path).lineage == "from landmarks-facemesh"
        whole = run.weights_file.read_bytes()
        run.weights_file.unlink()
        assert resume(run).weights_file.read_bytes() == whole

    def test_is_nearer_to_the_model_than_a_fresh_one(self, own, tmp_path):
        run = train(settings_of(own, "landmarks", **{"fit.epochs": 1}), runs_root=tmp_path)
        tuned, shipped = run.load().model, FACEMESH[1].load().model
        [first, *_] = [name for name, _ in tuned.named_parameters()]
        moved = (tuned.state_dict()[first] - shipped.state_dict()[first]).norm()
        assert 0 < moved < 0.2 * shipped.state_dict()[first].norm()

    def test_on_several_caches(self, own, cache_of, tmp_path):
        other = cache_of("other", seed=3)
        run = train(settings_of([own, other], "landmarks", **{"fit.epochs": 1}), runs_root=tmp_path)
        assert run.read_config().cache.path == "own+other"
        assert "val_accuracy_other" in pd.read_csv(run.metrics_file)

    def test_with_several_seeds_is_known_again(self, own, tmp_path, monkeypatch):
        wanted = repetitions(settings_of(own, "landmarks", **{"fit.epochs": 1}), [0, 1])
        assert [one.name for one in wanted] == ["mlp-s0", "mlp-s1"]
        first = train_multirun(wanted, runs_root=tmp_path)
        monkeypatch.setattr("landmarkfer.training.fit._train", lambda *_: pytest.fail("done before"))
        again = train_multirun(wanted, runs_root=tmp_path)
        assert [run.path for run in again] == [run.path for run in first]
        seeds = [run.read_config().settings.seed for run in again]
        assert seeds == [0, 1]

    def test_as_a_user_would(self, own, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "120")
        words = ["train", "--init", "landmarks", "--cache", own, "--epochs", "1", "--set", "fit.device=cpu"]
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert "model mlp; settings changed: " in result.output
        assert RunFolder(tmp_path / "experiments/runs/mlp-s0").finished
        assert lf.load("mlp-s0").classes == ("happy", "sad", "smirk")


def test_where_the_models_lie():
    for name in SHIPPED:
        assert shipped_run(f"{name}-facemesh").path == folder_of_shipped(name, "facemesh")
    for unknown in ("fusion", "fusion-other", "gnn-facemesh"):
        assert shipped_run(unknown) is None


@pytest.mark.parametrize("known", [0, 2])
def test_images_that_trained_the_model_are_told(own, caplog, monkeypatch, known):
    """Figures on what it was trained on are too good."""

    def trained_it(folder, hashes):
        return np.arange(len(hashes)) < known

    monkeypatch.setattr("landmarkfer.training.initialise.trained_it", trained_it)
    resolved = resolve(settings_of(own, "landmarks", **{"split.validation": 0.2}))
    set_up(resolved, open_caches(resolved), SILENT)
    told = [one for one in caplog.messages if "trained 'landmarks-facemesh' already" in one]
    assert len(told) == (2 if known else 0)
    assert not known or (told[0].startswith("2 of ") and "validation images" in told[0])
