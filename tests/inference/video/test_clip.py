import numpy as np
import pytest

from landmarkfer.data.synthetic.clips import Actor, Scene, write_clip
from landmarkfer.errors import SourceError
from landmarkfer.inference.video.clip import open_clip, sampled

av = pytest.importorskip("av")
SCENE = Scene(1.0, (Actor(path=((0.0, 60.0, 80.0),), side=100),))
SIZE = (160, 120)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("plain") / "plain.mp4", [SCENE], fps=10, size=SIZE, sound=True)


def test_what_a_video_states(plain):
    clip = open_clip(plain)
    assert (clip.frames_stated, clip.rate, clip.has_sound) == (10, pytest.approx(10), True)
    assert clip.name == str(plain)


def test_every_picture_comes_once_and_in_order(plain):
    frames = list(open_clip(plain).frames())
    assert [frame.number for frame in frames] == list(range(10))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(10) / 10, atol=1e-3)
    assert frames[0].pixels.shape == (120, 160, 3) and frames[0].pixels.dtype == np.uint8
    near = np.abs(frames[5].pixels.astype(int) - SCENE.at(0.5, *SIZE)).mean()
    assert near < 12


def test_the_first_frame_of_each_stretch_is_taken(plain):
    clip = open_clip(plain)
    assert [frame.number for frame in clip.frames(5)] == [0, 2, 4, 6, 8]
    assert [frame.number for frame in clip.frames(3)] == [0, 4, 7]
    assert len(list(clip.frames(1000))) == 10


def test_a_variable_frame_rate_is_followed(tmp_path):
    times = [0.0, 0.04, 0.08, 0.5, 0.9, 0.94, 2.0]
    path = write_clip(tmp_path / "uneven.mp4", [Scene(3.0, SCENE.actors)], size=SIZE, times=times)
    frames = list(open_clip(path).frames())
    np.testing.assert_allclose([frame.time_s for frame in frames], times, atol=1e-3)
    assert [frame.number for frame in sampled(frames, 2)] == [0, 3, 6]


def test_the_rotation_of_a_phone_is_applied(plain, tmp_path):
    data = bytearray(plain.read_bytes())
    unit = (1 << 16).to_bytes(4, "big")
    minus = (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    none = bytes(4)
    upright = unit + none * 3 + unit + none * 3 + (1 << 30).to_bytes(4, "big")
    turned = none + unit + none + minus + none * 4 + (1 << 30).to_bytes(4, "big")
    at = data.index(b"tkhd")
    place = data.index(upright, at)
    data[place : place + len(upright)] = turned
    path = tmp_path / "turned.mp4"
    path.write_bytes(data)
    first, as_stored = next(open_clip(path).frames()), next(open_clip(plain).frames())
    assert first.pixels.shape == (160, 120, 3)
    np.testing.assert_array_equal(first.pixels, np.rot90(as_stored.pixels, -1))  # clockwise


def test_of_a_damaged_video_the_rest_is_read(plain, tmp_path):
    with av.open(str(plain)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    data = bytearray(plain.read_bytes())
    place = data.index(bytes(packets[4]))
    data[place + 4 : place + packets[4].size] = bytes(packets[4].size - 4)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    clip = open_clip(path)
    frames = list(clip.frames())
    assert 4 <= len(frames) <= 10 and clip.damaged + len(frames) >= 9
    cut_off = tmp_path / "cut.mp4"
    cut_off.write_bytes(plain.read_bytes()[:200])
    with pytest.raises(SourceError, match=r"cut\.mp4 cannot be read as a video"):
        open_clip(cut_off)


def test_what_is_no_video_is_refused(tmp_path):
    with pytest.raises(SourceError, match="there is no video"):
        open_clip(tmp_path / "none.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(SourceError, match="cannot be read as a video"):
        open_clip(text)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
    with pytest.raises(SourceError, match="holds sound, but no pictures"):
        open_clip(sound)
