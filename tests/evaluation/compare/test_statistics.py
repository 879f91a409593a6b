from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.evaluation.compare.disagreements import image_disagreements
from landmarkfer.evaluation.compare.statistics import (
    DIFFERENCE_COLUMNS,
    confusion_differences,
    cut,
    differences_in,
    pair_systems,
    points_text,
    slice_differences,
)
from landmarkfer.metrics.predictions import Predictions

CLASSES = ("happy", "sad", "angry")
SHORT = dict(zip("hsa", CLASSES, strict=True))
LABELS = "hhhh ssss aaaa"
FEW = {"resamples": 200, "permutations": 999}


def predictions(predicted, labels=LABELS, sure=0.8):
    """Predictions by letters; the other classes share what is left of the probability."""
    predicted, labels = predicted.replace(" ", ""), labels.replace(" ", "")
    frame = pd.DataFrame(
        {
            "id": [f"{number:03}" for number in range(len(predicted))],
            "label": [SHORT[one] for one in labels],
            "predicted": [SHORT[one] for one in predicted],
            "status": "ok",
        }
    )
    for name in CLASSES:
        frame[f"p_{name}"] = np.where(frame["predicted"] == name, sure, (1 - sure) / 2)
    return Predictions.from_frame(frame)


FIRST = predictions("hhhs sshh aaaa")
SECOND = predictions("hhss shha aaas")


def found(rows, part, name="", other="", metric=None):
    (one,) = [
        row
        for row in differences_in(rows)
        if (row.part, row.name, row.other) == (part, name, other) and metric in (None, row.metric)
    ]
    return one


@pytest.fixture(scope="module")
def rows():
    return confusion_differences(pair_systems([FIRST], [SECOND]))


class TestByHand:
    def test_rows(self, rows):
        assert tuple(rows.columns) == DIFFERENCE_COLUMNS
        assert rows["part"].value_counts().to_dict() == {"class": 9, "predicted": 6, "all": 3, "either": 3}

    @pytest.mark.parametrize(
        ("key", "images", "first", "second"),
        [
            (("all", "", "", "accuracy"), 12, 9 / 12, 6 / 12),
            (("class", "happy", "", "recall"), 4, 3 / 4, 2 / 4),
            (("class", "happy", "", "precision"), 4, 3 / 5, 2 / 4),
            (("class", "happy", "", "f1"), 4, 6 / 9, 4 / 8),
            (("class", "angry", "", "precision"), 4, 1, 3 / 4),
            (("predicted", "happy", "sad", "rate"), 4, 1 / 4, 2 / 4),
            (("predicted", "sad", "happy", "rate"), 4, 2 / 4, 2 / 4),
            (("predicted", "sad", "angry", "rate"), 4, 0, 1 / 4),
            (("either", "happy", "sad", "rate"), 8, 3 / 8, 4 / 8),
            (("either", "sad", "angry", "rate"), 8, 0, 2 / 8),
        ],
    )
    def test_figures(self, rows, key, images, first, second):
        one = found(rows, *key)
        assert (one.images, one.first, one.second) == pytest.approx((images, first, second))
        assert one.difference == pytest.approx(first - second)
        assert one.low <= one.difference <= one.high

    def test_p_is_that_of_exchanging_the_images_that_differ(self, rows):
        # Three images are right in the first system alone: all three on one side in 2 of 8 exchanges.
        assert found(rows, "all", metric="accuracy").p == pytest.approx(2 / 8, abs=0.02)
        assert found(rows, "class", "happy", metric="recall").p == pytest.approx(1, abs=0.01)

    def test_confusions_begin_with_the_largest_difference(self, rows):
        for part in ("predicted", "either"):
            sizes = rows.loc[rows["part"] == part, "difference"].abs()
            assert sizes.is_monotonic_decreasing
        assert rows.loc[rows["part"] == "either", "other"].iloc[0] == "angry"


def test_seeds_are_averaged_and_need_not_be_equally_many():
    other_seed = predictions("shhs sshh aaaa")
    rows = confusion_differences(pair_systems([FIRST, other_seed], [SECOND]), **FEW)
    assert found(rows, "class", "happy", metric="recall").first == pytest.approx((3 / 4 + 2 / 4) / 2)
    assert found(rows, "predicted", "happy", "sad").difference == pytest.approx((1 / 4 + 2 / 4) / 2 - 2 / 4)


def test_order_of_images_and_of_classes_does_not_matter():
    shuffled = SECOND.rows(np.random.default_rng(1).permutation(12)).by_class(CLASSES[::-1])
    plain, other = (confusion_differences(pair_systems([FIRST], [t]), **FEW) for t in (SECOND, shuffled))
    pd.testing.assert_frame_equal(plain, other)


def test_equal_systems_differ_in_nothing():
    pair = pair_systems([FIRST, SECOND], [SECOND, FIRST])
    measures = pd.DataFrame({"size": np.arange(12.0)}, index=pair.ids)
    rows = pd.concat([confusion_differences(pair, **FEW), slice_differences(pair, measures, **FEW)])
    assert rows[["difference", "low", "high"]].abs().to_numpy().max() < 1e-12
    assert (rows["p_holm"] == 1).all()
    assert set(image_disagreements(pair)["outcome"]) == {"even"}


def test_a_class_without_images_has_no_recall():
    rows = confusion_differences(pair_systems([predictions("hs", "hs")], [predictions("ss", "hs")]), **FEW)
    assert set(rows.loc[rows["metric"] == "recall", "name"]) == {"happy", "sad"}
    assert set(rows.loc[rows["part"] == "predicted", "name"]) == {"happy", "sad"}
    assert rows["p_holm"].notna().all()


def test_other_images_are_refused():
    with pytest.raises(RunError, match="different images"):
        pair_systems([FIRST], [predictions("hhh", "hhh")])


@pytest.fixture(scope="module")
def planted():
    """Of 900 images, the second system takes 40 happy ones with the largest numbers for sad ones."""
    rng = np.random.default_rng(5)
    labels = "".join(rng.choice(list("hsa"), 900))
    predicted = [label if rng.random() < 0.7 else rng.choice(list("hsa")) for label in labels]
    number = rng.random(900)
    right = np.array([a == b == "h" for a, b in zip(labels, predicted, strict=True)])
    moved = np.flatnonzero(right)[np.argsort(-number[right])[:40]]
    changed = ["s" if place in moved else one for place, one in enumerate(predicted)]
    pair = pair_systems([predictions("".join(predicted), labels)], [predictions("".join(changed), labels)])
    return pair, pd.DataFrame({"size": number, "noise": rng.random(900)}, index=pair.ids), number[moved]


class TestPlanted:
    def test_class_and_pair_are_found(self, planted):
        rows = confusion_differences(planted[0])
        real = rows[rows["p_holm"] < 0.01]
        assert set(real.loc[real["metric"] == "recall", "name"]) == {"happy"}
        assert [(one.name, one.other) for one in differences_in(real[real["part"] == "predicted"])] == [
            ("happy", "sad")
        ]
        assert [(one.name, one.other) for one in differences_in(real[real["part"] == "either"])] == [
            ("happy", "sad")
        ]
        assert found(rows, "predicted", "happy", "sad").difference < 0
        assert found(rows, "class", "sad", metric="precision").difference > 0

    def test_slice_is_found(self, planted):
        pair, measures, moved = planted
        rows = slice_differences(pair, measures)
        slices = [one for one in differences_in(rows) if (one.part, one.name) == ("slice", "size")]
        assert [one.images for one in slices] == [300, 300, 300]
        last = np.sum(moved > measures["size"].quantile(2 / 3)) / 300
        assert slices[2].difference == pytest.approx(last)
        assert slices[2].p_holm < 0.01
        assert slices[0].p_holm == 1
        (trend,) = [one for one in differences_in(rows) if (one.part, one.name) == ("trend", "size")]
        assert trend.difference == pytest.approx(slices[2].difference - slices[0].difference)
        assert trend.p_holm < 0.01
        assert trend.other == f"{slices[2].other} against {slices[0].other}"

    def test_images_are_lost_by_the_second(self, planted):
        disagreements = image_disagreements(planted[0])
        assert (disagreements["outcome"] == "won").sum() == 40
        assert set(disagreements.loc[disagreements["outcome"] == "won", "label"]) == {"happy"}
        assert not (disagreements["outcome"] == "lost").any()


class TestSlices:
    def test_by_hand(self):
        pair = pair_systems([FIRST], [SECOND])
        measures = pd.DataFrame({"face": ["found"] * 8 + ["not found"] * 4}, index=pair.ids)
        rows = slice_differences(pair, measures, **FEW)
        one = found(rows, "slice", "face", "found")
        assert (one.images, one.first, one.second) == pytest.approx((8, 5 / 8, 3 / 8))
        one = found(rows, "trend", "face", "not found against found")
        assert (one.first, one.second) == pytest.approx((1 - 5 / 8, 3 / 4 - 3 / 8))

    def test_stated_bins_and_missing_numbers(self):
        pair = pair_systems([FIRST], [SECOND])
        size = pd.Series([*range(10), np.nan, np.nan], index=pair.ids, dtype=float)
        rows = slice_differences(pair, size.to_frame("size"), {"size": [2]}, **FEW)
        slices = [one for one in differences_in(rows) if one.part == "slice"]
        assert [(one.other, one.images) for one in slices] == [("up to 2", 3), ("over 2", 7)]

    def test_what_cannot_be_sliced_is_left_out(self):
        pair = pair_systems([FIRST], [SECOND])
        size = pd.Series(np.arange(12.0), index=pair.ids)
        measures = pd.DataFrame(
            {"equal": 1.0, "missing": np.nan, "one": "found", "size": size, "share": size / 48}
        )
        rows = slice_differences(pair, measures, **FEW)
        assert set(rows["name"]) == {"size"}, "a share of equal widths slices as the size itself"
        none = slice_differences(pair, measures[["equal", "missing", "one"]], **FEW)
        assert none.empty
        assert tuple(none.columns) == DIFFERENCE_COLUMNS

    def test_a_number_of_few_values_is_cut_by_value(self):
        column = cut(pd.Series([3.0, 1.0, 3.0, np.nan, 2.0]))
        assert list(column.cat.categories) == ["1", "2", "3"]
        assert column.isna().tolist() == [False, False, False, True, False]

    def test_terciles_and_ties(self):
        column = cut(pd.Series(np.arange(90.0) - 30))
        assert column.value_counts().tolist() == [30, 30, 30]
        assert column.cat.categories[0].startswith("up to -0.")
        tied = cut(pd.Series([*range(10), *[10] * 80], dtype=float))
        assert tied.value_counts().to_dict() == {"over 9": 80, "up to 9": 10}


def test_points_are_signed_unless_they_are_none():
    assert [points_text(value) for value in (0.0123, -0.0123, 0.0004, -0.0004)] == [
        "+1.2",
        "-1.2",
        "0.0",
        "0.0",
    ]


def test_whole_groups_are_drawn_and_exchanged():
    """Where all images of a person are alike, the intervals and tests are those of one image of each."""
    people = np.repeat(np.array([f"person {number:02}" for number in range(12)], dtype=object), 3)
    labels = "".join(3 * one for one in LABELS.replace(" ", ""))
    several = [
        replace(predictions("".join(3 * one for one in given.replace(" ", "")), labels), groups=people)
        for given in ("hhhs sshh aaaa", "hhss shha aaas")
    ]
    pair = pair_systems(*([one] for one in several))
    assert pair.groups.max() == 11
    grouped = confusion_differences(pair, **FEW)
    alone = confusion_differences(pair_systems([FIRST], [SECOND]), **FEW)
    columns = ["part", "name", "other", "metric", "difference", "low", "high", "p"]
    pd.testing.assert_frame_equal(grouped[columns], alone[columns])
