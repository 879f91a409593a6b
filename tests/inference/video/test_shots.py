import numpy as np

from landmarkfer.data.synthetic import make_face
from landmarkfer.inference.video.shots import CutDetector


def cuts_of(frames):
    is_cut = CutDetector()
    return [number for number, frame in enumerate(frames) if is_cut(frame)]


def test_cuts_are_found_and_movement_is_none():
    scenes = [make_face(label, 0, 128).image for label in ("happy", "angry")]
    other = np.full((128, 128, 3), 230, np.uint8)
    moving = [np.roll(scenes[0], 4 * step, axis=1) for step in range(12)]
    assert cuts_of([*moving, other, other, scenes[1], scenes[1]]) == [12, 14]


def test_a_camera_that_pans_all_the_time_cuts_nowhere():
    wide = np.random.default_rng(0).integers(0, 255, (24, 400, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    found = cuts_of([wide[:, 60 * step : 60 * step + 320] for step in range(30)])
    assert not [number for number in found if number > 3], "once it is known to pan"


def test_pictures_may_be_tiny():
    assert cuts_of([np.zeros((2, 3, 3), np.uint8), np.full((2, 3, 3), 255, np.uint8)]) == [1]
