"""Small videos of synthetic faces."""

import pytest

from landmarkfer.data.synthetic.clips import Actor, Scene, write_clip

WIDE = (1.5, -1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.5)
NARROW = (-1.5, 1.0, -1.0, 0.0, -1.0, 0.0, 0.0, -1.5)
CROSSING = Scene(
    3.0,
    (
        Actor(WIDE, path=((0.0, 130.0, 200.0), (3.0, 510.0, 200.0))),
        Actor(NARROW, ((0.0, "neutral"), (1.0, "surprise")), path=((0.0, 510.0, 310.0), (3.0, 130.0, 310.0))),
    ),
)


@pytest.fixture(scope="session")
def crossing(tmp_path_factory):
    """Two faces whose ways cross, then a second without any; with sound. 10 frames a second."""
    pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clips") / "crossing.mp4"
    return write_clip(path, [CROSSING, Scene(1.0, background=220)], fps=10, sound=True)
