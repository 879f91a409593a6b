"""Builders on edges worked out by hand, and on none, one, two and three points."""

import numpy as np
import pytest
import torch

from landmarkfer.face.edges import as_edges, complete_edges, delaunay_edges, dynamic_knn, knn_edges


def edges(array) -> list[tuple[int, int]]:
    assert array.dtype == np.int64 and array.shape[1:] == (2,)
    return [(int(a), int(b)) for a, b in array]


def test_as_edges_orders_joins_and_drops_self_loops():
    assert edges(as_edges([(3, 1), (1, 3), (2, 2), (0, 5), (1, 3)])) == [(0, 5), (1, 3)]
    assert edges(as_edges([])) == []


@pytest.mark.parametrize(
    ("n", "expected"),
    [(0, []), (1, []), (2, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)])],
)
def test_complete(n, expected):
    assert edges(complete_edges(n)) == expected


def test_knn_on_a_line():
    # Nearest of 0 is 1, of 1 is 0, of 2 (at 4) is 1 (at 1), of 3 (at 10) is 2.
    points = np.array([[0.0], [1.0], [4.0], [10.0]])
    assert edges(knn_edges(points, 1)) == [(0, 1), (1, 2), (2, 3)]
    # Two nearest: 0 -> 1, 2; 1 -> 0, 2; 2 -> 1, 0; 3 -> 2, 1.
    assert edges(knn_edges(points, 2)) == [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]


def test_knn_uses_every_coordinate():
    points = np.array([[0, 0, 0], [0, 0, 5], [1, 0, 0], [1, 0, 5]], dtype=float)
    assert edges(knn_edges(points, 1)) == [(0, 2), (1, 3)]


def test_knn_takes_all_points_that_tie():
    # The corners of a unit square: both neighbours of a corner are at distance 1.
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    assert edges(knn_edges(square, 1)) == [(0, 1), (0, 3), (1, 2), (2, 3)]
    # 0.1 + 0.2 is not 0.3 in floating point; the two ends are still equally far from the middle.
    assert edges(knn_edges(np.array([[0.0], [0.3], [0.1 + 0.2 + 0.3], [9.0]]), 1)) == [(0, 1), (1, 2), (2, 3)]


def test_knn_joins_points_in_one_place():
    points = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    assert edges(knn_edges(points, 1)) == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, []), (2, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)])])
def test_knn_on_few_points(n, expected):
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])[:n]
    assert edges(knn_edges(points, 4)) == expected


def test_delaunay_of_a_square_with_its_centre():
    points = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [1, 1]], dtype=float)
    assert edges(delaunay_edges(points)) == [
        *[(0, 1), (0, 3), (0, 4), (1, 2), (1, 4), (2, 3), (2, 4), (3, 4)]
    ]


def test_delaunay_takes_the_diagonal_of_the_empty_circle():
    # A flat rhombus: the circle through 0, 1 and 3 leaves out 2, and the short diagonal 1-3 is drawn.
    points = np.array([[-5, 0], [0, -1], [5, 0], [0, 1]], dtype=float)
    assert edges(delaunay_edges(points)) == [(0, 1), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_delaunay_of_points_on_a_line_is_a_chain():
    points = np.array([[2, 2], [0, 0], [3, 3], [1, 1]], dtype=float)
    assert edges(delaunay_edges(points)) == [(0, 2), (0, 3), (1, 3)]


def test_delaunay_joins_a_duplicate_to_its_twin():
    points = np.array([[0, 0], [2, 0], [0, 2], [0, 0]], dtype=float)
    found = edges(delaunay_edges(points))
    assert (0, 3) in found and len(found) == 4


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, []), (2, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)])])
def test_delaunay_on_few_points(n, expected):
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])[:n]
    assert edges(delaunay_edges(points)) == expected


@pytest.mark.parametrize("builder", [delaunay_edges, lambda points: knn_edges(points, 2)])
def test_builders_refuse_missing_points(builder):
    with pytest.raises(ValueError, match="finite"):
        builder(np.array([[0.0, 0.0], [np.nan, 1.0], [2.0, 2.0]]))


def test_builders_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        knn_edges(np.zeros((3, 2)), 0)
    with pytest.raises(ValueError, match=r"in the plane, \[N, 2\], got \[4, 3\]"):
        delaunay_edges(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"\[B, N, D\], got \[478, 3\]"):
        dynamic_knn(torch.zeros(478, 3), 4)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        dynamic_knn(torch.zeros(1, 4, 3), 0)


def test_dynamic_knn_by_hand_in_two_faces():
    # The line of above, and the same points numbered from the other end.
    line = torch.tensor([[0.0], [1.0], [4.0], [10.0]])
    index = dynamic_knn(torch.stack([line, line.flip(0)]), 1)
    assert index.dtype == torch.int64 and index.shape == (2, 8)
    # Row 0 is the neighbour, row 1 the point. At the other end: 0 (10) <- 1 (4) <- 2 (1) <-> 3 (0), plus 4.
    assert index[1].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert index[0].tolist() == [1, 0, 1, 2, 5, 6, 7, 6]


def test_dynamic_knn_agrees_with_the_static_builder_on_each_face():
    generator = torch.Generator().manual_seed(3)
    faces = torch.rand(3, 40, 3, generator=generator)
    source, target = dynamic_knn(faces, 5).numpy()
    assert np.array_equal(source // 40, target // 40), "no edge between two faces"
    for b in range(3):
        own = source // 40 == b
        pairs = np.stack([source[own], target[own]], axis=1) - 40 * b
        assert edges(as_edges(pairs)) == edges(knn_edges(faces[b].numpy(), 5))


@pytest.mark.parametrize(("n", "per_node"), [(1, 0), (2, 1), (3, 2), (9, 4)])
def test_dynamic_knn_on_few_points(n, per_node):
    faces = torch.arange(2 * n * 3, dtype=torch.float32).reshape(2, n, 3) ** 1.5
    index = dynamic_knn(faces, 4)
    assert index.shape == (2, 2 * n * per_node)
    assert torch.all(index[0] != index[1])


def test_dynamic_knn_of_a_missing_face_is_valid_and_leaves_the_others_alone():
    faces = torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(0))
    alone = dynamic_knn(faces[1:], 4)
    faces[0] = torch.nan
    index = dynamic_knn(faces, 4)
    assert index.min() >= 0 and index[:, : 30 * 4].max() < 30
    assert torch.all(index[0] != index[1])
    assert torch.equal(index[:, 30 * 4 :] - 30, alone)


def test_dynamic_knn_finds_close_neighbours_far_from_the_origin():
    """Distances that a matrix product would round away: points 0.01 apart, 1,000 from the origin."""
    face = 1000 + torch.arange(40, dtype=torch.float32)[:, None] * torch.tensor([0.01, 0.0, 0.0])
    source, target = dynamic_knn(face[None], 1)
    assert torch.all((source - target).abs() == 1)
