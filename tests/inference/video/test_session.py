import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.synthetic.clips import clip_frames, even_times
from landmarkfer.errors import SettingsError, SourceError
from landmarkfer.inference.load import load_predictor
from landmarkfer.inference.video.clip import VideoFrame
from landmarkfer.inference.video.session import folders_of
from landmarkfer.inference.video.tracking import TrackOptions
from tests.inference.video.conftest import CROSSING

pytestmark = pytest.mark.usefixtures("detector")


@pytest.fixture(scope="module")
def predictor(detector):
    return load_predictor("landmarks")


@pytest.fixture(scope="module")
def tracked(predictor, crossing, tmp_path_factory):
    """A finished tracking: its folder and its frames."""
    folder = tmp_path_factory.mktemp("tracked") / "crossing"
    tracking = predictor.track(crossing, out=folder, draw=True)
    return SimpleNamespace(folder=folder, frames=list(tracking), summary=tracking.summary)


def test_faces_that_cross_are_kept_apart(tracked):
    wide = {}
    for frame in tracked.frames[:30]:
        for track, box in zip(frame.tracks, frame.faces.boxes, strict=True):
            wide.setdefault(track, []).append((frame.time_s, box[[0, 2]].mean()))
    assert sorted(wide) == [0, 1]
    directions = {track: np.polyfit(*np.array(found).T, 1)[0] for track, found in wide.items()}
    assert sorted(np.sign(list(directions.values()))) == [-1, 1]
    for found in wide.values():
        times, places = np.array(found).T
        assert np.abs(places - np.poly1d(np.polyfit(times, places, 1))(times)).max() < 25, "one way each"


def test_every_frame_has_a_row_and_none_without_a_face_a_label(tracked, crossing):
    table = pd.read_csv(tracked.folder / "timeline.csv")
    assert list(table["frame"].unique()) == list(range(40))
    empty = table[table["time_s"] >= 3.0]
    assert len(empty) == 10 and set(empty["status"]) == {"no_face"}
    assert empty[["track", "label", "smoothed_label", "confidence"]].isna().all(axis=None)
    assert empty["cut"].sum() == table["cut"].sum() == 1
    assert set(table["source"]) == {str(crossing)}
    found = table[table["status"] == "ok"]
    for prefix in ("p_", "smoothed_"):
        names = [f"{prefix}{name}" for name in tracked.frames[0].faces.classes]
        np.testing.assert_allclose(found[names].sum(axis=1), 1, atol=1e-5)


def test_the_table_is_that_of_the_frames(tracked):
    whole = pd.concat([frame.to_frame() for frame in tracked.frames], ignore_index=True)
    stored = pd.read_csv(tracked.folder / "timeline.csv").astype(whole.dtypes)
    pd.testing.assert_frame_equal(whole, stored, atol=1e-9)


def test_the_json_holds_the_same_and_says_how_it_was_made(tracked):
    found = json.loads((tracked.folder / "timeline.json").read_text())
    assert found["complete"] and found["summary"] == tracked.summary
    assert found["smoothing"] == {"method": "exponential", "time_constant_s": 0.5}
    assert found["frames"] == [frame.to_dict() for frame in tracked.frames]
    assert found["summary"]["frames_without_face"] == 10 and found["summary"]["cuts"] == 1


def test_the_annotated_video_has_the_frames_and_the_sound(tracked):
    av = pytest.importorskip("av")
    with av.open(str(tracked.folder / "annotated.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [frame.time_s for frame in tracked.frames], atol=1e-3)
    with av.open(str(tracked.folder / "annotated.mp4")) as container:
        heard = sum(frame.samples for frame in container.decode(audio=0)) / 16_000
    assert heard == pytest.approx(3.9, abs=0.2)


def test_what_was_tracked_is_stored_when_it_is_closed(predictor, crossing, tmp_path):
    with predictor.track(crossing, out=tmp_path / "some", draw=True) as tracking:
        for _, _ in zip(range(5), tracking, strict=False):
            found = json.loads((tmp_path / "some" / "timeline.json").read_text())
            assert not found["complete"], "valid at any time"
    assert pd.read_csv(tmp_path / "some" / "timeline.csv")["frame"].nunique() == 5
    assert len(json.loads((tmp_path / "some" / "timeline.json").read_text())["frames"]) == 5
    assert (tmp_path / "some" / "timeline.png").stat().st_size > 1000
    with pytest.raises(SourceError, match=r"holds timeline\.csv already"):
        predictor.track(crossing, out=tmp_path / "some").run()
    summary = predictor.track(crossing, out=tmp_path / "some", fps=2, overwrite=True).run()
    assert summary["frames_tracked"] == 8
    assert not (tmp_path / "some" / "annotated.mp4").exists(), "it was that of the earlier timeline"


def test_what_was_tracked_survives_a_killed_process(crossing, tmp_path):
    av = pytest.importorskip("av")
    code = (
        "import os, sys; import landmarkfer as lf\n"
        "for frame in lf.load('landmarks').track(sys.argv[1], out=sys.argv[2], draw=True):\n"
        "    if frame.number == 27: os.kill(os.getpid(), 9)\n"
    )
    out = tmp_path / "killed"
    killed = subprocess.run([sys.executable, "-c", code, str(crossing), str(out)], check=False)
    assert killed.returncode != 0
    assert pd.read_csv(out / "timeline.csv")["frame"].nunique() == 28
    found = json.loads((out / "timeline.json").read_text())
    assert len(found["frames"]) == 28 and not found["complete"]
    with av.open(str(out / "annotated.mp4")) as container:
        assert len(list(container.decode(video=0))) >= 10, "all but the last second or two"


def test_frames_may_come_from_anywhere(predictor):
    times = even_times([CROSSING], 5)
    frames = [
        VideoFrame(number, time_s, pixels)
        for number, (time_s, pixels) in enumerate(zip(times, clip_frames([CROSSING], times), strict=True))
    ]
    source = SimpleNamespace(name="made", rate=5.0, frames=lambda fps=None: iter(frames))
    found = list(predictor.track(source, faces="largest"))
    assert len(found) == 15 and all(len(frame.faces) == 1 for frame in found)
    assert found[3].draw().size == (640, 480)


def test_searching_each_frame_finds_the_same_faces(predictor, crossing):
    frames = list(predictor.track(crossing, fps=1, search="image"))
    assert [len(frame.faces) for frame in frames] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "fps is 0; give frames"),
        ({"smoothing_s": -1.0}, "smoothing is -1 s"),
        ({"search": "often"}, "search must be video or image, not 'often'"),
        ({"draw": True}, "needs a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(predictor, crossing, options, message):
    with pytest.raises(SettingsError, match=message):
        predictor.track(crossing, **options)


def test_a_gap_is_longer_than_frames_are_apart():
    assert TrackOptions().gap_s(25.0) == 0.5
    assert TrackOptions(fps=1.0).gap_s(25.0) == 1.5
    assert TrackOptions().gap_s(0.0) == 0.5


def test_videos_of_one_name_get_folders_of_their_own(tmp_path):
    found = folders_of(["a/x.mp4", "b/x.mp4", "y.mov"], tmp_path)
    assert list(found.values()) == [tmp_path / "x", tmp_path / "x-2", tmp_path / "y"]
