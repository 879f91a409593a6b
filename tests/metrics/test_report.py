import numpy as np
import pandas as pd
import pytest

from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import evaluate_predictions

CLASSES = ["angry", "happy", "sad"]


def evaluated(frame, bootstrap=10):
    return evaluate_predictions(Predictions.from_frame(frame, CLASSES), bootstrap=bootstrap)


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
    subsets = evaluated(frame, bootstrap=50).subsets
    assert list(subsets) == ["test", "test_detected", "public", "private", "clean"]
    assert [report.n for report in subsets.values()] == [7, 4, 4, 3, 4]
    assert [round(report.accuracy * report.n) for report in subsets.values()] == [4, 3, 3, 1, 3]


def test_images_without_a_near_duplicate_are_a_subset_where_they_are_known(frame):
    known = frame.assign(clean_near=[True, False, False, True, True, False, None])
    subsets = evaluated(known, bootstrap=50).subsets
    assert list(subsets)[-2:] == ["clean", "clean_near"]
    report = subsets["clean_near"]
    assert (report.n, report.accuracy) == (3, 1)
    assert subsets["clean"] == evaluated(frame, bootstrap=50).subsets["clean"]


def test_figures_of_all_images_by_hand(frame):
    test = evaluated(frame, bootstrap=50).subsets["test"]
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
    subsets = evaluated(sets, bootstrap=10).subsets
    found = subsets["test"].sets
    assert (found.stated, found.coverage) == (0.9, 1.0)
    assert found.interval == (pytest.approx(0.025 ** (1 / 7)), 1.0)
    assert (found.size, found.single) == (pytest.approx(12 / 7), pytest.approx(2 / 7))
    none_happy = sets.assign(set_happy=False, set_sad=True)
    assert evaluated(none_happy, bootstrap=10).subsets["test"].sets.coverage == 3 / 7
    assert subsets["private"].sets.single == 0


def test_what_the_table_does_not_know_is_not_reported(frame):
    plain = frame.drop(columns=["subset", "clean"])
    assert list(evaluated(plain, bootstrap=10).subsets) == ["test", "test_detected"]
    undetected = plain.assign(status="no_face")
    assert list(evaluated(undetected, bootstrap=10).subsets) == ["test"]
    unknown = frame.assign(subset=None, clean=None)
    assert list(evaluated(unknown, bootstrap=10).subsets) == ["test", "test_detected"]


def test_order_of_rows_and_index_do_not_matter(frame):
    shuffled = frame.sample(frac=1, random_state=2)
    assert evaluated(shuffled, bootstrap=2000) == evaluated(frame, bootstrap=2000)


def test_intervals_over_people_where_they_are_known(frame):
    images = evaluated(frame, bootstrap=500)
    assert {report.groups for report in images.subsets.values()} == {None}
    people = evaluated(frame.assign(group=["a", "a", "a", "b", "b", None, None]), bootstrap=500)
    assert people.subsets["test"].groups == 4
    assert people.subsets["test"].intervals != images.subsets["test"].intervals
    assert people.subsets["test"].accuracy == images.subsets["test"].accuracy
    assert people.subsets["private"].groups is None, "each of another person"
    assert people.subsets["private"] == images.subsets["private"]


def test_without_groups_of_several_images_nothing_changes(frame):
    images = evaluated(frame, bootstrap=500)
    for groups in ([None] * 7, list("abcdefg")):
        assert evaluated(frame.assign(group=groups), bootstrap=500) == images


def test_evaluations_of_before_there_were_groups_are_read(frame):
    evaluation = evaluated(frame)
    content = evaluation.model_dump()
    for report in content["subsets"].values():
        del report["groups"]
    assert type(evaluation).model_validate(content) == evaluation


def test_a_class_all_of_whose_images_are_missed_has_an_interval():
    rows = pd.DataFrame({"label": ["happy"] * 40 + ["angry"] * 4, "predicted": "happy", "status": "ok"})
    rows = rows.assign(id=[f"{i}.jpg" for i in rows.index], p_angry=0.1, p_happy=0.9, p_sad=0.0)
    test = evaluated(rows).subsets["test"]
    assert test.per_class["angry"].intervals["recall"] == (0, pytest.approx(0.602, abs=0.001))
    assert test.per_class["angry"].intervals["precision"] == (None, None), "never predicted"
    assert test.per_class["sad"].intervals["recall"] == (None, None), "absent"
    assert test.intervals["balanced_accuracy"][0] < 0.5 < 0.75 < test.intervals["balanced_accuracy"][1]
    assert test.averages_remark() == (
        "Balanced accuracy and macro-F1 give angry (4 images) the weight of happy (40): "
        "1 of 2 classes rests on fewer than 30 images."
    )


def test_coverage_of_sets_over_people(frame):
    sets = frame.assign(set_angry=True, set_happy=True, set_sad=False)
    people = sets.assign(group=["a", "a", "a", "b", "b", "b", "b"])
    assert evaluated(people).subsets["test"].sets.interval == (pytest.approx(0.025 ** (1 / 2)), 1.0)


def test_each_of_several_caches_is_a_subset(frame):
    names = np.array(["photos", "clean"], object)[np.arange(len(frame)) % 2]
    found = evaluated(frame.assign(cache=names)).subsets
    assert list(found)[:4] == ["test", "test_detected", "cache clean", "photos"]
    for subset, name in (("cache clean", "clean"), ("photos", "photos")):
        alone = evaluated(frame[names == name]).subsets["test"]
        assert found[subset] == alone
    plain = evaluated(frame).subsets
    assert {name: found[name] for name in plain} == plain, "and the others are as they were"
