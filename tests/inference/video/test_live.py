import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.synthetic.clips import Actor, Scene
from landmarkfer.errors import SourceError
from landmarkfer.inference.load import load_predictor
from landmarkfer.inference.video.clip import VideoFrame
from landmarkfer.inference.video.live import Window, overlay, show_live
from landmarkfer.inference.video.newest import Camera, Newest

SCENE = Scene(9.0, (Actor(path=((0.0, 160.0, 120.0),)),))


class Clockwork:
    """A synthetic camera: so many frames in real time, each with its number in its first pixel."""

    name = "made"

    def __init__(self, count, rate, picture=None):
        self.count, self.rate = count, rate
        self.picture = np.zeros((4, 4, 3), np.uint8) if picture is None else picture

    def frames(self, fps=None):
        start = time.monotonic()
        for number in range(self.count):
            time.sleep(max(0.0, start + number / self.rate - time.monotonic()))
            yield VideoFrame(number, time.monotonic() - start, self.picture)


def test_a_slow_reader_gets_fewer_frames_and_none_that_is_old():
    newest = Newest(Clockwork(60, 100.0))
    numbers, ages = [], []
    for frame in newest.frames():
        ages.append(newest.age_s)
        numbers.append(frame.number)
        time.sleep(0.05)
    assert numbers == sorted(set(numbers)) and len(numbers) < 30
    assert np.median(ages) < 0.05, "it came just now, however many came before it"
    assert newest.dropped == numbers[-1] + 1 - len(numbers)


def test_a_fast_reader_gets_every_frame():
    assert [frame.number for frame in Newest(Clockwork(5, 20.0)).frames()] == [0, 1, 2, 3, 4]


def test_at_most_so_many_frames_a_second():
    assert len(list(Newest(Clockwork(20, 40.0)).frames(fps=10))) <= 7


def test_an_error_of_the_source_reaches_the_reader():
    def frames(fps=None):
        yield VideoFrame(0, 0.0, np.zeros((4, 4, 3), np.uint8))
        raise SourceError("the camera was unplugged.")

    reader = Newest(SimpleNamespace(name="broken", rate=0.0, frames=frames)).frames()
    with pytest.raises(SourceError, match="unplugged"):
        for _ in reader:
            time.sleep(0.01)


def test_a_reader_that_stops_ends_the_source():
    ended = []

    def frames(fps=None):
        try:
            yield from Clockwork(10_000, 200.0).frames()
        finally:
            ended.append(True)

    reader = Newest(SimpleNamespace(name="endless", rate=0.0, frames=frames)).frames()
    next(reader)
    reader.close()
    assert ended == [True]


def test_faces_are_shown_live_with_rate_and_latency(detector, tmp_path):
    camera = Clockwork(2000, 20.0, SCENE.at(0.0, 320, 240))
    source, shown = Newest(camera), []
    tracking = load_predictor("landmarks").track(source, out=tmp_path / "live")

    def show(picture):
        shown.append(picture)
        return len(shown) < 5

    figures = show_live(tracking, source, show)
    assert figures["frames"] == 5 and figures["frames_per_second"] > 0 and figures["latency_ms"] > 0
    assert shown[0].shape == (240, 320, 3) and (shown[-1] != camera.picture).any()
    assert tracking.summary["frames_tracked"] == 5
    assert (tmp_path / "live" / "timeline.csv").is_file()


def test_the_overlay_states_rate_and_latency():
    blank = np.full((240, 320, 3), 127, np.uint8)
    frame = SimpleNamespace(draw=lambda: Image.fromarray(blank))
    slow, fast = overlay(frame, 3.0, 0.2), overlay(frame, 25.0, 0.03)
    assert (slow != blank).any() and (slow != fast).any()


def test_without_a_display_the_time_ends_it(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with Window("none", seconds=0.05) as window:
        assert not window.display and window(np.zeros((4, 4, 3), np.uint8))
        time.sleep(0.06)
        assert not window(np.zeros((4, 4, 3), np.uint8))


def test_a_camera_that_is_not_there_is_one_sentence():
    pytest.importorskip("cv2")
    with pytest.raises(SourceError, match="camera 77 cannot be opened"):
        next(Camera(77).frames())
