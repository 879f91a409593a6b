import numpy as np
import pandas as pd
import pytest

from landmarkfer.evaluation.robustness.statistics import (
    ALL,
    ImageResults,
    accuracy_drops,
    compare_robustness,
    corruption_accuracies,
    image_results,
    over_images,
    robustness_rows,
)
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.reporting.results import ALL_SEEDS

# One seed, three images: the first always right, the second right on the clean image and at two severities,
# the third never.
RIGHT = np.array([[[1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]], bool)
KEY = ("a", "mlp", "none")


def results_by_image(*right, seeds=(0,), names=("blur", "mask")):
    by_name = dict(zip(names, right, strict=False))
    return ImageResults(seeds, by_name, {name: np.ones_like(one) for name, one in by_name.items()})


def test_areas_and_losses_by_hand():
    np.testing.assert_allclose(corruption_accuracies(RIGHT), [[1, 0.4, 0]])
    np.testing.assert_allclose(accuracy_drops(RIGHT), [[0, 0.6, 0]])
    both = over_images(results_by_image(RIGHT, ~RIGHT), "corruption_accuracy")
    np.testing.assert_allclose(both["mask"], [[0, 0.6, 1]])
    np.testing.assert_allclose(both[ALL], [[0.5, 0.5, 0.5]])


def test_rows_by_hand():
    found = np.ones_like(RIGHT)
    found[:, 5] = False
    one = ImageResults((4,), {"blur": RIGHT, "mask": RIGHT}, {"blur": found, "mask": np.ones_like(RIGHT)})
    rows = robustness_rows(KEY, one)
    assert not rows.duplicated(["seed", "subset", "metric"]).any()
    assert set(rows["seed"]) == {4}
    value = rows.set_index(["subset", "metric"])["value"]
    assert value["clean-0", "accuracy"] == pytest.approx(2 / 3)
    assert value["clean-0", "n"] == 3
    assert value["blur-3", "accuracy"] == pytest.approx(1 / 3)
    assert value["blur", "corruption_accuracy"] == pytest.approx(1.4 / 3)
    assert value["blur", "accuracy_drop"] == pytest.approx(0.6 / 3)
    assert value["blur-5", "found"] == 0
    assert value["blur", "found"] == pytest.approx(0.8)
    assert value["all", "found"] == pytest.approx(0.9)
    assert value["all", "corruption_accuracy"] == pytest.approx(1.4 / 3)


def test_a_system_that_holds_is_told_from_one_that_falls():
    """Both are right on all clean images; only one of them is at the last severities of blur."""
    rng = np.random.default_rng(0)
    steady = np.ones((2, 6, 80), bool)
    falling = steady.copy()
    falling[:, 3:] = rng.random((2, 3, 80)) < 0.5
    base = results_by_image(falling, steady, seeds=(0, 1))
    value = compare_robustness(base, {KEY: results_by_image(steady, steady, seeds=(0, 1))})
    assert set(value["seed"]) == {ALL_SEEDS}
    value = value.set_index(["subset", "metric"])["value"]
    gap = 1 - falling[:, 1:].mean()
    assert value["blur", "corruption_accuracy_difference"] == pytest.approx(gap)
    assert value["blur", "accuracy_drop_difference"] == pytest.approx(-gap)
    assert (
        value["blur", "corruption_accuracy_difference_low"]
        < gap
        < value["blur", "corruption_accuracy_difference_high"]
    )
    assert value["all", "corruption_accuracy_difference"] == pytest.approx(gap / 2)
    assert value["blur", "corruption_accuracy_p"] < 0.001
    assert value["mask", "corruption_accuracy_difference"] == 0
    assert value["mask", "corruption_accuracy_p_holm"] == 1
    assert value["blur", "corruption_accuracy_p_holm"] == pytest.approx(
        3 * value["blur", "corruption_accuracy_p"]
    ), "of three tests"


def test_a_higher_start_alone_is_no_smaller_loss():
    better, worse = np.zeros((1, 6, 50), bool), np.zeros((1, 6, 50), bool)
    better[:, :, :40] = True
    worse[:, :, :20] = True
    value = compare_robustness(results_by_image(worse), {KEY: results_by_image(better)})
    value = value.set_index(["subset", "metric"])["value"]
    assert value["blur", "corruption_accuracy_difference"] == pytest.approx(0.4)
    assert value["blur", "accuracy_drop_difference"] == 0
    assert value["blur", "accuracy_drop_p"] == 1


def test_outcomes_from_predictions():
    def predictions(predicted, status):
        frame = pd.DataFrame({"id": ["a", "b"], "label": ["x", "y"], "predicted": predicted})
        return Predictions.from_frame(frame.assign(status=status, p_x=0.5, p_y=0.5))

    clean = predictions(["x", "y"], ["ok", "ok"])
    blurred = predictions(["y", "y"], ["no_face", "ok"])
    made = image_results({3: {"blur": [clean, blurred]}, 5: {"blur": [clean, clean]}})
    assert made.seeds == (3, 5)
    assert made.right["blur"].tolist() == [[[True, True], [False, True]], [[True, True], [True, True]]]
    assert made.found["blur"].tolist() == [[[True, True], [False, True]], [[True, True], [True, True]]]
