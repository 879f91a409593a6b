import io

import pandas as pd
import pytest
from rich.console import Console

from landmarkfer.cli.evaluate_report import confidence_table, of_validation, print_evaluation, summary_table
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import evaluate_predictions


@pytest.fixture
def frame():
    table = pd.DataFrame({"p_angry": [0.9, 0.8, 0.6, 0.3, 0.1]})
    table["p_happy"] = 1 - table["p_angry"]
    table["predicted"] = ["angry", "angry", "angry", "happy", "happy"]
    table["label"] = ["angry", "angry", "happy", "happy", "angry"]
    table["status"] = ["ok", "ok", "ok", "ok", "no_face"]
    return table.assign(id=list("abcde"))


def printed(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "…" not in text, "it fits a terminal"
    return text


def row(text, subset):
    return next(line for line in text.splitlines() if line.split()[:1] == [subset]).split()


def test_accuracy(frame):
    text = printed(summary_table(evaluate_predictions(Predictions.from_frame(frame), bootstrap=50), "a run"))
    assert "a run" in text
    assert row(text, "test")[1:4] == ["5", "1", "60.00"]
    assert row(text, "test_detected")[1:4] == ["4", "0", "75.00"]


def test_confidence(frame):
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=50)
    text = printed(confidence_table(evaluation))
    test = evaluation.subsets["test"]
    assert row(text, "test")[1:3] == [f"{test.nll:.3f}", f"{test.brier:.3f}"]
    assert row(text, "test")[4:] == ["75.00", "66.67"], "over the four and the three of highest confidence"
    assert "nominal coverage" not in text


def test_sets_where_there_are_some(frame):
    sets = frame.assign(set_angry=[True, True, True, True, False], set_happy=[False, False, True, True, True])
    text = printed(confidence_table(evaluate_predictions(Predictions.from_frame(sets), bootstrap=50)))
    assert row(text, "test")[-3:] == ["80.00", "1.40", "60.00"]
    assert row(text, "test_detected")[-3:] == ["100.00", "1.50", "50.00"]
    assert "nominal coverage" in text


def test_validation_images_are_not_called_test_images(frame):
    evaluation = of_validation(evaluate_predictions(Predictions.from_frame(frame), bootstrap=10))
    assert list(evaluation.subsets) == ["val", "val_detected"]


def test_warnings_stand_after_the_tables(frame):
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=50)
    warned = evaluation.model_copy(update={"warnings": ["every [b]image was predicted as 'angry'", "two"]})
    for one, expected in ((evaluation, []), (warned, [f"Warning: {text}" for text in warned.warnings])):
        console = Console(width=80, record=True, file=io.StringIO())
        print_evaluation(one, "a run", console)
        lines = console.export_text().splitlines()
        assert [line.rstrip() for line in lines if line.startswith("Warning")] == expected
        assert [line.rstrip() for line in lines[len(lines) - len(expected) :]] == expected
    assert repr(warned).splitlines()[-2:] == [f"Warning: {text}" for text in warned.warnings]


def test_what_the_intervals_are_over(frame):
    def caption(table):
        return printed(summary_table(evaluate_predictions(Predictions.from_frame(table), bootstrap=50)))

    assert "bootstrap intervals over images (50 resamples)" in " ".join(caption(frame).split())
    people = " ".join(caption(frame.assign(group=["ann", "ann", "bob", None, None])).split())
    assert "bootstrap intervals over 4 groups (people or sequences) (50 resamples)" in people
