import numpy as np
import pytest
from scipy import stats

from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.slices import LEAST, slice_predictions


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
