from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.metrics.combine import (
    align_predictions,
    average_predictions,
    join_predictions,
    merge_classes,
)
from landmarkfer.metrics.predictions import UNKNOWN, Predictions


def table(happy, *, ids=("a", "b", "c"), labels=("happy", "sad", "sad"), status=("ok", "ok", "no_face")):
    frame = pd.DataFrame({"id": ids, "label": labels, "status": status, "p_happy": happy})
    frame["p_sad"] = 1 - frame["p_happy"]
    return frame


def predictions(*args, **columns):
    return Predictions.from_frame(table(*args, **columns))


def test_an_average_whatever_the_order_of_rows_and_classes():
    second = table([0.5, 0.1, 0.2])[["p_sad", "p_happy", "status", "label", "id"]].iloc[[2, 0, 1]]
    mean = average_predictions([predictions([0.9, 0.2, 0.6]), Predictions.from_frame(second)])
    assert mean.ids.tolist() == ["a", "b", "c"]
    assert mean.classes == ("happy", "sad")
    assert mean.probabilities[:, 0].tolist() == pytest.approx([0.7, 0.15, 0.4])
    assert mean.predicted.tolist() == [0, 1, 1]
    assert mean.labels.tolist() == [0, 1, 1]


def test_a_weighted_average():
    mean = average_predictions([predictions([0.9, 0.6, 0.5]), predictions([0.1, 0.2, 0.5])], [0.75, 0.25])
    assert mean.probabilities[:, 0].tolist() == pytest.approx([0.7, 0.5, 0.5])


def test_an_ensemble_has_a_face_where_any_member_has_one():
    first = predictions([0.9, 0.2, 0.6], status=("ok", "no_face", "unreadable"))
    second = predictions([0.9, 0.2, 0.6], status=("no_face", "unreadable", "unreadable"))
    assert average_predictions([first, second]).status.tolist() == ["ok", "no_face", "unreadable"]


def test_one_member_is_returned_as_it_is():
    one = predictions([0.9, 0.2, 0.6])
    pd.testing.assert_frame_equal(average_predictions([one]).to_frame(), one.to_frame())


def test_sets_belong_to_one_model():
    frame = table([0.9, 0.2, 0.6]).assign(u_happy=0.6, u_sad=0.4, set_happy=True, set_sad=False)
    frame["subset"] = "public"
    one = Predictions.from_frame(frame)
    mean = average_predictions([one, one])
    assert mean.sets is None
    np.testing.assert_allclose(mean.uncalibrated, one.uncalibrated)
    assert mean.subset.tolist() == ["public"] * 3
    assert one.without_sets().sets is None
    assert one.without_sets().uncalibrated[:, 0].tolist() == [0.6] * 3


def test_labels_of_an_average_are_chosen_by_what_chose_those_of_its_members():
    weighted = predictions([0.9, 0.2, 0.6])
    chosen = replace(
        weighted, uncalibrated=np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]), predicted=np.array([1, 1, 1])
    )
    plain = predictions([0.7, 0.2, 0.9])
    mean = average_predictions([chosen, plain])
    assert mean.probabilities[:, 0].tolist() == pytest.approx([0.8, 0.2, 0.75])
    assert mean.uncalibrated[:, 0].tolist() == pytest.approx([0.55, 0.15, 0.6])
    assert mean.predicted.tolist() == [0, 1, 0]
    assert average_predictions([plain, plain]).uncalibrated is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table([0.9, 0.2, 0.6], ids=("a", "b", "d")), "different images"),
        (table([0.9, 0.2], ids=("a", "b"), labels=("happy", "sad"), status=("ok", "ok")), "different images"),
        (table([0.9, 0.2, 0.6], labels=("happy", "happy", "sad")), "different labels"),
        (table([0.9, 0.2, 0.6], labels=("happy", None, "sad")), "different labels"),
        (
            table([0.9, 0.2, 0.6], labels=["happy"] * 3).rename(columns={"p_sad": "p_angry"}),
            "different classes",
        ),
    ],
)
def test_members_that_do_not_fit_are_refused(other, message):
    members = [predictions([0.9, 0.2, 0.6]), Predictions.from_frame(other)]
    for combine in (average_predictions, align_predictions):
        with pytest.raises(RunError, match=message):
            combine(members)


@pytest.mark.parametrize("combine", [average_predictions, align_predictions, join_predictions])
def test_nothing_is_refused(combine):
    with pytest.raises(RunError, match="At least one"):
        combine([])


def test_parts_are_joined_in_their_order():
    first = table([0.9, 0.2, 0.6]).assign(u_happy=0.8, u_sad=0.2, subset="public")
    second = table([0.3, 0.7, 0.5], ids=("d", "e", "f")).assign(u_happy=0.1, u_sad=0.9)
    second = second[["id", "label", "status", "p_sad", "p_happy", "u_sad", "u_happy"]]
    whole = join_predictions([Predictions.from_frame(first), Predictions.from_frame(second)])
    assert "".join(whole.ids) == "abcdef"
    assert whole.probabilities[:, 0].tolist() == [0.9, 0.2, 0.6, 0.3, 0.7, 0.5]
    assert whole.uncalibrated[:, 0].tolist() == [0.8, 0.8, 0.8, 0.1, 0.1, 0.1]
    assert whole.subset is None, "the second part has none"
    with pytest.raises(RunError, match="a more than once"):
        join_predictions([Predictions.from_frame(first)] * 2)


class TestMergedClasses:
    @pytest.fixture
    def three(self):
        probabilities = np.array([[0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.2, 0.3, 0.5]])
        return Predictions(
            ids=np.array(["a", "b", "c"], dtype=object),
            labels=np.array([0, 2, UNKNOWN]),
            predicted=probabilities.argmax(axis=1),
            probabilities=probabilities,
            classes=("sad", "happy", "angry"),
            status=np.full(3, "ok", dtype=object),
            sets=np.array([[True, True, False], [False, False, True], [False, True, True]]),
        )

    def test_by_hand(self, three):
        merged = merge_classes(three, {"sad": "negative", "angry": "negative", "fear": "negative"})
        assert merged.classes == ("negative", "happy")
        np.testing.assert_allclose(merged.probabilities, [[0.65, 0.35], [0.8, 0.2], [0.7, 0.3]])
        assert merged.predicted.tolist() == [0, 0, 0]
        assert merged.labels.tolist() == [0, 0, UNKNOWN]
        assert merged.sets.tolist() == [[True, True], [True, False], [True, True]]
        assert merged.ids is three.ids

    def test_into_a_class_that_is_there(self, three):
        merged = merge_classes(replace(three, sets=None), {"sad": "angry"})
        assert merged.classes == ("angry", "happy")
        assert merged.predicted.tolist() == [0, 0, 0]
        assert merged.sets is None

    def test_nothing_to_merge(self, three):
        assert merge_classes(three, {}) is three
        assert merge_classes(three, {"fear": "angry"}) is three
