import numpy as np
import pytest
from PIL import Image

from landmarkfer.errors import SettingsError
from landmarkfer.extraction.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from landmarkfer.face.landmarks import FACE_OVAL_RING, LEFT_EYE_RING, OUTER_LIPS_RING, RIGHT_EYE_RING
from landmarkfer.reporting.corruption_sheet import shown_face

OCCLUSIONS = ("occluded-eyes", "occluded-mouth", "half-face", "sunglasses", "mask")
EYES = [*RIGHT_EYE_RING, *LEFT_EYE_RING]
MOUTH = list(OUTER_LIPS_RING)


@pytest.fixture(scope="module")
def portrait():
    return shown_face()


@pytest.fixture(scope="module")
def small_grey(portrait):
    """The portrait as FER2013 would have it: 48 x 48, grey."""
    return np.asarray(Image.fromarray(portrait[0]).convert("L").resize((48, 48), Image.Resampling.BOX))


def change(first, second):
    return np.abs(first.astype(float) - second).mean()


def changed_at(clean, found, landmarks, points):
    """The share of some landmarks at whose pixels the picture is another."""
    places = (landmarks[points, :2] * clean.shape[1::-1]).astype(int)
    return float(np.mean([(clean[y, x] != found[y, x]).any() for x, y in places]))


@pytest.mark.parametrize("name", CORRUPTIONS)
class TestEach:
    def test_shape_and_type_stay_and_the_picture_given_is_left_alone(self, portrait, small_grey, name):
        colour, landmarks = portrait
        wide = np.ascontiguousarray(colour[:90])
        for clean, points in ((colour, landmarks), (small_grey, landmarks), (wide, None), (small_grey, None)):
            before = clean.copy()
            for severity in SEVERITIES:
                found = corrupt(clean, name, severity, points, "a.png")
                assert (found.shape, found.dtype) == (clean.shape, np.uint8)
                assert change(clean, found) > 0.1
            np.testing.assert_array_equal(clean, before)

    def test_a_picture_is_always_corrupted_in_the_same_way(self, portrait, name):
        first, again = (corrupt(portrait[0], name, 3, portrait[1], "a.png") for _ in range(2))
        np.testing.assert_array_equal(first, again)

    def test_a_face_suffers_as_much_in_a_large_picture_as_in_a_small_one(self, portrait, name):
        """Seen at the size of the small one."""
        large = np.asarray(Image.fromarray(portrait[0]).resize((576, 576), Image.Resampling.BICUBIC))
        found = [corrupt(clean, name, 4, portrait[1], "a.png") for clean in (portrait[0], large)]
        seen = np.asarray(Image.fromarray(found[1]).resize((144, 144), Image.Resampling.BOX))
        assert change(portrait[0], seen) == pytest.approx(change(portrait[0], found[0]), rel=0.35)


@pytest.mark.parametrize("size", [48, 144, 600])
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "rotation"])
def test_it_grows_with_the_strength(portrait, name, size):
    clean = np.asarray(Image.fromarray(portrait[0]).resize((size, size), Image.Resampling.BICUBIC))
    changes = [change(clean, corrupt(clean, name, k, portrait[1], "a.png")) for k in SEVERITIES]
    assert all(np.diff(changes) > 0), changes


class TestWhatIsHidden:
    def test_the_bars(self, portrait):
        clean, landmarks = portrait
        eyes, mouth = (corrupt(clean, f"occluded-{what}", 3, landmarks, "a") for what in ("eyes", "mouth"))
        assert changed_at(clean, eyes, landmarks, EYES) == 1
        assert changed_at(clean, eyes, landmarks, MOUTH) == 0
        assert changed_at(clean, mouth, landmarks, MOUTH) > 0.8, "the border lies on the outermost points"
        assert changed_at(clean, mouth, landmarks, EYES) == 0

    @pytest.mark.parametrize("name", ["occluded-eyes", "occluded-mouth", "sunglasses", "mask"])
    def test_from_a_part_of_it_to_more_than_all(self, portrait, name):
        clean, landmarks = portrait
        points = EYES if name in ("occluded-eyes", "sunglasses") else MOUTH
        weak, strong = (corrupt(clean, name, k, landmarks, "a") for k in (1, 5))
        assert changed_at(clean, weak, landmarks, points) < 0.8
        assert changed_at(clean, strong, landmarks, points) == 1

    def test_the_mask_covers_nose_tip_cheeks_and_chin_but_no_eye(self, portrait):
        clean, landmarks = portrait
        found = corrupt(clean, "mask", 4, landmarks, "a")
        assert changed_at(clean, found, landmarks, [1, 4, 199, 205, 425]) == 1
        assert changed_at(clean, found, landmarks, EYES) == 0

    def test_sunglasses_are_two_lenses(self, portrait):
        clean, landmarks = portrait
        found = corrupt(clean, "sunglasses", 3, landmarks, "a")
        assert changed_at(clean, found, landmarks, EYES) == 1
        assert changed_at(clean, found, landmarks, [*MOUTH, 1, 4, 195, 9]) == 0, "neither nose nor forehead"
        assert found[tuple((landmarks[468, 1::-1] * 144).astype(int))].max() < 30, "dark"

    def test_the_half_that_is_hidden_is_drawn_and_stays(self, portrait):
        clean, landmarks = portrait
        right, left = np.array(RIGHT_EYE_RING), np.array(LEFT_EYE_RING)
        sides = set()
        for number in range(8):
            found = [corrupt(clean, "half-face", k, landmarks, f"{number}.png") for k in (3, 5)]
            hidden = [
                [changed_at(clean, one, landmarks, eye) > 0.5 for eye in (right, left)] for one in found
            ]
            assert hidden[0] in ([True, False], [False, True]), "an eye each"
            sides.add(tuple(hidden[0]))
            covered = hidden[0].index(True)
            assert hidden[1][covered], "the same side at every severity"
        assert len(sides) == 2

    @pytest.mark.parametrize("name", OCCLUSIONS)
    def test_it_turns_with_the_head(self, portrait, name):
        """A quarter turn of picture and landmarks turns the occlusion."""
        clean, landmarks = portrait
        turned = landmarks.copy()
        turned[:, 0], turned[:, 1] = landmarks[:, 1], 1 - landmarks[:, 0]
        upright = corrupt(clean, name, 3, landmarks, "a")
        lying = corrupt(np.ascontiguousarray(np.rot90(clean)), name, 3, turned, "a")
        assert change(np.rot90(upright), lying) < 0.2

    @pytest.mark.parametrize("name", OCCLUSIONS)
    def test_without_landmarks_it_lies_where_faces_do(self, portrait, name):
        clean, landmarks = portrait
        missing = np.full((478, 3), np.nan, np.float32)
        at_mean = corrupt(clean, name, 4, None, "a")
        np.testing.assert_array_equal(corrupt(clean, name, 4, missing, "a"), at_mean)
        oval = (landmarks[list(FACE_OVAL_RING), :2] * 144).astype(int)
        low, high = oval.min(axis=0), oval.max(axis=0)
        touched = np.argwhere((at_mean != clean).any(axis=-1))[:, ::-1].mean(axis=0)
        if name != "half-face":  # which goes beyond the picture
            assert (low < touched).all() and (touched < high).all()

    def test_a_chin_above_the_lips_has_no_mask_and_is_no_error(self, portrait):
        clean, landmarks = portrait
        odd = landmarks.copy()
        odd[17, 1] = 2.0
        np.testing.assert_array_equal(corrupt(clean, "mask", 1, odd, "a"), clean)


def test_rotation_turns_about_the_face_and_further_with_the_strength():
    picture = np.zeros((101, 201), np.uint8)
    picture[20:24, 99:102] = 255  # above the middle of the face
    sides = set()
    for name in "abcdef":
        angles = []
        for severity in SEVERITIES:
            y, x = np.argwhere(corrupt(picture, "rotation", severity, None, name) > 60).mean(axis=0) + 0.5
            angles.append(np.degrees(np.arctan2(x - 100.5, 50.5 - y)))
            assert np.hypot(x - 100.5, y - 50.5) == pytest.approx(28.5, abs=0.7)
        assert np.abs(angles).tolist() == pytest.approx([15, 30, 45, 60, 75], abs=1.5)
        assert len(set(np.sign(angles))) == 1, "to the same side at every severity"
        sides.add(np.sign(angles[0]))
    assert len(sides) == 2


def test_noise_is_drawn_for_each_picture_and_grows_as_it_is(portrait):
    clean = np.full((48, 48), 128, np.uint8)
    one, other = (corrupt(clean, "noise", 1, None, name).astype(float) - 128 for name in ("a", "b"))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1
    more = corrupt(clean, "noise", 4, None, "a").astype(float) - 128
    assert np.corrcoef(one.ravel(), more.ravel())[0, 1] > 0.98


def test_what_there_is_not_is_named():
    picture = np.zeros((8, 8), np.uint8)
    with pytest.raises(SettingsError, match="no corruption 'fog'; there are blur, noise"):
        corrupt(picture, "fog", 1, None, "a")
    with pytest.raises(SettingsError, match="the severity is 0; it must be one of 1, 2, 3, 4, 5"):
        corrupt(picture, "blur", 0, None, "a")
