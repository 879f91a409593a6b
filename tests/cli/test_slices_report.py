import io

import numpy as np
import pytest
from rich.console import Console

from landmarkfer.cli.slices_report import slices_table, small_slices_remark
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import Evaluation, evaluate_predictions
from landmarkfer.metrics.slices import Slice, SmallSlices


def evaluation(groups=None) -> Evaluation:
    predictions = Predictions(
        ids=np.array(list("abcd"), dtype=object),
        labels=np.array([0, 1, 0, 1]),
        predicted=np.array([0, 1, 1, 1]),
        probabilities=np.eye(2)[[0, 1, 1, 1]],
        classes=("happy", "sad"),
        status=np.full(4, "ok", dtype=object),
        groups=groups,
    )
    figures = {"accuracy": 0.5, "interval": (0.25, 0.755), "balanced_accuracy": 0.4}
    many = {"a": 9, "b": 8, "c": 4, "d": 3, "e": 1, "f": 1}
    large = {"sad": 200, "happy": 1000}
    slices = [
        Slice(feature="image size", value="[48] x 48", n=1200, classes=large, **figures),
        Slice(feature="image size", value="another", n=26, classes=many, **figures),
        Slice(feature="colour", value="grey", n=21, classes={"sad": 21}, **figures),
    ]
    return evaluate_predictions(predictions, bootstrap=10).model_copy(update={"slices": slices})


def printed(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "…" not in text, "it fits a terminal"
    return text


def test_a_row_for_each_slice_below_its_feature():
    lines = [" ".join(line.split()) for line in printed(slices_table(evaluation())).splitlines()]
    size, first, second = (lines.index(text) for text in ("image size", first_row(), "colour"))
    assert size < first < second
    assert "grey 21 50.00 25.0–75.5 40.00 sad 21" in lines
    assert "another 26 50.00 25.0–75.5 40.00 a 9, b 8, c 4, d 3, 2 other classes: 2" in " ".join(lines)


def first_row():
    return "[48] x 48 1,200 50.00 25.0–75.5 40.00 happy 1,000, sad 200"


@pytest.mark.parametrize("groups", [None, np.array(["x", "x", "y", None], dtype=object)])
def test_intervals_say_where_groups_are_passed_over(groups):
    text = " ".join(printed(slices_table(evaluation(groups))).split())
    assert "exact 95 % intervals over images" in text
    assert ("one group taken as independent" in text) == (groups is not None)


def test_groups_have_a_column_where_they_are_known():
    found = evaluation(np.array(["x", "x", "y", None], dtype=object))
    slices = [one.model_copy(update={"groups": 7 + n}) for n, one in enumerate(found.slices)]
    text = printed(slices_table(found.model_copy(update={"slices": slices})))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "slice images groups accuracy interval balanced classes" in lines
    assert "grey 21 9 50.00 25.0–75.5 40.00 sad 21" in lines
    assert "percent, beside 95 % intervals over groups (Korn-Graubard)" in lines
    assert "groups" not in printed(slices_table(evaluation()))


def test_one_other_class_is_one_class():
    found = evaluation()
    few = found.slices[1].model_copy(update={"classes": {"a": 9, "b": 8, "c": 4, "d": 3, "e": 2}})
    text = printed(slices_table(found.model_copy(update={"slices": [few]})))
    assert "d 3, 1 other class: 2" in " ".join(text.split())


def test_values_without_a_slice_are_counted():
    assert small_slices_remark(evaluation()) is None
    left_out = [
        SmallSlices(feature="image size", values=3, images=1031),
        SmallSlices(feature="colour", values=1, images=1),
    ]
    assert small_slices_remark(evaluation().model_copy(update={"small_slices": left_out})) == (
        "No slice, since fewer than 20 test images have the value: image size: 3 values with 1,031 images in "
        "all; colour: 1 value with 1 image in all."
    )
