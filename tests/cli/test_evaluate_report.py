import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from landmarkfer.cli.evaluate_report import (
    calibration_table,
    class_table,
    confidence_table,
    of_validation,
    print_evaluation,
    remarks,
    reservations,
    shares_remark,
    shift_table,
    summary_table,
)
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import OtherData, evaluate_predictions


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

    images = " ".join(caption(frame).split())
    assert "95 % intervals over images accuracy: Clopper-Pearson; balanced and macro-F1" in images
    assert "of the bootstrap (50 resamples)" in images
    people = " ".join(caption(frame.assign(group=["ann", "ann", "bob", None, None])).split())
    assert "95 % intervals over 4 groups (people or sequences) accuracy: Korn-Graubard; balanced" in people
    assert "of the bootstrap (50 resamples)" in people


def test_images_without_a_face_and_unreadable_ones_are_distinguished(frame):
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=50)
    assert not [line for line in reservations(evaluation) if "read" in line]
    status = ["unreadable", "unreadable", "ok", "ok", "no_face"]
    evaluation = evaluate_predictions(Predictions.from_frame(frame.assign(status=status)), bootstrap=50)
    assert row(printed(summary_table(evaluation)), "test")[1:3] == ["5", "1"]
    assert reservations(evaluation)[-1] == (
        "2 of 5 images of test could not be read; like images without a face, they count with the fallback "
        "prediction."
    )


@pytest.mark.parametrize(
    ("unreadable", "expected"),
    [
        (0, "of which 3 without a face, with"),
        (1, "of which 3 without a face and 1 that could not be read, with"),
    ],
)
def test_unreadable_images_of_another_cache(unreadable, expected):
    other = OtherData(
        cache="b",
        images=9,
        no_face=3,
        unreadable=unreadable,
        predicted={},
        unlabelled=9,
        left_out={},
        absent=[],
    )
    assert expected in remarks(other, labelled=False)[0]


class TestClasses:
    def evaluation(self, **images):
        labels = [name for name, number in images.items() for _ in range(number)]
        rows = pd.DataFrame({"label": labels, "predicted": labels, "status": "ok"})
        for name in images:
            rows[f"p_{name}"] = (rows["label"] == name).astype(float)
        rows = rows.assign(id=[f"{i}.jpg" for i in rows.index])
        return evaluate_predictions(Predictions.from_frame(rows, list(images)), bootstrap=50)

    def test_scores_stand_beside_numbers_of_images(self, frame):
        text = printed(class_table(evaluate_predictions(Predictions.from_frame(frame), bootstrap=50)))
        assert row(text, "angry") == ["angry", "3", "*", "66.67", "66.67", "66.67"]
        below = text.splitlines()[[line.split()[:1] for line in text.splitlines()].index(["angry"]) + 1]
        assert below.split() == ["9.4–99.2", "9.4–99.2", "12.7–96.5"]

    def test_few_images_are_marked_and_explained(self):
        evaluation = self.evaluation(happy=30, fear=29, sad=0)
        text = printed(class_table(evaluation))
        assert row(text, "happy")[:3] == ["happy", "30", "100.00"]
        assert row(text, "fear")[:3] == ["fear", "29", "*"]
        assert row(text, "sad") == ["sad", "0", "*", "–", "–", "–"]
        assert "* fewer than 30" in text
        (remark,) = reservations(evaluation)
        assert remark.startswith(
            "Balanced accuracy and macro-F1 give fear (29 images) the weight of happy (30)"
        )

    def test_nothing_is_marked_where_all_have_enough(self):
        evaluation = self.evaluation(happy=30, fear=30)
        assert "*" not in printed(class_table(evaluation))
        assert not reservations(evaluation)


@pytest.mark.parametrize("wrong", [0.0005, 0.9995, 0.5])
@pytest.mark.parametrize("groups", [None, 1200])
def test_everything_fits_on_80_columns(groups, wrong):
    """Thousands of images, figures of 100.00, intervals to 100.0, sets, and a long name."""
    names = ["a_class_with_a_long_name", "contempt", "surprise"]
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [14_000, 14_000, 3])
    predicted = np.where(rng.random(len(labels)) < wrong, (labels + 1) % 3, labels)
    predicted[:2] = 1
    rows = pd.DataFrame({"label": np.array(names)[labels], "predicted": np.array(names)[predicted]})
    for number, name in enumerate(names):
        rows[f"p_{name}"] = np.where(predicted == number, 1 - 2e-12, 1e-12)
        rows[f"set_{name}"] = True
    rows = rows.assign(id=[f"{i}.jpg" for i in rows.index], status="ok", clean=True, clean_near=True)
    rows.loc[:20, "status"] = "unreadable"
    if groups:
        rows["group"] = rng.integers(0, groups, len(rows)).astype(str)
    console = Console(width=80, record=True, file=io.StringIO())
    evaluation = evaluate_predictions(Predictions.from_frame(rows, names), bootstrap=50)
    print_evaluation(evaluation, "a run", console)
    text = console.export_text()
    assert "…" not in text
    assert "100.00" in text
    cells = [f"{100 * end:.1f}" for end in evaluation.subsets["test"].sets.interval]
    assert "–".join(cells) in text
    for report in evaluation.subsets.values():
        for ends in report.intervals.values():
            assert "–".join(f"{100 * end:.1f}" for end in ends) in text


def test_calibration_of_each_class(frame):
    sets = frame.assign(set_angry=[True, True, True, True, False], set_happy=[False, False, True, True, True])
    evaluation = evaluate_predictions(Predictions.from_frame(sets), bootstrap=10)
    text = printed(calibration_table(evaluation))
    own = evaluation.subsets["test"].calibration["angry"]
    # 2.7 of 5 images are expected to be angry, and 3 are; sets hold 2 of them, and 4 of 5 sets have angry.
    assert row(text, "angry") == ["angry", "3", "60.00", "54.00", f"{100 * own.ece:.2f}", "66.67", "80.00"]
    assert row(text, "happy")[-2:] == ["100.00", "60.00"]
    mean = 100 * evaluation.subsets["test"].classwise_ece
    assert f"{mean:.2f}" in text
    without = printed(calibration_table(evaluate_predictions(Predictions.from_frame(frame), bootstrap=10)))
    assert row(without, "angry")[-1] == f"{100 * own.ece:.2f}" and "hold it" not in without


def other_data(**changes):
    given = {"cache": "others", "images": 5, "no_face": 0, "unreadable": 0, "predicted": {}}
    return OtherData(**given, unlabelled=0, left_out={}, absent=[], **changes)


def test_figures_stand_beside_those_of_the_own_test_images(frame):
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=10)
    test = evaluation.subsets["test"]
    other = other_data(own={"accuracy": 0.8, "nll": 0.5, "coverage": 0.9})
    text = printed(shift_table(evaluation, other))
    assert row(text, "accuracy")[1:] == ["80.00", "60.00", "-20.00"]
    assert row(text, "NLL")[1:] == ["0.500", f"{test.nll:.3f}", f"{test.nll - 0.5:+.3f}"]
    assert "coverage" not in text, "of which there is none here"
    under = evaluation.model_copy(update={"prior": "uniform"})
    text = " ".join(printed(shift_table(under, other)).split())
    assert "under the prior 'uniform', own images under the training prior" in text
    console = Console(width=80, record=True, file=io.StringIO())
    print_evaluation(evaluation.model_copy(update={"other_data": other}), "a run", console)
    assert "own test images" in console.export_text()


def test_other_class_shares_are_said():
    similar = other_data(shares={"angry": (0.5, 0.55), "happy": (0.5, 0.45)})
    assert shares_remark(similar) is None
    shares = {"angry": (0.5, 0.1), "happy": (0.5, 0.9)}
    assert shares_remark(other_data(shares=shares)) == (
        "Classes are not as frequent in others as in training (angry 50.0 and 10.0 %, happy 50.0 and 90.0 "
        "%): --prior CLASS=SHARE for each class predicts under the shares that are expected, 0 for a class "
        "that cannot occur."
    )
    assert shares_remark(other_data(shares=shares)) in remarks(other_data(shares=shares), labelled=True)
    under = remarks(other_data(shares=shares), labelled=True, prior="uniform")
    assert under == [], "it is followed already"


def test_images_that_were_trained_on_are_said():
    (line,) = remarks(other_data(trained_on=3), labelled=True)
    assert line.startswith("3 images of others are pixel-identical to one that trained or validated the run")


def test_sets_that_rule_out_little_are_called_so(frame):
    sets = frame.assign(set_angry=True, set_happy=True)
    evaluation = evaluate_predictions(Predictions.from_frame(sets), bootstrap=10)
    assert any("2.0 of 2 classes on average" in line for line in reservations(evaluation))
    small = evaluate_predictions(
        Predictions.from_frame(frame.assign(set_angry=True, set_happy=False)), bootstrap=10
    )
    assert not any("on average" in line for line in reservations(small))


def test_classes_that_share_a_threshold_are_said(frame):
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=10)
    three = evaluation.model_copy(update={"classes": ["angry", "happy", "sad"]})
    shared = three.model_copy(update={"shared_sets": ["angry", "happy"]})
    sentence = "Prediction sets hold their coverage for angry, happy together, not for each: too few "
    assert [line for line in reservations(shared) if line.startswith("Prediction sets")] == [
        sentence + "validation images."
    ]
    every = evaluation.model_copy(update={"shared_sets": ["angry", "happy"]})
    assert [line for line in reservations(every) if line.startswith("Prediction sets")] == [
        "Prediction sets hold their coverage for all classes together, not for each."
    ]
    assert not any(line.startswith("Prediction sets") for line in reservations(evaluation))
