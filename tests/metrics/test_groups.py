import numpy as np
import pytest

from landmarkfer.metrics.groups import group_numbers, sum_by_group


def test_an_image_without_a_group_is_its_own():
    number = group_numbers(np.array(["ann", None, "bob", "ann", np.nan, "bob"], dtype=object))
    assert number.tolist() == [0, 2, 1, 0, 3, 1]


@pytest.mark.parametrize("groups", [None, [], [None, None], ["ann", "bob", None], ["ann"]])
def test_groups_of_one_image_are_images(groups):
    assert group_numbers(groups) is None


def test_sums_by_group():
    values = np.arange(12).reshape(4, 3)
    sums = sum_by_group(values, np.array([1, 0, 1, 2]))
    assert sums.tolist() == [[3, 4, 5], [6, 8, 10], [9, 10, 11]]
    assert sums.dtype == values.dtype
    assert sum_by_group(values[:, 0], np.array([0, 0, 0, 0])).tolist() == [18]
