import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.metrics.predictions import (
    average_predictions,
    check_predictions,
    predicted_confidence,
    read_predictions,
    without_sets,
)

CLASSES = ["happy", "sad"]


def table(happy, *, ids=("a", "b", "c"), labels=("happy", "sad", "sad"), status=("ok", "ok", "no_face")):
    frame = pd.DataFrame({"id": ids, "label": labels, "status": status, "p_happy": happy})
    frame["p_sad"] = 1 - frame["p_happy"]
    frame["predicted"] = ["happy" if p >= 0.5 else "sad" for p in happy]
    return frame


def test_ensemble_averages_by_id_whatever_the_order_of_rows_and_classes():
    first = table([0.9, 0.2, 0.6])
    second = table([0.5, 0.1, 0.2])[["p_sad", "p_happy", "status", "label", "id", "predicted"]].iloc[
        [2, 0, 1]
    ]
    mean = average_predictions([first, second])
    assert mean["id"].tolist() == ["a", "b", "c"]
    assert mean["p_happy"].tolist() == pytest.approx([0.7, 0.15, 0.4])
    assert mean["predicted"].tolist() == ["happy", "sad", "sad"]
    check_predictions(mean, CLASSES)


def test_ensemble_has_a_face_where_any_member_has_one():
    first = table([0.9, 0.2, 0.6], status=("ok", "no_face", "unreadable"))
    second = table([0.9, 0.2, 0.6], status=("no_face", "unreadable", "unreadable"))
    assert average_predictions([first, second])["status"].tolist() == ["ok", "no_face", "unreadable"]


def test_one_member_is_returned_as_it_is():
    frame = table([0.9, 0.2, 0.6])
    pd.testing.assert_frame_equal(average_predictions([frame])[frame.columns], frame)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table([0.9, 0.2, 0.6], ids=("a", "b", "d")), "different images"),
        (table([0.9, 0.2], ids=("a", "b"), labels=("happy", "sad"), status=("ok", "ok")), "different images"),
        (table([0.9, 0.2, 0.6], ids=("a", "b", "b")), "different images"),
        (table([0.9, 0.2, 0.6], labels=("happy", "happy", "sad")), "different labels"),
        (table([0.9, 0.2, 0.6]).rename(columns={"p_sad": "p_angry"}), "different classes"),
    ],
)
def test_members_that_do_not_fit_are_refused(other, message):
    with pytest.raises(RunError, match=message):
        average_predictions([table([0.9, 0.2, 0.6]), other])


def test_temperatures_and_sets_belong_to_one_model():
    frame = table([0.9, 0.2, 0.6]).assign(temperature=2.0, set_happy=True, set_sad=False, subset="public")
    assert set(average_predictions([frame, frame])) == {*table([0.9, 0.2, 0.6]), "subset"}
    assert set(without_sets(frame)) == {*table([0.9, 0.2, 0.6]), "subset", "temperature"}


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(RunError, match="at least one"):
        average_predictions([])


def test_confidence_is_that_of_the_predicted_class():
    frame = table([0.9, 0.2, 0.6])
    assert predicted_confidence(frame, CLASSES).tolist() == pytest.approx([0.9, 0.8, 0.6])
    assert predicted_confidence(frame, CLASSES[::-1]).tolist() == pytest.approx([0.9, 0.8, 0.6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="p_sad"), "no column p_sad"),
        (lambda f: f.assign(p_angry=0.0), "has p_angry"),
        (lambda f: f.iloc[:0], "no image"),
        (lambda f: f.assign(id="a"), "a more than once"),
        (lambda f: f.assign(label=[None, "sad", "sad"]), "1 of 3 images have no label"),
        (lambda f: f.assign(label=["cross", "sad", "sad"]), "Unknown label cross"),
        (lambda f: f.assign(predicted="cross"), "Unknown predicted cross"),
        (lambda f: f.assign(status="lost"), "Unknown status lost"),
        (lambda f: f.assign(p_sad=[0.1, None, 0.9]), "of 2 images"),
        (lambda f: f.assign(p_happy=[1.1, 0.2, 0.6], p_sad=[-0.1, 0.8, 0.4]), "of 1 images"),
    ],
)
def test_what_is_no_prediction_table_is_refused(change, message):
    with pytest.raises(RunError, match=message):
        check_predictions(change(table([0.9, 0.2, 0.6])), CLASSES)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_of_others_need_no_more_than_probabilities(tmp_path, kind):
    whole = table([0.9, 0.2, 0.6], ids=("1", "02", "3"), status=("ok", "ok", "ok"))
    own = whole[["label", "id", "p_sad", "p_happy"]].astype({"p_happy": "float32", "p_sad": "float32"})
    path = tmp_path / f"own.{kind}"
    own.to_csv(path, index=False) if kind == "csv" else own.to_parquet(path)
    pd.testing.assert_frame_equal(read_predictions(path)[whole.columns], whole, rtol=1e-6)


def test_what_files_say_is_believed(tmp_path):
    whole = table([0.9, 0.2, 0.6]).assign(predicted=["sad", "sad", "happy"], subset="public")
    whole.to_csv(tmp_path / "own.csv", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "own.csv"), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[["id", "label"]], "has no column predicted"),
        (lambda frame: frame.drop(columns="label"), "has no column label"),
        (lambda frame: frame.assign(label=["happy", "sad", "cat"]), "Unknown label cat"),
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
