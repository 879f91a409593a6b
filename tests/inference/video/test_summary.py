from types import SimpleNamespace

import numpy as np
import pytest

from landmarkfer.inference.video.summary import TrackSummaries

CLASSES = ("happy", "neutral")


def frame(time_s, *faces, cut=False):
    """A frame with the smoothed probability of happy of each face; None for a frame without one."""
    probabilities = np.array([(np.nan, np.nan) if p is None else (p, 1 - p) for p in faces], float)
    return SimpleNamespace(
        time_s=time_s,
        cut=cut,
        tracks=tuple(None if p is None else number for number, p in enumerate(faces)),
        faces=SimpleNamespace(probabilities=probabilities),
        smoothed=probabilities,
    )


def test_shares_dwell_times_and_transitions():
    summaries = TrackSummaries(CLASSES, gap_s=0.5)
    for number in range(40):
        summaries.add(frame(number / 10, 0.9 if number < 10 or number >= 30 else 0.2))
    found = summaries.result()
    (track,) = found["tracks"]
    assert (track["frames"], track["first_s"], track["last_s"]) == (40, 0.0, 3.9)
    assert track["share_of_frames"]["happy"]["mean"] == pytest.approx(0.5)
    assert track["probability"]["happy"]["mean"] == pytest.approx(0.55)
    assert track["dwell_s"]["neutral"] == {"times": 1, "mean": 2.0, "longest": 2.0}
    assert track["dwell_s"]["happy"]["times"] == 2
    assert track["transitions"] == [
        {"from": "happy", "to": "neutral", "times": 1},
        {"from": "neutral", "to": "happy", "times": 1},
    ]


def test_a_gap_ends_a_stretch_and_is_no_transition():
    summaries = TrackSummaries(CLASSES, gap_s=0.5)
    for number in [*range(10), *range(30, 40)]:
        summaries.add(frame(number / 10, 0.9 if number < 10 else 0.2))
    (track,) = summaries.result()["tracks"]
    assert track["transitions"] == []
    assert track["dwell_s"]["happy"]["longest"] == pytest.approx(0.9)


def test_intervals_are_of_blocks_and_a_single_one_has_none():
    summaries = TrackSummaries(CLASSES, gap_s=0.5)
    rng = np.random.default_rng(0)
    for number in range(1000):
        if number % 20 == 0:
            level = rng.uniform()
        summaries.add(frame(number / 10, level, None if number else 0.5, cut=number == 3))
    found = summaries.result()
    happy = found["tracks"][0]["probability"]["happy"]
    assert happy["high"] - happy["low"] > 0.1, "twenty frames that are alike count as one"
    assert happy["low"] < happy["mean"] < happy["high"]
    assert found["tracks"][1]["probability"]["happy"]["low"] is None
    assert found["cuts"] == 1 and found["frames_without_face"] == 0
