import pandas as pd
import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli
from landmarkfer.data.synthetic.clips import Actor, Scene, write_clip

pytest.importorskip("av")
pytestmark = pytest.mark.usefixtures("detector")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    face = Actor(path=((0.0, 160.0, 120.0),))
    write_clip(folder / "one.mp4", [Scene(1.0, (face,))], fps=5, size=(320, 240))
    write_clip(folder / "none.mp4", [Scene(1.0)], fps=5, size=(320, 240))
    return folder


def track(*arguments):
    return CliRunner().invoke(cli, ["track", *map(str, arguments)])


def test_each_video_has_its_folder(clips, tmp_path):
    result = track(clips / "one.mp4", clips / "none.mp4", "--out", tmp_path, "--run", "landmarks")
    assert result.exit_code == 0, result.output
    assert "5 frames; 1 face" in result.output and "5 frames; 0 faces; 5 without a face" in result.output
    for name, status in (("one", "ok"), ("none", "no_face")):
        assert set(pd.read_csv(tmp_path / name / "timeline.csv")["status"]) == {status}
        assert {path.name for path in (tmp_path / name).iterdir()} == {
            "timeline.csv",
            "timeline.json",
            "timeline.png",
        }
    again = track(clips / "one.mp4", "--out", tmp_path, "--run", "landmarks")
    assert again.exit_code == 1 and "--overwrite" in str(again.exception)


def test_a_video_that_is_none_is_one_sentence(clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    result = track(tmp_path / "text.mp4", "--out", tmp_path / "out", "--run", "landmarks")
    assert result.exit_code == 1 and "cannot be read as a video" in str(result.exception)


def test_one_that_cannot_be_read_does_not_stop_the_others(clips, tmp_path):
    result = track(tmp_path / "missing.mp4", clips / "one.mp4", "--run", "landmarks", "--fps", "2")
    assert result.exit_code == 1 and str(result.exception) == "1 of 2 videos could not be tracked."
    assert "there is no video" in result.output and "2 frames; 1 face" in result.output


def test_a_camera_or_videos(monkeypatch, clips):
    assert "give videos, or --camera" in track().output
    assert "give videos, or --camera" in track(clips / "one.mp4", "--camera", "0").output
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    result = track("--camera", "77", "--run", "landmarks")
    assert "there is no display" in str(result.exception)
