import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.reporting.timeline import MOST_POINTS, timeline_figure, write_timeline_figure

CLASSES = ["happy", "neutral"]


def timeline(times, track=0, cut=()):
    happy = np.linspace(0.1, 0.9, len(times))
    return pd.DataFrame(
        {
            "time_s": times,
            "track": track,
            "cut": np.isin(times, cut),
            "smoothed_label": "neutral",
            "smoothed_happy": happy,
            "smoothed_neutral": 1 - happy,
        }
    )


def areas(axes):
    return [collection.get_paths()[0].vertices for collection in axes.collections]


def test_each_face_has_its_row_and_gaps_are_empty():
    times = np.arange(20) / 10
    frame = pd.concat([timeline(times, 0), timeline(np.r_[times[:5], times[12:]], 3, cut=[1.2])])
    figure = timeline_figure(frame, CLASSES)
    first, second = figure.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("face 0", "face 3")
    assert len(areas(first)) == 2 and len(areas(second)) == 4, "two stretches of two classes"
    assert areas(second)[0][:, 0].max() == pytest.approx(0.45)
    assert len(second.lines) == 1 and second.get_xlabel() == "seconds, dashed: cuts"


def test_long_videos_are_drawn_as_means():
    times = np.arange(20_000) / 10
    (axes,) = timeline_figure(timeline(times), CLASSES).axes
    assert len(areas(axes)[0]) < 5 * MOST_POINTS
    assert len(areas(axes)) == 2, "without gaps"


def test_only_the_faces_of_most_frames_are_drawn():
    frame = pd.concat([timeline(np.arange(3 + track) / 10, track) for track in range(9)])
    figure = timeline_figure(frame, CLASSES)
    assert [axes.get_ylabel() for axes in figure.axes] == [f"face {track}" for track in range(3, 9)]
    assert figure.axes[0].get_title(loc="left") == "6 of 9 faces, those of the most frames"


def test_without_faces_the_picture_says_so(tmp_path):
    frame = timeline(np.arange(5) / 10, np.nan)
    frame[["smoothed_happy", "smoothed_neutral"]] = np.nan
    frame.to_csv(tmp_path / "timeline.csv", index=False)
    write_timeline_figure(tmp_path / "timeline.csv", tmp_path / "timeline.png")
    assert np.asarray(Image.open(tmp_path / "timeline.png")).std() > 0
    (axes,) = timeline_figure(frame, CLASSES).axes
    assert axes.texts[0].get_text() == "no face was found"
