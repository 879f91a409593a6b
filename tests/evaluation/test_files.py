import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.calibration.temperature import temper
from landmarkfer.errors import RunError
from landmarkfer.evaluation.files import per_class_frame, read_evaluation, write_evaluation
from landmarkfer.metrics.calibration import reliability_table
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import evaluate_predictions
from landmarkfer.reporting import evaluation_figures as figures

CLASSES = ["angry", "happy", "sad"]


@pytest.fixture
def predictions():
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
    return Predictions.from_frame(table)


def test_written_and_read_again(predictions, tmp_path):
    evaluation = evaluate_predictions(predictions, bootstrap=10)
    folder = tmp_path / "runs" / "a"
    write_evaluation(folder, evaluation, predictions)
    assert sorted(path.name for path in folder.iterdir()) == [
        "class_reliability.png", "confusion.png", "metrics.json", "per_class.csv", "predictions.parquet",
        "reliability.png", "risk_coverage.png",
    ]  # fmt: skip
    assert read_evaluation(folder) == evaluation
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["subsets"]["test"]["accuracy"] == pytest.approx(4 / 7)
    assert figures["subsets"]["test"]["per_class"]["sad"]["recall"] is None
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), predictions.to_frame())
    for name in ("confusion.png", "reliability.png", "class_reliability.png", "risk_coverage.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 500
    write_evaluation(folder, evaluation, predictions)
    assert len(list(folder.iterdir())) == 7, "writing again replaces"


def test_the_picture_also_shows_the_confidence_before_calibration(predictions, tmp_path, monkeypatch):
    drawn = []
    draw = figures.draw_reliability
    monkeypatch.setattr(figures, "draw_reliability", lambda *given: drawn.append(given) or draw(*given))
    evaluation = evaluate_predictions(predictions, bootstrap=10)
    same = predictions.probabilities
    was = np.append(temper(same[:6], 2.0), same[6:], axis=0)
    for uncalibrated in (None, same, was):
        write_evaluation(tmp_path, evaluation, replace(predictions, uncalibrated=uncalibrated))
    assert [before is None for _, _, _, before, _ in drawn] == [True, True, False]
    # They are the squares of what was: of 0.8, 0.1, 0.1 the roots are as 0.894 : 0.316 : 0.316.
    before = reliability_table(drawn[2][3], predictions.correct)
    assert before["count"].sum() == 7
    was = 0.8**0.5 / (0.8**0.5 + 2 * 0.1**0.5)
    fullest = before.loc[before["count"].idxmax()]
    assert fullest["count"] == 4
    assert fullest["confidence"] == pytest.approx((3 * was + 0.6) / 4), "the last row was not scaled"


def test_per_class_table_has_a_row_for_each_subset_and_class(predictions, tmp_path):
    evaluation = evaluate_predictions(predictions, bootstrap=10)
    write_evaluation(tmp_path, evaluation, predictions)
    table = pd.read_csv(tmp_path / "per_class.csv")
    assert len(table) == len(per_class_frame(evaluation)) == 5 * 3
    row = table.set_index(["subset", "class"]).loc[("test", "happy")]
    assert (row["support"], row["recall"], row["precision"]) == (4, 0.75, 0.6)
    assert row["recall_low"] <= 0.75 <= row["recall_high"]


def test_per_class_table_marks_classes_of_few_images():
    rows = pd.DataFrame({"label": ["happy"] * 30 + ["sad"] * 29, "predicted": "happy", "status": "ok"})
    rows = rows.assign(id=[f"{i}.jpg" for i in rows.index], p_happy=0.9, p_sad=0.1, p_angry=0.0)
    evaluation = evaluate_predictions(Predictions.from_frame(rows, ["happy", "sad", "angry"]), bootstrap=10)
    table = per_class_frame(evaluation).set_index(["subset", "class"]).loc["test"]
    assert table["few"].to_dict() == {"happy": False, "sad": True, "angry": True}
    assert table["support"].to_dict() == {"happy": 30, "sad": 29, "angry": 0}
    assert table.loc["sad", "recall_high"] > 0.1, "29 of 29 missed"


def test_a_failed_write_leaves_no_metrics_behind(predictions, tmp_path, monkeypatch):
    evaluation = evaluate_predictions(predictions, bootstrap=10)
    write_evaluation(tmp_path, evaluation, predictions)
    monkeypatch.setattr(
        "landmarkfer.reporting.evaluation_figures.draw_reliability",
        lambda *_: (_ for _ in ()).throw(OSError("full")),
    )
    with pytest.raises(OSError, match="full"):
        write_evaluation(tmp_path, evaluation, predictions)
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
