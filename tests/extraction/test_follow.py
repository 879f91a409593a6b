from types import SimpleNamespace

import numpy as np
import pytest

from landmarkfer.extraction import follow
from landmarkfer.extraction.detect import NO_FACE, FaceResult
from landmarkfer.extraction.follow import FaceFollower
from landmarkfer.extraction.settings import ExtractSettings

IMAGE = np.zeros((100, 200, 3), np.uint8)
LARGE, SMALL, OTHER = (0.1, 0.1, 0.5, 0.9), (0.7, 0.1, 0.8, 0.3), (0.55, 0.6, 0.65, 0.8)


def face(box):
    return FaceResult(np.zeros((478, 3), np.float32), None, box, None, 1, 1, None, "")


@pytest.fixture
def seen(monkeypatch):
    """What each way of looking sees, and how often it was asked."""

    known = SimpleNamespace(video=[LARGE], image=[LARGE, SMALL], in_box={})
    known.asked = {"video": 0, "image": 0, "in_box": []}

    def video(detector, image, settings):
        assert detector == "video" and settings.passes == 1
        known.asked["video"] += 1
        return [face(box) for box in known.video]

    def image(detector, pixels, settings):
        assert detector == "still" and settings.passes == 1
        known.asked["image"] += 1
        return [face(box) for box in known.image]

    def in_box(detector, pixels, box, settings):
        known.asked["in_box"].append(tuple(round(value) for value in box))
        found = known.in_box.get(known.asked["in_box"][-1])
        return face(found) if found else NO_FACE

    monkeypatch.setattr(follow, "follow_faces", video)
    monkeypatch.setattr(follow, "detect_faces", image)
    monkeypatch.setattr(follow, "detect_in_box", in_box)
    return known


def follower(most=5):
    return FaceFollower("still", "video", ExtractSettings(passes=3, max_faces=most))


def boxes(found):
    return [one.box for one in found]


def test_what_a_search_finds_is_followed_where_video_mode_does_not_see_it(seen):
    finds = follower()
    assert boxes(finds(IMAGE, 0.0)) == [LARGE, SMALL], "the first frame is searched"
    moved = (0.72, 0.1, 0.82, 0.3)
    seen.in_box = {(140, 10, 160, 30): moved}
    assert boxes(finds(IMAGE, 0.1)) == [LARGE, moved]
    assert seen.asked == {"video": 2, "image": 1, "in_box": [(140, 10, 160, 30)]}
    seen.in_box = {}
    assert boxes(finds(IMAGE, 0.2)) == [LARGE]
    assert boxes(finds(IMAGE, 0.3)) == [LARGE] and len(seen.asked["in_box"]) == 2, "it is gone"


def test_a_search_comes_every_second_and_after_a_cut(seen):
    finds = follower()
    for time_s in (0.0, 0.5, 0.9, 1.0, 1.5):
        finds(IMAGE, time_s)
    assert seen.asked["image"] == 2
    finds(IMAGE, 1.6, cut=True)
    assert seen.asked["image"] == 3


def test_after_a_cut_nothing_is_looked_for_where_it_was(seen):
    finds = follower()
    finds(IMAGE, 0.0)
    seen.video, seen.image = [], [OTHER]
    assert boxes(finds(IMAGE, 0.1, cut=True)) == [OTHER]
    assert seen.asked["in_box"] == []


def test_at_most_so_many_faces_the_largest(seen):
    seen.image = [SMALL, OTHER]
    assert boxes(follower(most=2)(IMAGE, 0.0)) == [LARGE, SMALL]
    assert len(boxes(follower()(IMAGE, 0.0))) == 3
