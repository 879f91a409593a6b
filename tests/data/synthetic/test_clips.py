import numpy as np
import pytest

from landmarkfer.data.synthetic.clips import Actor, Scene, clip_frames, even_times, write_clip

STILL = Actor(path=((0.0, 80.0, 60.0),), side=80)


def test_actors_move_change_and_leave():
    moving = Actor(
        expressions=((0.0, "neutral"), (1.0, "happy")),
        path=((0.0, 40.0, 60.0), (2.0, 120.0, 60.0)),
        side=80,
        seen=((0.0, 2.5),),
    )
    assert moving.at(0.0)[1:] == (0, 20) and moving.at(1.0)[1:] == (40, 20)
    assert moving.at(2.6) is None
    before, risen, full = (moving.at(time_s)[0] for time_s in (0.9, 1.2, 1.5))
    assert (before != risen).any() and (risen != full).any()
    assert moving.at(2.0)[0] is full, "drawn once"


def test_faces_of_one_shape_are_alike_and_others_not():
    one, same, other = (Actor(shape=(width,), side=80).at(0.0)[0] for width in (2.0, 2.0, -2.0))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_scenes_follow_each_other():
    scenes = [Scene(1.0, (STILL,)), Scene(1.0, background=200)]
    times = even_times(scenes, 4)
    frames = list(clip_frames(scenes, times, (160, 120)))
    assert len(frames) == 8 and frames[0].shape == (120, 160, 3)
    assert [int(frame[0, 1, 0]) for frame in frames] == [120] * 4 + [200] * 4
    np.testing.assert_array_equal(frames[3], frames[0])


def test_a_face_may_lie_across_the_border():
    image = Scene(1.0, (Actor(path=((0.0, 0.0, 119.0),), side=80),)).at(0.0, 160, 120)
    assert image.shape == (120, 160, 3)
    assert (
        Scene(1.0, (Actor(path=((0.0, 900.0, 0.0),)),)).at(0.0, 160, 120) == Scene(1.0).at(0, 160, 120)
    ).all()


def test_a_clip_is_written_as_wanted(tmp_path):
    av = pytest.importorskip("av")
    path = write_clip(tmp_path / "clip.mp4", [Scene(1.0, (STILL,))], fps=8, size=(160, 120), sound=True)
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 1
        shapes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert shapes == [(160, 120)] * 8
