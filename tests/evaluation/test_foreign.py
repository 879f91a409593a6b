"""A run applied to another cache: names for its labels, merged classes, and images without labels."""

import numpy as np
import pandas as pd
import pytest

import landmarkfer as lf
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_run, evaluate_runs
from landmarkfer.evaluation.files import METRICS_FILE, PREDICTIONS_FILE
from landmarkfer.evaluation.label_mapping import LabelMapping
from landmarkfer.metrics.predictions import UNKNOWN
from landmarkfer.training.fit import train

NUMBERS = {"happy": "1", "sad": "2.0", "angry": "03"}
NAMES = {"1": "happy", "2": "sad", "3": "angry"}


@pytest.fixture(scope="module")
def run(tiny_settings, tmp_path_factory):
    return train(tiny_settings(name="first"), runs_root=tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Drawing takes longer than all the rest, and is tested elsewhere."""
    for name in ("draw_confusion", "draw_reliability", "draw_risk_coverage"):
        monkeypatch.setattr(f"landmarkfer.reporting.evaluation_figures.{name}", lambda path, *_: path.touch())


@pytest.fixture
def cache_of(make_rows, tmp_path):
    """A cache of other faces, without splits, whose rows are changed by a function."""

    def write(change, name="other", keep_split=False):
        rows = make_rows(train=4, test=4, seed=9)
        for row in rows:
            if not keep_split:
                row.split = row.subset = None
            change(row)
        return write_cache(tmp_path / name, rows)

    return write


@pytest.fixture
def numbered(cache_of):
    return cache_of(lambda row: setattr(row, "label", NUMBERS.get(row.label)))


@pytest.fixture
def named(cache_of):
    return cache_of(lambda row: None, "named")


class TestNames:
    def test_numbers_with_names_are_the_classes(self, run, numbered, named):
        evaluation, predictions = evaluate_run(run, numbered.path, mapping=LabelMapping(NAMES))
        expected = evaluate_run(run, named.path)
        assert predictions.labels.tolist() == expected[1].labels.tolist()
        assert evaluation.subsets == expected[0].subsets
        assert evaluation.other_data.unlabelled == 1
        assert evaluation.other_data.left_out == {}

    def test_a_number_that_is_no_class(self, run, numbered):
        mapping = LabelMapping(NAMES | {"3": None})
        evaluation, predictions = evaluate_run(run, numbered.path, mapping=mapping)
        assert set(predictions.labels) == {predictions.classes.index(name) for name in ("happy", "sad")}
        assert evaluation.other_data.unlabelled == 8
        assert evaluation.other_data.absent == ["angry"]

    def test_numbers_without_names_are_refused(self, run, numbered):
        with pytest.raises(SettingsError, match=r"labels 1, 2, 3 of .*other are numbers"):
            evaluate_run(run, numbered.path)

    def test_names_need_another_cache(self, run):
        with pytest.raises(SettingsError, match="those of another cache; name it: --cache"):
            evaluate_run(run, mapping=LabelMapping(NAMES))

    def test_in_python(self, run, numbered, tmp_path):
        evaluation = lf.evaluate(
            run, numbered, label_names={1: "Happiness", 2: "sadness", 3: "anger"}, out=tmp_path
        )
        file = tmp_path / "names.csv"
        file.write_text("1,happy\n2,sad\n3,angry\n")
        assert (
            lf.evaluate(run, numbered, label_names=str(file), out=tmp_path / "a").subsets
            == evaluation.subsets
        )
        merged = lf.evaluate(
            run, numbered, label_names=NAMES, merge={"negative": ["sad", "angry"]}, out=tmp_path
        )
        assert merged.classes == ["negative", "happy"]


class TestClasses:
    def test_classes_of_one_side_alone_are_listed_and_counted(self, run, cache_of):
        def change(row):
            number = int(row.id[-7:-4])
            if row.label == "sad":
                row.label = "contempt" if number else "bored"
            if row.label == "happy" and number == 3:
                row.label = None

        evaluation, predictions = evaluate_run(run, cache_of(change).path)
        other = evaluation.other_data
        assert other.left_out == {"contempt": 6, "bored": 2}
        assert other.unlabelled == 2 + 1
        assert other.absent == ["sad"]
        assert other.images == len(predictions) == 24 - 8 - 3
        assert evaluation.subsets["test"].n == other.images

    def test_of_the_test_images_alone_where_there_are_some(self, run, cache_of):
        cache = cache_of(
            lambda row: setattr(row, "label", row.label and row.label.replace("sad", "contempt")),
            keep_split=True,
        )
        other = evaluate_run(run, cache.path)[0].other_data
        assert other.left_out == {"contempt": 4}
        assert other.unlabelled == 0, "the image without a label is a training image"

    def test_probabilities_of_merged_classes_are_added(self, run, cache_of, named):
        valence = {"happy": "positive", "sad": "negative", "angry": "negative"}
        cache = cache_of(lambda row: setattr(row, "label", valence.get(row.label)))
        mapping = LabelMapping(merge={"negative": ["sad", "angry"], "positive": ["happy"]})
        evaluation, predictions = evaluate_run(run, cache.path, mapping=mapping)
        assert evaluation.classes == ["negative", "positive"]
        plain = evaluate_run(run, named.path)[1].to_frame().set_index("id")
        added = plain["p_sad"] + plain["p_angry"]
        merged = predictions.to_frame().set_index("id")
        np.testing.assert_allclose(merged["p_negative"], added)
        assert list(merged["predicted"]) == list(np.where(added >= 0.5, "negative", "positive"))
        right = merged["predicted"] == plain["label"].map(valence)
        assert evaluation.subsets["test"].accuracy == pytest.approx(right.mean())

    def test_none_is_a_class_of_the_model(self, run, cache_of):
        cache = cache_of(lambda row: setattr(row, "label", row.label and "contempt"))
        with pytest.raises(
            CacheError, match=r"no image labelled with one of angry, happy, sad.*are contempt; --label"
        ):
            evaluate_run(run, cache.path)

    def test_the_own_cache_states_nothing(self, run):
        assert evaluate_run(run)[0].other_data is None


class TestWithoutLabels:
    @pytest.fixture
    def unlabelled(self, cache_of):
        return cache_of(lambda row: setattr(row, "label", None))

    def test_predictions_without_figures(self, run, unlabelled, named, tmp_path):
        [(_, evaluation)] = evaluate_runs([run], unlabelled.path, tmp_path / "out")
        assert evaluation.subsets == {}
        other = evaluation.other_data
        assert (other.images, other.unlabelled, other.no_face, other.unreadable) == (24, 24, 5, 1)
        assert other.absent == [] and other.left_out == {}
        written = pd.read_parquet(tmp_path / "out" / PREDICTIONS_FILE).set_index("id")
        assert written["label"].isna().all()
        assert other.predicted == written["predicted"].value_counts().reindex(evaluation.classes).to_dict()
        expected = evaluate_run(run, named.path)[1].to_frame().set_index("id")
        pd.testing.assert_series_equal(written.loc[expected.index, "p_happy"], expected["p_happy"])
        assert [path.name for path in (tmp_path / "out").iterdir()] == [PREDICTIONS_FILE]

    def test_no_figures_of_before_stay_beside_them(self, run, unlabelled, named, tmp_path):
        evaluate_runs([run], named.path, tmp_path)
        assert (tmp_path / METRICS_FILE).exists()
        evaluate_runs([run], unlabelled.path, tmp_path)
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [PREDICTIONS_FILE]

    def test_an_average(self, run, unlabelled, tmp_path):
        found = evaluate_runs([run, run], unlabelled.path, tmp_path)
        assert [evaluation.subsets for _, evaluation in found] == [{}, {}, {}]
        assert found[2][1].other_data.predicted == found[0][1].other_data.predicted

    def test_the_test_images_where_there_are_some(self, run, cache_of):
        cache = cache_of(
            lambda row: setattr(row, "label", None if row.split == "test" else row.label), keep_split=True
        )
        evaluation, predictions = evaluate_run(run, cache.path)
        assert not evaluation.subsets and set(predictions.labels) == {UNKNOWN}
        assert all(name.startswith("test/") for name in predictions.ids) and len(predictions) == 12

    def test_in_python(self, run, unlabelled):
        evaluation = lf.evaluate(run, unlabelled)
        assert "no labels, so no figures; predicted of 24 images: angry " in str(evaluation)


def test_groups_of_the_cache_are_those_of_the_predictions(run, cache_of):
    cache = cache_of(lambda row: setattr(row, "group", None if row.id.endswith("3.png") else row.id[-7:-4]))
    evaluation, predictions = evaluate_run(run, cache.path)
    assert set(predictions.groups) == {"000", "001", "002", None}
    alone = sum(group is None for group in predictions.groups)
    assert evaluation.subsets["test"].groups == 3 + alone
    assert evaluate_run(run)[1].groups is None
