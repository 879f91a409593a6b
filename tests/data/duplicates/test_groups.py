import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.duplicates import NearPairs, count_groups, has_near_duplicate_in, pixel_groups


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [([], 0), ([[3, 9]], 1), ([[0, 1], [1, 2], [5, 7]], 2), ([[0, 1], [2, 3], [1, 3]], 1)],
)
def test_groups_that_pairs_link(pairs, groups):
    assert count_groups(np.array(pairs, dtype=np.int64).reshape(-1, 2)) == groups


def test_groups_of_identical_images_begin_with_their_first_row():
    group, first = pixel_groups(pd.Series(["x", "y", None, "x", "z"]))
    assert group.tolist() == [0, 1, -1, 0, 2]
    assert first.tolist() == [0, 1, 4]


def test_near_duplicates_among_others_by_hand():
    # Rows 0 and 3 are identical, 1 is near them, 4 is near 5, 2 and 6 cannot be read.
    frame = pd.DataFrame({"sha256": ["x", "y", None, "x", "z", "w", None]})
    near = NearPairs(np.array([[0, 1], [4, 5]]), np.array([0.9, 0.9], np.float32))

    def found(rows, others):
        return has_near_duplicate_in(frame, near, np.array(rows), np.array(others, np.int64)).tolist()

    assert found([0, 1, 2, 4], [3, 6]) == [True, True, False, False]
    assert found([3, 5, 0], [1, 4]) == [True, True, True]
    assert found([0, 1], []) == [False, False]
    assert has_near_duplicate_in(frame, NearPairs.none(), np.array([1, 3]), np.array([0])).tolist() == [
        False,
        True,
    ]
