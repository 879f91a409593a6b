from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.metrics.predictions import Predictions, check_labelled, read_predictions, write_predictions

CLASSES = ("happy", "sad")


def table(happy, *, ids=("a", "b", "c"), labels=("happy", "sad", "sad"), status=("ok", "ok", "no_face")):
    frame = pd.DataFrame({"id": ids, "label": labels, "status": status, "p_happy": happy})
    frame["p_sad"] = 1 - frame["p_happy"]
    frame["predicted"] = ["happy" if p >= 0.5 else "sad" for p in happy]
    return frame


@pytest.fixture
def whole():
    """A table with every column, in the order in which it is written."""
    frame = table([0.9, 0.2, 0.6])[["id", "label", "predicted", "status"]]
    frame["subset"] = ["public", "private", None]
    frame[["p_happy", "p_sad"]] = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    frame[["u_happy", "u_sad"]] = [[0.7, 0.3], [0.4, 0.6], [0.6, 0.4]]
    frame[["set_happy", "set_sad"]] = [[True, False], [True, True], [True, False]]
    return frame.assign(clean=[True, False, None])


@pytest.fixture
def predictions(whole):
    return Predictions.from_frame(whole)


def test_arrays_of_a_table(predictions):
    assert predictions.ids.tolist() == ["a", "b", "c"]
    assert predictions.classes == CLASSES
    assert predictions.labels.tolist() == [0, 1, 1]
    assert predictions.predicted.tolist() == [0, 1, 0]
    assert predictions.subset.tolist() == ["public", "private", None]
    assert predictions.clean.tolist() == [True, False, None]
    assert predictions.correct.tolist() == [True, True, False]
    assert predictions.found.tolist() == [True, True, False]
    assert len(predictions) == 3


def test_there_and_back(predictions, whole, tmp_path):
    pd.testing.assert_frame_equal(predictions.to_frame(), whole)
    plain = table([0.9, 0.2, 0.6])
    pd.testing.assert_frame_equal(Predictions.from_frame(plain).to_frame()[plain.columns], plain)
    write_predictions(tmp_path / "new" / "all.parquet", predictions)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "new" / "all.parquet").to_frame(), whole)


def test_near_duplicates_are_an_optional_column(predictions, whole):
    assert predictions.clean_near is None, "in tables that were written before there was one"
    known = Predictions.from_frame(whole.assign(clean_near=[True, None, False]))
    assert known.clean_near.tolist() == [True, None, False]
    assert known.to_frame()["clean_near"].tolist() == [True, None, False]
    assert known.rows([2, 0]).clean_near.tolist() == [False, True]


def test_columns_of_nulls_keep_their_kind(whole):
    unknown = whole.assign(label=pd.Series([None] * 3, dtype=whole["label"].dtype), clean=[True, False, True])
    back = Predictions.from_frame(unknown)
    assert back.labels.tolist() == [-1, -1, -1]
    pd.testing.assert_frame_equal(back.to_frame(), unknown)


def test_rows_by_mask_and_by_number(predictions, whole):
    some = predictions.rows([True, False, True])
    pd.testing.assert_frame_equal(some.to_frame(), whole.iloc[[0, 2]].reset_index(drop=True))
    turned = predictions.rows([2, 0])
    assert turned.ids.tolist() == ["c", "a"]
    assert turned.uncalibrated[:, 0].tolist() == [0.6, 0.7]


def test_classes_in_another_order(predictions):
    turned = predictions.by_class(CLASSES[::-1])
    assert turned.labels.tolist() == [1, 0, 0]
    assert turned.predicted.tolist() == [1, 0, 1]
    assert turned.probabilities.tolist() == predictions.probabilities[:, ::-1].tolist()
    assert turned.sets.tolist() == predictions.sets[:, ::-1].tolist()
    assert turned.uncalibrated.tolist() == predictions.uncalibrated[:, ::-1].tolist()
    assert turned.confidence.tolist() == predictions.confidence.tolist()
    unknown = replace(predictions, labels=np.array([-1, 0, 1])).by_class(CLASSES[::-1])
    assert unknown.labels.tolist() == [-1, 1, 0]
    with pytest.raises(RunError, match="are of happy, sad, but the classes are happy, cross"):
        predictions.by_class(["happy", "cross"])


def test_three_classes_in_another_order():
    frame = pd.DataFrame({"id": ["1", "2", "3"], "label": ["a", "b", "c"]})
    frame[["p_a", "p_b", "p_c"]] = [[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.2, 0.3, 0.5]]
    turned = Predictions.from_frame(frame).by_class(["b", "c", "a"])
    assert [turned.classes[label] for label in turned.labels] == ["a", "b", "c"]
    back = Predictions.from_frame(turned.to_frame(), ["a", "b", "c"])
    assert back.probabilities.tolist() == frame[["p_a", "p_b", "p_c"]].to_numpy().tolist()
    assert back.labels.tolist() == [0, 1, 2]


def test_confidence_is_that_of_the_predicted_class(predictions):
    assert predictions.confidence.tolist() == [0.9, 0.8, 0.6]


def test_the_layout_in_memory_is_one(predictions):
    for order in "CF":
        given = np.array(predictions.probabilities, order=order)
        assert replace(predictions, probabilities=given).probabilities.flags.f_contiguous


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="p_sad"), "no column p_sad"),
        (lambda f: f.drop(columns="label"), "no column label; it needs id, label, p_happy, p_sad"),
        (lambda f: f.assign(p_angry=0.0), "has p_angry, but the classes are happy, sad"),
        (lambda f: f.assign(id="a"), "a more than once"),
        (lambda f: f.assign(label=["cross", "sad", "sad"]), "Unknown label cross"),
        (lambda f: f.assign(predicted="cross"), "Unknown predicted cross"),
        (lambda f: f.assign(predicted=["sad", None, "sad"]), "No prediction for 1 of 3 images"),
        (lambda f: f.assign(status="lost"), "Unknown status lost"),
        (lambda f: f.assign(p_sad=[0.1, None, 0.9]), "of 2 images"),
        (lambda f: f.assign(p_happy=[1.1, 0.2, 0.6], p_sad=[-0.1, 0.8, 0.4]), "of 1 image are"),
    ],
)
def test_what_is_no_prediction_table_is_refused(change, message):
    with pytest.raises(RunError, match=message):
        Predictions.from_frame(change(table([0.9, 0.2, 0.6])), CLASSES)


def test_arrays_of_different_lengths_are_refused(predictions):
    with pytest.raises(RunError, match=r"uncalibrated of shape \(3, 2\), not \(2, 2\)"):
        replace(predictions, uncalibrated=np.full((2, 2), 0.5))
    with pytest.raises(RunError, match=r"sets of shape \(3, 2\), not \(3, 3\)"):
        replace(predictions, sets=np.ones((3, 3), bool))


def test_only_labelled_images_can_be_evaluated(predictions):
    check_labelled(predictions)
    with pytest.raises(RunError, match="no image to evaluate"):
        check_labelled(predictions.rows([False] * 3))
    with pytest.raises(RunError, match="No label for 1 of 3 images"):
        check_labelled(replace(predictions, labels=np.array([-1, 0, 1])))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_of_others_need_no_more_than_probabilities(tmp_path, kind):
    whole = table([0.9, 0.2, 0.6], ids=("1", "02", "3"), status=("ok", "ok", "ok"))
    own = whole[["label", "id", "p_sad", "p_happy"]].astype({"p_happy": "float32", "p_sad": "float32"})
    path = tmp_path / f"own.{kind}"
    own.to_csv(path, index=False) if kind == "csv" else own.to_parquet(path)
    pd.testing.assert_frame_equal(read_predictions(path).to_frame()[whole.columns], whole, rtol=1e-6)


def test_what_files_predict_is_believed(tmp_path):
    whole = table([0.9, 0.2, 0.6]).assign(predicted=["sad", "sad", "happy"], subset="public", more=1)
    whole.to_csv(tmp_path / "own.csv", index=False)
    read = read_predictions(tmp_path / "own.csv").to_frame()
    assert "more" not in read
    pd.testing.assert_frame_equal(read[whole.columns.drop("more")], whole.drop(columns="more"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[["id", "label"]], "has no column p_<class>"),
        (lambda frame: frame.drop(columns="label"), "has no column label"),
        (lambda frame: frame.assign(label=["happy", "sad", "cat"]), "Unknown label cat"),
        (lambda frame: frame.assign(label=["happy", None, "sad"]), "No label for 1 of 3 images"),
        (lambda frame: frame.assign(p_happy=2.0), "do not sum to 1"),
        (lambda frame: frame.iloc[:0], "no image to evaluate"),
    ],
)
def test_files_that_are_no_prediction_tables(tmp_path, change, message):
    change(table([0.9, 0.2, 0.6])).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(RunError, match=rf"own.csv: .*{message}"):
        read_predictions(tmp_path / "own.csv")


def test_files_that_cannot_be_read(tmp_path):
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(RunError, match="is no readable CSV or Parquet file"):
            read_predictions(tmp_path / name)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(RunError, match="is no readable CSV or Parquet file"):
        read_predictions(tmp_path / "empty.csv")


def test_groups_are_texts_or_none(whole, tmp_path):
    named = whole.assign(group=["ann", None, "ann"])
    predictions = Predictions.from_frame(named)
    assert predictions.groups.tolist() == ["ann", None, "ann"]
    write_predictions(tmp_path / "all.parquet", predictions)
    assert read_predictions(tmp_path / "all.parquet").groups.tolist() == ["ann", None, "ann"]
    assert predictions.rows([2, 1]).groups.tolist() == ["ann", None]
    named.assign(group=[12, None, 12]).astype({"group": "Int64"}).to_csv(tmp_path / "all.csv", index=False)
    assert read_predictions(tmp_path / "all.csv").groups.tolist() == ["12", None, "12"]
    assert Predictions.from_frame(named.assign(group=[12, 7, 12])).groups.tolist() == ["12", "7", "12"]
    assert Predictions.from_frame(whole).groups is None
    assert "group" not in Predictions.from_frame(whole).to_frame()


def test_whose_image_each_is_of_several_caches(predictions, whole, tmp_path):
    assert predictions.caches is None
    several = Predictions.from_frame(whole.assign(cache=["01", "photos", "01"]))
    assert several.caches.tolist() == ["01", "photos", "01"]
    write_predictions(tmp_path / "p.parquet", several)
    several.to_frame().to_csv(tmp_path / "p.csv", index=False)
    for name in ("p.parquet", "p.csv"):
        assert read_predictions(tmp_path / name).caches.tolist() == ["01", "photos", "01"]
    assert several.rows([2, 1]).caches.tolist() == ["01", "photos"]
