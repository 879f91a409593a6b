import numpy as np
import pytest

from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.video.association import TrackKeeper, face_shapes

WIDER = np.array([1.25, 1.0, 1.0])


def face(x, y, size=100.0, stretch=(1.0, 1.0, 1.0)):
    """Landmarks of a face with its middle at `x, y`."""
    points = (CANONICAL - CANONICAL.mean(axis=0)) / np.ptp(CANONICAL[:, 0]) * stretch
    return points * size + (x, y, 0.0)


def follow(*frames, keeper=None, step=0.1, start=0.0, cuts=()):
    """The numbers of the faces of each frame."""
    keeper = keeper or TrackKeeper()
    return [
        keeper.assign(start + step * number, np.array(faces).reshape(-1, 478, 3), cut=number in cuts)
        for number, faces in enumerate(frames)
    ]


def test_faces_keep_their_numbers_whatever_their_order():
    one, other = face(100, 100), face(400, 100)
    assert follow([one, other], [other, one], [one], [other, one]) == [[0, 1], [1, 0], [0], [1, 0]]


def test_faces_that_cross_keep_their_numbers():
    frames = [[face(100 + 10 * t, 100), face(400 - 10 * t, 130, stretch=WIDER)] for t in range(31)]
    numbers = follow(*[frame[:: 1 if t % 2 else -1] for t, frame in enumerate(frames)])
    assert {tuple(found) for found in numbers[1::2]} == {(numbers[1][0], numbers[1][1])}
    assert {tuple(found) for found in numbers[::2]} == {(numbers[0][0], numbers[0][1])}
    assert numbers[1] == numbers[0][::-1] and set(numbers[0]) == {0, 1}


def test_a_face_that_was_away_is_known_again_where_it_can_be():
    here, away = [face(100, 100)], []
    assert follow(here, *[away] * 20, here)[-1] == [0]
    far = [face(900, 100)]
    assert follow(here, *[away] * 6, far)[-1] == [1], "nobody moves eight widths in half a second"
    assert follow(here, *[away] * 90, far)[-1] == [0]


def test_another_face_in_the_place_of_one_that_was_away_is_another():
    assert follow([face(100, 100)], *[[]] * 20, [face(100, 100, stretch=WIDER)])[-1] == [1]


def test_a_face_that_was_hidden_for_a_moment_is_known_where_it_was_led_to():
    walk = [[face(100 + 10 * step, 100)] for step in range(10)]
    hidden, awry = [[]] * 7, [face(100 + 10 * 17, 100, stretch=(1.6, 0.8, 1.0))]
    assert follow(*walk, *hidden, awry)[-1] == [0], "half of it is hidden still"
    assert follow(*walk, *[[]] * 30, [face(200, 100, stretch=(1.6, 0.8, 1.0))])[-1] == [1]


def test_after_a_cut_the_place_says_nothing():
    one, other = face(100, 100), face(400, 100, stretch=WIDER)
    swapped = [face(400, 100), face(100, 100, stretch=WIDER)]
    assert follow([one, other], [one, other], swapped, cuts={2})[-1] == [0, 1]
    assert follow([one], [face(100, 100, stretch=WIDER)], cuts={1})[-1] == [1]


def test_a_face_is_forgotten_after_a_minute():
    keeper = TrackKeeper()
    follow([face(100, 100)], keeper=keeper)
    assert follow([face(100, 100)], keeper=keeper, start=61.0) == [[1]]
    assert list(keeper.tracks) == [1]


def test_frames_may_be_far_apart():
    frames = [[face(100 + 5 * t, 100, stretch=(1, 1 + 0.3 * (t % 2), 1))] for t in range(4)]
    assert follow(*frames, keeper=TrackKeeper(away_s=1.5), step=1.0) == [[0]] * 4


@pytest.mark.parametrize("turn", [0.0, 0.4, 2.0])
def test_a_shape_does_not_depend_on_place_size_or_turn(turn):
    about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    points = face(0, 0, stretch=WIDER)
    shapes = face_shapes(np.stack([points, 3 * points @ about.T + (50, 20, 0)]))
    np.testing.assert_allclose(shapes[0], shapes[1], atol=1e-6)
