import json
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.errors import RunError
from landmarkfer.evaluation.files import per_class_frame, read_evaluation, write_evaluation
from landmarkfer.metrics.report import evaluate_predictions

CLASSES = ["angry", "happy", "sad"]


@pytest.fixture
def frame():
    # label, predicted, confidence of the predicted class, status, subset, clean
    rows = [
        ("angry", "angry", 0.8, "ok", "public", True),
        ("angry", "happy", 0.6, "ok", "private", True),
        ("happy", "happy", 0.8, "ok", "public", False),
        ("happy", "happy", 0.8, "ok", "private", True),
        ("happy", "happy", 0.4, "no_face", "public", True),
        ("angry", "happy", 0.4, "no_face", "private", False),
        ("happy", "angry", 0.6, "unreadable", "public", None),
    ]
    table = pd.DataFrame(rows, columns=["label", "predicted", "confidence", "status", "subset", "clean"])
    table["id"] = [f"{i}.jpg" for i in range(len(rows))]
    for name in CLASSES:
        table[f"p_{name}"] = np.where(
            table["predicted"] == name, table["confidence"], (1 - table["confidence"]) / 2
        )
    return table.drop(columns="confidence")


def test_subsets_by_hand(frame):
    subsets = evaluate_predictions(frame, CLASSES, bootstrap=50).subsets
    assert list(subsets) == ["test", "test_detected", "public", "private", "clean"]
    assert [report.n for report in subsets.values()] == [7, 4, 4, 3, 4]
    assert [round(report.accuracy * report.n) for report in subsets.values()] == [4, 3, 3, 1, 3]


def test_figures_of_all_images_by_hand(frame):
    test = evaluate_predictions(frame, CLASSES, bootstrap=50).subsets["test"]
    assert (test.no_face, test.unreadable) == (2, 1)
    assert test.confusion == [[1, 2, 0], [1, 3, 0], [0, 0, 0]]
    assert test.balanced_accuracy == pytest.approx((1 / 3 + 3 / 4) / 2)
    assert test.macro_f1 == pytest.approx((2 / 5 + 6 / 9) / 2)
    # Bins around 0.4: 1 of 2 right; 0.6: 0 of 2; 0.8: 3 of 3.
    assert test.ece == pytest.approx((2 * 0.1 + 2 * 0.6 + 3 * 0.2) / 7)
    angry, sad = test.per_class["angry"], test.per_class["sad"]
    assert (angry.precision, angry.recall, angry.support) == (1 / 2, pytest.approx(1 / 3), 3)
    assert (sad.precision, sad.recall, sad.f1, sad.support) == (None, None, None, 0)
    assert test.lowest_recall() == ("angry", pytest.approx(1 / 3))
    # The label got: 0.8, 0.2, 0.8, 0.8, 0.4, 0.3, 0.2.
    assert test.nll == pytest.approx(-np.log([0.8, 0.2, 0.8, 0.8, 0.4, 0.3, 0.2]).mean())
    # Right with 0.8: 0.04 + 2 * 0.01; with 0.4: 0.36 + 2 * 0.09; wrong with 0.6: 0.64 + 0.36 + 0.04.
    assert test.brier == pytest.approx((3 * 0.06 + 0.54 + 2 * 1.04 + (0.49 + 0.16 + 0.09)) / 7)
    # Confidence 0.8: all right; 0.6: both wrong; 0.4: one of two.
    errors = np.array([0, 0, 0, 1, 2, 2.5, 3])
    assert test.aurc == pytest.approx((errors / np.arange(1, 8)).mean())
    assert test.accuracy_at_80 == pytest.approx(1 - 2.5 / 6)
    assert test.accuracy_at_50 == pytest.approx(1 - 1 / 4)
    assert test.sets is None, "the table has none"
    low, high = test.intervals["accuracy"]
    assert low < test.accuracy < high


def test_sets_by_hand(frame):
    held = [True, True, False, True, True, True, False]  # of angry images the first, the second and the sixth
    sets = frame.assign(set_angry=held, set_happy=True, set_sad=False)
    subsets = evaluate_predictions(sets, CLASSES, bootstrap=10).subsets
    found = subsets["test"].sets
    assert (found.stated, found.coverage) == (0.9, 1.0)
    assert found.interval == (pytest.approx(0.025 ** (1 / 7)), 1.0)
    assert (found.size, found.single) == (pytest.approx(12 / 7), pytest.approx(2 / 7))
    none_happy = sets.assign(set_happy=False, set_sad=True)
    assert evaluate_predictions(none_happy, CLASSES, bootstrap=10).subsets["test"].sets.coverage == 3 / 7
    assert subsets["private"].sets.single == 0


def test_what_the_table_does_not_know_is_not_reported(frame):
    plain = frame.drop(columns=["subset", "clean"])
    assert list(evaluate_predictions(plain, CLASSES, bootstrap=10).subsets) == ["test", "test_detected"]
    undetected = plain.assign(status="no_face")
    assert list(evaluate_predictions(undetected, CLASSES, bootstrap=10).subsets) == ["test"]
    unknown = frame.assign(subset=None, clean=None)
    assert list(evaluate_predictions(unknown, CLASSES, bootstrap=10).subsets) == ["test", "test_detected"]


def test_order_of_rows_and_index_do_not_matter(frame):
    shuffled = frame.sample(frac=1, random_state=2)
    assert evaluate_predictions(shuffled, CLASSES) == evaluate_predictions(frame, CLASSES)


def test_written_and_read_again(frame, tmp_path):
    evaluation = evaluate_predictions(frame, CLASSES, bootstrap=50)
    folder = tmp_path / "runs" / "a"
    write_evaluation(folder, evaluation, frame)
    assert sorted(path.name for path in folder.iterdir()) == [
        "confusion.png", "metrics.json", "per_class.csv", "predictions.parquet", "reliability.png",
        "risk_coverage.png",
    ]  # fmt: skip
    assert read_evaluation(folder) == evaluation
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["subsets"]["test"]["accuracy"] == pytest.approx(4 / 7)
    assert figures["subsets"]["test"]["per_class"]["sad"]["recall"] is None
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), frame, check_dtype=False)
    for name in ("confusion.png", "reliability.png", "risk_coverage.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 500
    write_evaluation(folder, evaluation, frame)
    assert len(list(folder.iterdir())) == 6, "writing again replaces"


def test_the_picture_also_shows_what_tempering_undid(frame, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("landmarkfer.reporting.figures.draw_reliability", lambda *given: drawn.append(given))
    monkeypatch.setattr("landmarkfer.metrics.report.replacing", lambda path: nullcontext(path))
    evaluation = evaluate_predictions(frame, CLASSES, bootstrap=10)
    for table in (frame, frame.assign(temperature=1.0), frame.assign(temperature=[0.5] * 6 + [1])):
        write_evaluation(tmp_path, evaluation, table)
    assert [before is None for _, _, before in drawn] == [True, True, False]
    # At T = 0.5 they are the squares of what was: of 0.8, 0.1, 0.1 the roots are as 0.894 : 0.316 : 0.316.
    before = drawn[2][2]
    assert before["count"].sum() == 7
    was = 0.8**0.5 / (0.8**0.5 + 2 * 0.1**0.5)
    fullest = before.loc[before["count"].idxmax()]
    assert fullest["count"] == 4
    assert fullest["confidence"] == pytest.approx((3 * was + 0.6) / 4), "the last row was not tempered"


def test_per_class_table_has_a_row_for_each_subset_and_class(frame, tmp_path):
    evaluation = evaluate_predictions(frame, CLASSES, bootstrap=50)
    write_evaluation(tmp_path, evaluation, frame)
    table = pd.read_csv(tmp_path / "per_class.csv")
    assert len(table) == len(per_class_frame(evaluation)) == 5 * 3
    row = table.set_index(["subset", "class"]).loc[("test", "happy")]
    assert (row["support"], row["recall"], row["precision"]) == (4, 0.75, 0.6)
    assert row["recall_low"] <= 0.75 <= row["recall_high"]


def test_a_failed_write_leaves_no_metrics_behind(frame, tmp_path, monkeypatch):
    evaluation = evaluate_predictions(frame, CLASSES, bootstrap=10)
    write_evaluation(tmp_path, evaluation, frame)
    monkeypatch.setattr(
        "landmarkfer.reporting.figures.draw_reliability", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with pytest.raises(OSError, match="full"):
        write_evaluation(tmp_path, evaluation, frame)
    assert not (tmp_path / "metrics.json").exists(), (
        "figures must never stand beside files of another evaluation"
    )
    assert not list(tmp_path.glob(".*"))


def test_reading_what_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="landmarkfer evaluate"):
        read_evaluation(tmp_path)
    (tmp_path / "metrics.json").write_text('{"accuracy": 1}')
    with pytest.raises(RunError, match="evaluate again"):
        read_evaluation(tmp_path)
