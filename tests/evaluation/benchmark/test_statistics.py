import numpy as np
import pytest

from landmarkfer.evaluation.benchmark.statistics import compare_with
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.reporting.results import ALL_SEEDS


def predictions(right, groups=None):
    """Of happy images and sad ones in turn, correct where `right` is."""
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    return Predictions(
        ids=np.array([f"{number:03}" for number in range(len(right))], dtype=object),
        labels=labels,
        predicted=predicted,
        probabilities=np.eye(2)[predicted],
        classes=("happy", "sad"),
        status=np.full(len(right), "ok", dtype=object),
        groups=groups,
    )


def paired(right, other, groups=None):
    systems = [{seed: predictions(one, groups) for seed, one in enumerate(seeds)} for seeds in (right, other)]
    rows = compare_with(systems[1], {("first", "mlp", "none"): systems[0]})
    return rows.set_index(["seed", "metric"])["value"]


@pytest.fixture
def sides():
    rng = np.random.default_rng(2)
    return [np.repeat(rng.random((2, 30)) < share, 8, axis=1) for share in (0.6, 0.5)]


def test_intervals_and_permutations_are_over_groups_where_they_are_known(sides):
    people = np.repeat([f"person {number}" for number in range(30)], 8).astype(object)
    images, grouped = paired(*sides), paired(*sides, people)
    assert "groups" not in images[ALL_SEEDS]
    assert grouped[ALL_SEEDS, "groups"] == 30
    assert grouped[ALL_SEEDS, "difference"] == pytest.approx(images[ALL_SEEDS, "difference"])
    width, of_images = (
        one[ALL_SEEDS, "difference_high"] - one[ALL_SEEDS, "difference_low"] for one in (grouped, images)
    )
    assert width > 2 * of_images
    assert grouped[ALL_SEEDS, "p_permutation"] > images[ALL_SEEDS, "p_permutation"]
    assert grouped[0, "p_mcnemar"] == images[0, "p_mcnemar"]


def test_groups_of_one_image_change_nothing(sides):
    alone = np.array([f"person {number}" for number in range(240)], dtype=object)
    assert paired(*sides, alone).equals(paired(*sides))
