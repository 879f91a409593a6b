"""Videos that are made here: each frame is of the brightness of its number."""

import pickle
import sys

import numpy as np
import pytest

from landmarkfer.errors import MissingExtra, SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.open import open_source

av = pytest.importorskip("av")


def make_video(path, frames=40, rate=20):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            pixels = np.full((32, 32, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    make_video(root / "train/happy/one.mp4")
    make_video(root / "test/sad/two.avi", frames=10)
    (root / "train/sad").mkdir()
    (root / "train/sad/broken.mp4").write_bytes(b"no video")
    (root / "train/sad/still.jpg").write_bytes(b"1")
    return root


def test_frames_of_a_video_are_images_of_one_group(clips):
    source = open_source(clips, fps=4)
    by_video = {}
    for entry in source.entries:
        by_video.setdefault(entry.group, []).append(entry)
    assert len(by_video["train/happy/one.mp4"]) == 8, "two seconds"
    assert len(by_video["test/sad/two.avi"]) == 2
    assert {(e.label, e.split) for e in by_video["train/happy/one.mp4"]} == {("happy", "train")}
    assert by_video["train/happy/one.mp4"][1].id == "train/happy/one.mp4#00000.250"
    reader = pickle.loads(pickle.dumps(source.reader))
    # In any order: frame 5 * n at n / 4 seconds, of brightness 25 * n.
    for number in (3, 1, 6, 0, 7):
        pixels = reader.read(by_video["train/happy/one.mp4"][number].key)
        assert pixels.shape == (32, 32, 3)
        assert abs(float(pixels.mean()) - 25 * number) < 6
    assert reader.read(by_video[None][0].key) == b"1", "an image file beside videos"


def test_a_damaged_video_is_a_row_that_says_why(clips):
    source = open_source(clips, fps=2)
    (entry,) = [entry for entry in source.entries if entry.group == "train/sad/broken.mp4"]
    with pytest.raises(UnreadableImage, match="damaged"):
        source.reader.read(entry.key)


def test_without_fps_videos_are_left_out_and_named(clips):
    source = open_source(clips)
    assert [entry.id for entry in source.entries] == ["train/sad/still.jpg"]
    assert any("3 videos inside" in remark and "--fps" in remark for remark in source.remarks)


def test_frames_need_the_extra(clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"landmarkfer\[video\]"):
        open_source(clips, fps=1)


def test_fps_is_above_zero(clips):
    with pytest.raises(SourceError, match="--fps is 0"):
        open_source(clips, fps=0)
