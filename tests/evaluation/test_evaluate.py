import hashlib
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import load_dataset
from landmarkfer.data.duplicates import NEAR_FILE, NearPairs
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_folds, evaluate_run, evaluate_runs
from landmarkfer.evaluation.opened import open_run
from landmarkfer.face.geometry import normalise
from landmarkfer.inference.predict import predict_rows
from landmarkfer.metrics.report import shifted_figures
from landmarkfer.models.base import CALIBRATION
from landmarkfer.models.landmark import LandmarkModel
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.trained_images import write_trained_images
from landmarkfer.training.fit import train

CLASSES = ["angry", "happy", "sad"]
PROBABILITIES = [f"p_{name}" for name in CLASSES]
UNCALIBRATED = [f"u_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def training(small_settings):
    def run(cache, root, **overrides):
        return train(small_settings(**{"cache": str(cache.path)} | overrides), runs_root=root)

    return run


@pytest.fixture(scope="module")
def own_cache(make_rows, tmp_path_factory):
    """More happy than angry than sad training images, so that the prior has a top."""
    kept = {"train/happy": 36, "train/angry": 28, "train/sad": 20}
    rows = [row for row in make_rows() if int(row.id[-7:-4]) < kept.get(row.id[:-8], 99)]
    return write_cache(tmp_path_factory.mktemp("own") / "cache", rows)


@pytest.fixture(scope="module")
def run(training, own_cache, tmp_path_factory):
    return training(own_cache, tmp_path_factory.mktemp("runs"), name="first")


@pytest.fixture(scope="module")
def second(training, own_cache, tmp_path_factory):
    """Another seed, another normalisation, and no mirrored pass."""
    return training(
        own_cache,
        tmp_path_factory.mktemp("runs"),
        **{"name": "second", "seed": 1, "normalisation.align": "none"},
        **{"normalisation.scale": "interocular", "prediction.mirror": False},
    )


def table_of(predictions):
    return predictions.to_frame().set_index("id")


@pytest.fixture
def table(run):
    return table_of(evaluate_run(run)[1])


class TestParity:
    def test_training_and_prediction_see_the_same_landmarks(self, training, own_cache, second, monkeypatch):
        """One normalisation, with the settings of the run: the published fault was two."""
        seen = {}
        original = LandmarkModel.forward

        def watch(name):
            def forward(self, batch):
                if not self.training:
                    seen.setdefault(name, []).append(batch.landmarks.clone())
                return original(self, batch)

            monkeypatch.setattr(LandmarkModel, "forward", forward)

        settings = second.read_config().settings
        watch("training")
        again = training(own_cache, second.path.parent, **{"name": "again", "seed": 1, "fit.epochs": 1},
                         **{"normalisation.align": "none", "normalisation.scale": "interocular"})  # fmt: skip
        val = np.flatnonzero(own_cache.frame()["id"].isin(again.read_splits()["val"]))
        watch("prediction")
        predict_rows(second.load(), load_dataset(own_cache, settings.normalisation), val)
        raw = own_cache.landmarks()[val]
        expected = normalise(raw, 200, 100, align="none", scale="interocular")
        expected[np.isnan(expected)] = 0
        np.testing.assert_array_equal(seen["training"][0].numpy(), expected)
        np.testing.assert_array_equal(seen["prediction"][0].numpy(), expected)
        assert not np.allclose(expected, np.nan_to_num(normalise(raw, 200, 100)), atol=0.1)

    def test_evaluation_normalises_as_the_run_was_trained(self, second, own_cache, monkeypatch):
        seen = []
        original = LandmarkModel.forward
        monkeypatch.setattr(
            LandmarkModel,
            "forward",
            lambda self, batch: seen.append(batch.landmarks) or original(self, batch),
        )
        evaluate_run(second)
        test = (own_cache.frame()["split"] == "test").to_numpy()
        expected = normalise(own_cache.landmarks()[test], 200, 100, align="none", scale="interocular")
        np.testing.assert_array_equal(seen[0].numpy(), np.nan_to_num(expected))
        assert len(seen) == 1, "this run asks for no mirrored pass"


class TestOwnCache:
    def test_every_test_image_has_a_row(self, table, own_cache):
        frame = own_cache.frame()
        test = frame[frame["split"] == "test"].set_index("id")
        assert list(table.index) == list(test.index)
        for column in ("label", "status", "subset"):
            assert list(table[column]) == list(test[column])
        np.testing.assert_allclose(table[PROBABILITIES].sum(axis=1), 1, atol=1e-6)
        best = table[UNCALIBRATED].idxmax(axis=1).str.removeprefix("u_")
        assert list(table["predicted"]) == list(best)

    def test_without_a_face_the_prior_speaks_and_counts(self, run, table):
        splits = run.read_splits()
        labels = pd.Series([name.split("/")[1] for name in splits["train"]])
        prior = labels.value_counts(normalize=True).reindex(CLASSES).to_numpy()
        missing = table[table["status"] != "ok"]
        assert sorted(missing["status"]) == ["no_face", "no_face", "no_face", "unreadable"]
        np.testing.assert_allclose(missing[PROBABILITIES], np.tile(prior, (4, 1)), atol=1e-6)
        assert set(missing["predicted"]) == {CLASSES[prior.argmax()]}
        assert sorted(prior) == [prior[2], prior[0], prior[1]]

    def test_figures_by_hand(self, run, table):
        subsets = evaluate_run(run)[0].subsets
        right = table["label"] == table["predicted"]
        assert (subsets["test"].n, subsets["test"].no_face, subsets["test"].unreadable) == (36, 3, 1)
        assert subsets["test"].accuracy == pytest.approx(right.mean())
        assert subsets["test_detected"].n == 32
        assert subsets["test_detected"].accuracy == pytest.approx(right[table["status"] == "ok"].mean())
        for name in ("public", "private"):
            assert subsets[name].n == 18
            assert subsets[name].accuracy == pytest.approx(right[table["subset"] == name].mean())
        assert subsets["test"].accuracy > 0.5, "the faces are easy"

    def test_clean_by_hand(self, run, table):
        """The first test image of each class is a copy of a training image; the unreadable one of none."""
        twins = [f"test/{label}/000.png" for label in CLASSES]
        assert list(table.index[~table["clean"]]) == twins
        assert evaluate_run(run)[0].subsets["clean"].n == 36 - 3

    def test_images_with_a_near_duplicate_in_train_by_hand(self, run, own_cache, table, monkeypatch):
        """Beside those above, one test image is near a training image, and one near another test image."""
        ids = own_cache.frame(["id"])["id"].tolist()
        pairs = [
            ("train/sad/005.png", "test/sad/005.png"),
            ("test/happy/006.png", "test/happy/007.png"),
        ]
        near = NearPairs(np.array([sorted(map(ids.index, pair)) for pair in pairs]), np.ones(2, np.float32))
        monkeypatch.setattr("landmarkfer.evaluation.opened.near_duplicates", lambda *_: near)
        evaluation, predictions = evaluate_run(run)
        marked = table_of(predictions)
        found = [name for name in marked.index if not marked.loc[name, "clean_near"]]
        assert sorted(found) == sorted([*(f"test/{label}/000.png" for label in CLASSES), "test/sad/005.png"])
        assert evaluation.subsets["clean_near"].n == 36 - 4
        assert evaluation.subsets["clean"].n == 36 - 3
        assert (own_cache.path / NEAR_FILE).exists(), "by an evaluation before, for all that come after"

    def test_a_copy_of_the_cache_is_the_same_cache(self, run, own_cache, tmp_path, table):
        shutil.copytree(own_cache.path, tmp_path / "copy")
        copied = table_of(evaluate_run(run, tmp_path / "copy")[1])
        pd.testing.assert_frame_equal(copied, table)

    def test_a_changed_cache_is_refused_by_default(self, run, make_rows, tmp_path):
        rows = make_rows()
        rows[0].landmarks = rows[0].landmarks + 0.01
        changed = write_cache(tmp_path / "changed", rows)
        moved = RunFolder(tmp_path / "run")
        shutil.copytree(run.path, moved.path)
        config = run.read_config()
        info = config.cache.model_copy(update={"path": str(changed.path)})
        moved.write_config(config.model_copy(update={"cache": info}))
        with pytest.raises(CacheError, match=r"no longer the cache that run 'run'.*--cache .*changed"):
            evaluate_run(moved)
        assert evaluate_run(moved, changed.path)[0].subsets["test"].n == 36

    def test_settings_and_weights_alone_know_their_test_images(self, run, table, tmp_path):
        for file in (run.config_file, run.weights_file):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        shipped = RunFolder(tmp_path)
        pd.testing.assert_frame_equal(table_of(evaluate_run(shipped)[1]), table)
        val = open_run(shipped).predict_validation()
        assert val.ids.tolist() == open_run(run).predict_validation().ids.tolist()

    def test_a_run_without_weights(self, run, tmp_path):
        unfinished = RunFolder(tmp_path / "cut")
        shutil.copytree(run.path, unfinished.path)
        unfinished.weights_file.unlink()
        with pytest.raises(RunError, match="has not finished"):
            evaluate_run(unfinished)

    def test_prediction_changes_neither_seed_nor_data(self, run, table):
        again = table_of(evaluate_run(run)[1])
        pd.testing.assert_frame_equal(again, table)


class TestSureness:
    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, training, own_cache, tmp_path_factory):
        """Enough validation images for a calibration."""
        return training(own_cache, tmp_path_factory.mktemp("sure"), **{"split.validation": 0.65})

    def test_a_table_says_what_was_calibrated_and_which_labels_are_in(self, run, table):
        model = run.load().model
        seen = table["status"] == "ok"
        given, found = table[UNCALIBRATED].to_numpy(), table[PROBABILITIES].to_numpy()
        assert not np.allclose(found[seen], given[seen], atol=1e-3)
        np.testing.assert_allclose(found[seen], model.calibration.scaling(given[seen]))
        np.testing.assert_array_equal(found[~seen], given[~seen])
        columns = [f"set_{name}" for name in CLASSES]
        reached = found >= model.set_thresholds[89].numpy()
        reached |= given == given.max(axis=1)[:, None]
        np.testing.assert_array_equal(table[columns], reached)

    def test_classes_that_share_a_threshold_are_named(self, run, second):
        """With fewer than 20 validation images, a class has none of its own."""
        validation = pd.Series([name.split("/")[1] for name in run.read_splits()["val"]]).value_counts()
        assert validation.to_dict() == {"happy": 24, "angry": 18, "sad": 12}
        assert evaluate_run(run)[0].shared_sets == ["angry", "sad"]
        assert evaluate_runs([run, second])[2][1].shared_sets == [], "an average has no sets"

    def test_sets_are_evaluated_by_hand(self, run, table):
        found = evaluate_run(run)[0].subsets["test"].sets
        held = [row[f"set_{row['label']}"] for _, row in table.iterrows()]
        assert found.coverage == pytest.approx(np.mean(held))
        assert found.size == pytest.approx(table[[f"set_{name}" for name in CLASSES]].sum(axis=1).mean())

    def test_the_images_that_decided_the_sets_and_averages_have_none(self, run, second):
        validation = open_run(run).predict_validation()
        assert validation.uncalibrated is not None
        assert validation.sets is None
        assert [one.subsets["test"].sets is None for _, one in evaluate_runs([run, second])] == [0, 0, 1]

    def test_a_run_of_before_there_was_calibration(self, run, table, tmp_path):
        old = RunFolder(tmp_path / "old")
        shutil.copytree(run.path, old.path)
        tensors = load_file(old.weights_file)
        for name in CALIBRATION:
            del tensors[name]
        save_file(tensors, old.weights_file)
        evaluation, predictions = evaluate_run(old)
        plain = table_of(predictions)
        np.testing.assert_allclose(plain[PROBABILITIES], plain[UNCALIBRATED])
        assert list(plain["predicted"]) == list(table["predicted"])
        assert not np.allclose(plain[PROBABILITIES], table[PROBABILITIES], atol=1e-3)
        assert evaluation.subsets["test"].sets is None


class TestOtherCache:
    @pytest.fixture
    def foreign(self, make_rows, tmp_path):
        """Other classes, so that the numbers of those in common differ; no test split."""
        rows = [row for row in make_rows(train=5, test=5, seed=9) if row.label in ("happy", "sad")]
        for row in rows:
            row.split = row.subset = None
            row.sha256 = row.sha256 and f"x{row.sha256[1:]}"  # other pixels than those of the run's images
            if row.id.startswith("train/sad/003"):
                row.label = "contempt"
            if row.id.startswith("train/happy/003"):
                row.label = None
        return write_cache(tmp_path / "foreign", rows)

    def test_classes_are_matched_by_name(self, run, foreign, caplog):
        assert foreign.manifest.classes == ["happy", "sad", "contempt"]
        with caplog.at_level(logging.WARNING):
            evaluation, predictions = evaluate_run(run, foreign.path)
        assert "1 image of" in caplog.text
        assert evaluation.classes == CLASSES
        assert len(predictions) == 20 - 2, (
            "all labelled images of a class the model knows, where none is for testing"
        )
        assert {predictions.classes[label] for label in predictions.labels} == {"happy", "sad"}
        assert predictions.clean is None
        assert predictions.clean_near is None
        assert evaluation.subsets["test"].accuracy > 0.5, "numbered by the cache, sad would be happy"

    def test_classes_without_an_image_are_no_collapse(self, run, make_rows, tmp_path):
        rows = [row for row in make_rows(train=5, test=20, seed=9) if row.label in ("happy", "sad")]
        evaluation = evaluate_run(run, write_cache(tmp_path / "two", rows).path)[0]
        assert evaluation.other_data.absent == ["angry"]
        assert evaluation.warnings == [f"in training, {sentence}" for sentence in run.read_warnings()]
        assert "not calibrated" in evaluation.warnings[0] and len(evaluation.warnings) == 1

    def test_labels_of_other_meaning_are_said_to_be_at_chance(self, run, make_rows, tmp_path):
        rows = [row for row in make_rows(train=5, test=20, seed=9) if row.label in ("happy", "sad")]
        for row in rows:
            row.label = {"happy": "sad", "sad": "happy"}[row.label]
        cache = write_cache(tmp_path / "exchanged", rows)
        warnings = evaluate_run(run, cache.path)[0].warnings
        warnings = [one for one in warnings if not one.startswith("in training, ")]
        assert any("at or below chance" in one and "images: happy " in one for one in warnings)
        assert all("--label-names" in one for one in warnings), "the data are looked at first"

    def test_only_its_test_images_where_it_has_some(self, run, make_rows, tmp_path):
        cache = write_cache(tmp_path / "split", make_rows(train=5, test=4, seed=9))
        predictions = evaluate_run(run, cache.path)[1]
        assert len(predictions) == 12
        assert all(name.startswith("test/") for name in predictions.ids)

    def test_it_is_compared_with_the_own_test_images(self, run, foreign):
        (run.path / "metrics.json").unlink(missing_ok=True)
        assert evaluate_run(run, foreign.path)[0].other_data.own == {}, "of which nothing is known yet"
        ((_, own),) = evaluate_runs([run])
        found = evaluate_run(run, foreign.path)[0]
        assert found.other_data.own == shifted_figures(own.subsets["test"])
        labels = pd.Series([name.split("/")[1] for name in run.read_splits()["train"]])
        for name, (trained, here) in found.other_data.shares.items():
            assert trained == pytest.approx((labels == name).mean(), abs=1e-5)
            assert here == {"angry": 0, "happy": 0.5, "sad": 0.5}[name]

    def test_training_images_among_them_are_marked(self, run, make_rows, own_cache, tmp_path):
        """Under other names, and without a split: half of the images are those of the run."""
        ids = run.read_splits()
        frame = own_cache.frame(["id", "sha256"]).set_index("id")["sha256"]
        known = frame[[*ids["train"], *ids["val"]]].dropna().tolist()[:5]
        rows = make_rows(train=5, test=5, seed=9)
        for number, row in enumerate(rows):
            row.split = row.subset = None
            row.sha256 = row.sha256 and f"x{row.sha256[1:]}"
            if number < len(known):
                row.sha256 = known[number]
        cache = write_cache(tmp_path / "mixed", rows)
        evaluation, predictions = evaluate_run(run, cache.path)
        assert evaluation.other_data.trained_on == 5
        assert np.sum(predictions.clean == False) == 5  # noqa: E712
        assert evaluation.subsets["clean"].n == evaluation.subsets["test"].n - 5

    def test_a_model_that_ships_states_what_trained_it(self, run, make_rows, tmp_path):
        """It has neither its splits nor its cache beside it."""
        rows = make_rows(train=5, test=5, seed=9)
        for row in rows:
            row.sha256 = row.sha256 and hashlib.sha256(row.sha256.encode()).hexdigest()
        cache = write_cache(tmp_path / "other", rows)
        moved = RunFolder(tmp_path / "moved")
        shutil.copytree(run.path, moved.path)
        moved.splits_file.unlink()
        assert evaluate_run(moved, cache.path)[1].clean is None
        tested = [row.sha256 for row in rows if row.split == "test" and row.sha256][:4]
        write_trained_images(moved.path, tested)
        assert evaluate_run(moved, cache.path)[0].other_data.trained_on == len(
            [row for row in rows if row.split == "test" and row.sha256 in tested]
        )

    def test_a_damaged_list_of_warnings_costs_no_evaluation(self, run, tmp_path, caplog):
        copy = RunFolder(tmp_path / "copy")
        shutil.copytree(run.path, copy.path)
        copy.warnings_file.write_text('[{"kind":')
        evaluation, _ = evaluate_run(copy)
        assert evaluation.subsets["test"].n == 36
        assert "delete it" in caplog.text

    def test_under_another_prior(self, run, foreign):
        plain, excluded = (
            evaluate_run(run, foreign.path, prior=prior)
            for prior in ("train", {"angry": 0, "happy": 1, "sad": 1})
        )
        assert excluded[0].prior == {"angry": 0, "happy": 1, "sad": 1} and plain[0].prior == "train"
        given = evaluate_run(run, foreign.path)[1].probabilities
        np.testing.assert_allclose(plain[1].probabilities, given, atol=1e-6)
        assert plain[1].predicted.tolist() == given.argmax(axis=1).tolist()
        assert (excluded[1].probabilities[:, 0] == 0).all()
        shares = run.load().model.prior
        wanted = given[:, 1] / shares[1] / (given[:, 1] / shares[1] + given[:, 2] / shares[2])
        np.testing.assert_allclose(excluded[1].probabilities[:, 1], wanted)
        with pytest.raises(SettingsError, match="a share for each of angry, happy, sad; it has happy"):
            evaluate_run(run, foreign.path, prior={"happy": 1})

    def test_none_of_its_classes_is_known(self, run, make_rows, tmp_path):
        rows = make_rows(train=5, test=4)
        for row in rows:
            row.label = "contempt"
        cache = write_cache(tmp_path / "strange", rows)
        with pytest.raises(CacheError, match="no image labelled with one of angry, happy, sad"):
            evaluate_run(run, cache.path)


class TestSeveralRuns:
    def test_the_average_by_hand(self, run, second, tmp_path):
        found = evaluate_runs([run, second], out=tmp_path / "out")
        assert [name for name, _ in found] == ["first", "second", "average of 2 runs"]
        tables = [table_of(evaluate_run(r)[1]) for r in (run, second)]
        mean = (tables[0][PROBABILITIES] + tables[1][PROBABILITIES]) / 2
        written = pd.read_parquet(tmp_path / "out" / "predictions.parquet").set_index("id")
        np.testing.assert_allclose(written[PROBABILITIES], mean)
        ranking = (tables[0][UNCALIBRATED] + tables[1][UNCALIBRATED]) / 2
        right = ranking.idxmax(axis=1).str.removeprefix("u_") == tables[0]["label"]
        assert found[2][1].subsets["test"].accuracy == pytest.approx(right.mean())
        assert found[0][1] == evaluate_run(run)[0]

    def test_where_files_are_written(self, run, second, own_cache, tmp_path):
        files = {"metrics.json", "predictions.parquet", "per_class.csv", "confusion.png"}
        files |= {"reliability.png", "class_reliability.png", "risk_coverage.png"}
        for folder in (run.path, second.path):
            for name in files:
                (folder / name).unlink(missing_ok=True)
        evaluate_runs([run], own_cache.path)
        assert not files & {path.name for path in run.path.iterdir()}, "another cache leaves the run alone"
        evaluate_runs([run], own_cache.path, tmp_path / "a" / "b")
        assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == files
        evaluate_runs([run, second])
        for folder in (run.path, second.path):
            assert files <= {path.name for path in folder.iterdir()}

    @pytest.mark.slow
    def test_runs_on_different_images_are_not_averaged(self, training, run, tiny_cache, make_rows, tmp_path):
        cache = write_cache(tmp_path / "less", make_rows(test=6))
        other = training(cache, tmp_path, **{"fit.epochs": 1})
        with pytest.raises(RunError, match="about different images"):
            evaluate_runs([run, other])


@pytest.mark.parametrize(
    ("folds", "reason"),
    [
        ([(3, 0), (3, 2)], "fold 2 is missing of the 3"),
        ([(4, 1)], "folds 1, 3, 4 are missing of the 4"),
        ([(3, 0), (2, 1)], "some runs are of 2 folds and some of 3"),
        ([(2, 0), (0, 0)], "run 'r1' is no fold"),
    ],
)
def test_folds_that_are_not_all_of_one_cross_validation(run, tmp_path, folds, reason):
    config = run.read_config()
    runs = []
    for number, (count, fold) in enumerate(folds):
        split = config.settings.split.model_copy(update={"folds": count, "fold": fold})
        settings = config.settings.model_copy(update={"split": split})
        runs.append(RunFolder(tmp_path / f"r{number}"))
        runs[-1].write_config(config.model_copy(update={"settings": settings}))
    with pytest.raises(RunError, match=reason):
        evaluate_folds(runs, tmp_path / "out")
