from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landmarkfer.metrics.intervals import grouped_proportion_intervals
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.slices import LEAST, Slice, slice_predictions, small_slices


@pytest.fixture
def predictions():
    """60 images: of 40 happy ones 30 are correct, of 20 sad ones 5."""
    labels = np.repeat([0, 1], [40, 20])
    predicted = np.concatenate([np.repeat([0, 1], [30, 10]), np.repeat([1, 0], [5, 15])])
    return Predictions(
        ids=np.array([f"{n:02}" for n in range(60)], dtype=object),
        labels=labels,
        predicted=predicted,
        probabilities=np.eye(3)[predicted],
        classes=("happy", "sad", "angry"),
        status=np.full(60, "ok", dtype=object),
    )


def test_figures_of_a_slice_by_hand(predictions):
    chosen = np.zeros(60, bool)
    chosen[10:60] = True  # 30 happy, 20 of them correct, and all sad ones
    (found,) = slice_predictions(predictions, [("image size", "48 x 48", chosen)])
    low, high = stats.beta.ppf([0.025, 0.975], [25, 26], [26, 25])  # Clopper and Pearson, of 25 in 50
    assert found.interval == pytest.approx((low, high))
    assert (found.feature, found.value, found.n) == ("image size", "48 x 48", 50)
    assert found.accuracy == 0.5
    assert found.balanced_accuracy == pytest.approx((20 / 30 + 5 / 20) / 2)
    assert found.classes == {"happy": 30, "sad": 20}


def test_a_slice_of_one_class_has_its_recall(predictions):
    (found,) = slice_predictions(predictions, [("colour", "grey", np.arange(60) >= 40)])
    assert found.classes == {"sad": 20}
    assert found.accuracy == found.balanced_accuracy == 0.25


def test_small_slices_are_left_out(predictions):
    slices = [("a", str(n), np.arange(60) < n) for n in (LEAST - 1, LEAST, LEAST + 1, 0)]
    assert [one.n for one in slice_predictions(predictions, slices)] == [LEAST, LEAST + 1]


def people(number):
    return np.array([None if n < 0 else f"p{n}" for n in number], dtype=object)


def test_intervals_are_over_the_groups_of_the_slice(predictions):
    grouped = replace(predictions, groups=people(np.arange(60) // 5))
    (found,) = slice_predictions(grouped, [("colour", "grey", np.arange(60) >= 20)])
    hits = predictions.correct[20:].reshape(8, 5).sum(axis=1)
    low, high = grouped_proportion_intervals(hits, np.full(8, 5))
    assert found.interval == pytest.approx((low, high))
    assert found.groups == 8
    (alone,) = slice_predictions(predictions, [("colour", "grey", np.arange(60) >= 20)])
    assert alone.groups is None
    assert high - low > 1.5 * (alone.interval[1] - alone.interval[0]), "people are all right or all wrong"


def test_a_slice_of_groups_of_one_image_is_over_images(predictions):
    chosen = np.arange(60) >= 30
    number = np.where(chosen, np.arange(60), 0)
    (found,) = slice_predictions(replace(predictions, groups=people(number)), [("colour", "grey", chosen)])
    (over_images,) = slice_predictions(predictions, [("colour", "grey", chosen)])
    assert found.interval == over_images.interval
    assert (found.groups, found.n) == (30, 30)


def test_groups_of_one_image_each_are_none(predictions):
    alone = replace(predictions, groups=people(np.arange(60)))
    assert slice_predictions(alone, [("a", "b", np.arange(60) < 30)])[0].groups is None


def test_slices_of_earlier_versions_are_read(predictions):
    (found,) = slice_predictions(predictions, [("a", "b", np.arange(60) < 30)])
    content = found.model_dump()
    del content["groups"]
    assert Slice.model_validate(content) == found


def test_what_small_slices_leave_out_is_counted():
    slices = [("a", str(n), np.arange(60) < n) for n in (0, 1, LEAST - 1, LEAST)]
    slices += [("b", "x", np.arange(60) < 30), ("c", "x", np.arange(60) < 2)]
    assert [(one.feature, one.values, one.images) for one in small_slices(slices)] == [
        ("a", 2, LEAST),
        ("c", 1, 2),
    ]
