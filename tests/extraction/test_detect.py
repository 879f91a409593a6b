"""The search for a face: its logic with a detector that sees painted squares, its results on a real face."""

import numpy as np
import pytest
from PIL import Image

from landmarkfer.errors import SettingsError
from landmarkfer.extraction.detect import detect_face, follow_faces
from landmarkfer.extraction.detectors import Detection
from landmarkfer.extraction.settings import ExtractSettings, make_settings
from landmarkfer.extraction.windows import CLOSE_UPS, RETRIES
from landmarkfer.face.blendshapes import BLENDSHAPES
from landmarkfer.face.geometry import mirror, normalise, roll_angle
from landmarkfer.face.landmarks import CANONICAL, MIRROR


class SquareDetector:
    """Takes a red square for a face; sees it if it is a large enough share of the canvas.

    The points of the face fill the square; which of its halves is bluer tells whether it is seen in a mirror.
    """

    name = "square"

    def __init__(self, least=0.2, score=0.9):
        self.least, self.score = least, score
        self.calls = []

    def detect(self, image, *, threshold=0.5, max_faces=1):
        self.calls.append((image.shape, threshold, max_faces))
        red = image[..., 0].astype(int) - image[..., 1] > 60
        columns = red.any(axis=0)
        starts = np.flatnonzero(np.diff(columns.astype(int), prepend=0) == 1)
        found = []
        for start in starts:
            stop = start + int(np.argmin(np.append(columns[start:], False)))
            rows = np.flatnonzero(red[:, start:stop].any(axis=1))
            share = (stop - start) / image.shape[1]
            if share >= self.least and self.score >= threshold:
                low = np.array([start, rows[0], 0]) / image.shape[1]
                size = np.array([stop - start, rows[-1] + 1 - rows[0], stop - start]) / image.shape[1]
                left, right = np.array_split(image[rows[0] : rows[-1] + 1, start:stop, 2], 2, axis=1)
                template = FACE if left.mean() > right.mean() else FACE[MIRROR] * [-1, 1, 1] + [1, 0, 0]
                shapes = np.zeros(52, np.float32)
                blink = "eyeBlinkLeft" if left.mean() > right.mean() else "eyeBlinkRight"
                shapes[BLENDSHAPES.index(blink)] = 1
                found.append(
                    Detection((low + template * size).astype(np.float32), shapes, self.score * share)
                )
        return found[:max_faces]

    def close(self):
        pass


LOW, HIGH = CANONICAL.min(axis=0), CANONICAL.max(axis=0)
FACE = (CANONICAL - LOW) / (HIGH - LOW)
FACE[0, 0] = 0.3  # so that it is not its own mirror image


def picture(width, height, *squares):
    image = np.full((height, width, 3), 90, np.uint8)
    for x, y, side in squares:
        image[y : y + side, x : x + side] = (255, 40, 80)
        image[y : y + side, x : x + side // 2, 2] = 160
    return image


def test_one_view_is_enough_for_a_face_that_is_seen():
    detector = SquareDetector()
    result = detect_face(detector, picture(400, 200, (100, 30, 160)))
    assert result.attempts == "frame+25%@0.5=1"
    assert (result.faces, result.detections, result.spread) == (1, 1, None)
    np.testing.assert_allclose(result.box, (0.25, 0.15, 0.65, 0.95), atol=0.01)
    np.testing.assert_allclose(result.landmarks[:, 0], 0.25 + 0.4 * FACE[:, 0], atol=0.01)
    np.testing.assert_allclose(result.landmarks[:, 1], 0.15 + 0.8 * FACE[:, 1], atol=0.01)
    assert result.landmarks.dtype == np.float32
    assert len(detector.calls) == 1


def test_what_was_tried_is_told_when_nothing_is_found():
    result = detect_face(SquareDetector(), picture(64, 64))
    assert not result.found
    assert result.landmarks is result.box is result.confidence is result.blendshapes is None
    assert result.attempts == (
        "frame+25%@0.5=0 frame+10%@0.3=0 frame+0%@0.3=0 frame+25%m@0.3=0 frame+100%@0.3=0 frame+35%@0.3=0 "
        "frame+25%@0.3=0 frame+75%m@0.3=0"
    )


def test_photographs_are_searched_with_less_border_first():
    detector = SquareDetector(least=0.19)
    # 100 of 400 pixels are a share of 0.21 with a tenth as border, 0.17 with a quarter, as small images get.
    assert detect_face(detector, picture(400, 300, (100, 100, 100))).attempts == "frame+10%@0.5=1"
    assert detect_face(detector, picture(100, 75, (25, 25, 25))).attempts.startswith(
        "frame+25%@0.5=0 frame+10%"
    )
    result = detect_face(detector, picture(400, 300))
    assert result.attempts == (
        "frame+10%@0.5=0 frame+0%@0.3=0 frame+25%@0.3=0 frame+10%@0.3=0 frame+25%m@0.3=0 frame+100%@0.3=0 "
        "frame+35%@0.3=0 frame+75%m@0.3=0 tiles/1@0.3=0 tiles/2@0.3=0"
    )


def test_retries_stop_at_the_first_success_and_at_their_number():
    # 40 of 200 pixels: a share of 0.133 with the first border, 0.167 with the second, 0.2 with none.
    image = picture(200, 200, (80, 80, 40))
    detector = SquareDetector(least=0.19)
    assert detect_face(detector, image).attempts == "frame+25%@0.5=0 frame+10%@0.3=0 frame+0%@0.3=1"
    assert not detect_face(detector, image, ExtractSettings(retries=1)).found
    assert detect_face(detector, image, ExtractSettings(retries=0)).attempts == "frame+25%@0.5=0"


def test_a_weak_face_is_found_by_the_lower_threshold():
    image = picture(200, 200, (40, 40, 120))
    detector = SquareDetector(score=0.4)
    assert detect_face(detector, image).attempts == "frame+25%@0.5=0 frame+10%@0.3=1"
    assert not detect_face(detector, image, ExtractSettings(threshold=0.9)).found
    assert {threshold for _, threshold, _ in detector.calls[2:]} == {0.9, 0.54}


def test_a_mirrored_view_gives_the_same_points_and_scores():
    image = picture(200, 200, (40, 40, 120))
    plain = detect_face(SquareDetector(), image)

    class OnlyMirrored(SquareDetector):
        def detect(self, image, **options):
            found = super().detect(image, **options)
            return [f for f in found if f.blendshapes[BLENDSHAPES.index("eyeBlinkRight")]]

    result = detect_face(OnlyMirrored(), image)
    assert result.attempts.endswith("frame+25%m@0.3=1")
    np.testing.assert_allclose(result.landmarks, plain.landmarks, atol=0.01)
    np.testing.assert_array_equal(result.blendshapes, plain.blendshapes)


def test_a_small_face_on_a_photo_is_found_in_tiles():
    image = picture(1200, 800, (900, 500, 120))
    result = detect_face(SquareDetector(), image)
    assert result.attempts.endswith("tiles/1@0.3=0 tiles/2@0.3=1")
    np.testing.assert_allclose(result.box, (0.75, 0.625, 0.85, 0.775), atol=0.01)
    assert result.faces == 1, "though several tiles show it"


def test_passes_average_close_ups():
    image = picture(300, 300, (60, 60, 180))
    detector = SquareDetector()
    result = detect_face(detector, image, ExtractSettings(passes=3))
    assert result.attempts == "frame+10%@0.5=1 close-up*1.6m@0.3=1 close-up*2.0@0.3=1"
    assert result.detections == 3
    assert 0 <= result.spread < 0.05
    np.testing.assert_allclose(result.box, (0.2, 0.2, 0.8, 0.8), atol=0.01)
    assert len(detector.calls) == 3


def test_spread_is_relative_to_the_face():
    class Shifting(SquareDetector):
        """Every second detection lies a tenth of the canvas to the right."""

        def detect(self, image, **options):
            found = super().detect(image, **options)
            if len(self.calls) == 2:
                for face in found:
                    face.landmarks[:, 0] += 0.1
            return found

    image = picture(300, 300, (60, 60, 180))
    result = detect_face(Shifting(), image, ExtractSettings(passes=2))
    # The close-up is mirrored and 1.6 times the face's 180 pixels wide: a tenth is 28.8 pixels to the left.
    # Two detections 28.8 pixels apart lie 14.4 pixels from their mean.
    points = FACE[:, :2] * 180
    radius = np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean())
    assert result.spread == pytest.approx(14.4 / radius, rel=0.03)
    assert result.box[0] == pytest.approx(0.2 - 14.4 / 300, abs=0.01)
    # The first detection lies as far to the right of the mean.
    np.testing.assert_allclose(result.deviation[:, 0], 14.4 / 300, atol=0.005)
    np.testing.assert_allclose(result.deviation[:, 1], 0, atol=0.005)
    assert result.deviation.dtype == np.float16
    assert detect_face(Shifting(), image, ExtractSettings()).deviation is None, "one detection is the mean"


def test_a_close_up_of_another_face_is_not_averaged():
    class Elsewhere(SquareDetector):
        def detect(self, image, **options):
            found = super().detect(image, **options)
            if len(self.calls) > 1:
                for face in found:
                    face.landmarks[:, 0] += 2
            return found

    result = detect_face(Elsewhere(), picture(300, 300, (60, 60, 180)), ExtractSettings(passes=2))
    assert result.attempts == "frame+10%@0.5=1 close-up*1.6m@0.3=0"
    assert result.detections == 1


def test_which_of_several_faces_is_kept():
    image = picture(1000, 600, (50, 60, 420), (560, 200, 300))

    def found(**settings):
        return detect_face(SquareDetector(), image, ExtractSettings(**settings))

    assert found(max_faces=5, keep="largest").box[0] == pytest.approx(0.05, abs=0.01)
    assert found(max_faces=5, keep="central").box[0] == pytest.approx(0.56, abs=0.01)
    assert found(max_faces=5).faces == 2
    assert found(max_faces=1).faces == 1


def test_settings_are_checked_with_their_names():
    assert make_settings({"passes": 1 + len(CLOSE_UPS), "retries": len(RETRIES)}).passes == 7
    for bad, message in (
        ({"passes": 99}, "passes is 99: it must be 7 or less"),
        ({"keep": "prettiest"}, "keep is 'prettiest'"),
        ({"treshold": 0.4}, "no extraction setting 'treshold'; there are detector, passes"),
    ):
        with pytest.raises(SettingsError, match=message):
            make_settings(bad)


@pytest.fixture(scope="module")
def portrait():
    from skimage.data import astronaut

    return astronaut()[:256, 100:356]


def resized(image, width, height=None):
    return np.asarray(Image.fromarray(image).resize((width, height or width), Image.Resampling.LANCZOS))


def distance(landmarks, reference):
    """RMS distance of normalised shapes: a share of the face's RMS radius."""
    return float(np.sqrt(np.square(landmarks[:, :2] - reference[:, :2]).sum(axis=1).mean()))


def shape_of(result, image, align="roll"):
    height, width = image.shape[:2]
    return normalise(result.landmarks, width, height, align=align)


def test_the_same_image_resized_gives_the_same_face(detector, portrait):
    reference = detect_face(detector, resized(portrait, 512))
    points = reference.landmarks[:, :2]
    radius = np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean())
    for width in (64, 128, 256, 1024):
        result = detect_face(detector, resized(portrait, width))
        np.testing.assert_allclose(result.box, reference.box, atol=0.02)
        # Of 64 pixels the face has 23.
        assert distance(result.landmarks, reference.landmarks) < (0.1 if width == 64 else 0.05) * radius, (
            width
        )


@pytest.mark.parametrize("share", [0.2, 0.35, 0.8, 1.0])
def test_the_first_view_shows_the_face_of_a_photograph(detector, portrait, share):
    """Of 640 x 480 pixels, with a face of 20 to 100 % of the shorter side."""
    # The face has 0.39 of the portrait's side, in whose middle it is not.
    reference = detect_face(detector, portrait)
    x0, y0, x1, y1 = (256 * value for value in reference.box)
    side = max(x1 - x0, y1 - y0) / share
    left, top = (x0 + x1) / 2 - side * 2 / 3, (y0 + y1) / 2 - side / 2
    wide = np.pad(portrait, ((300, 300), (300, 300), (0, 0)), mode="edge")
    box = (300 + left, 300 + top, 300 + left + side * 4 / 3, 300 + top + side)
    photo = np.asarray(Image.fromarray(wide).resize((640, 480), Image.Resampling.BICUBIC, box))
    result = detect_face(detector, photo)
    assert result.attempts == "frame+10%@0.5=1"
    assert distance(shape_of(result, photo), shape_of(reference, portrait)) < 0.08


def test_mirroring_an_image_mirrors_its_landmarks(detector, portrait):
    tilted = np.asarray(Image.fromarray(portrait).rotate(-12, Image.Resampling.BICUBIC))
    for image in (resized(tilted, 192), resized(tilted, 240, 180)):
        plain = shape_of(detect_face(detector, image, ExtractSettings(passes=3)), image, "none")
        seen = shape_of(detect_face(detector, image[:, ::-1], ExtractSettings(passes=3)), image, "none")
        assert distance(mirror(seen), plain) < 0.06
        assert distance(seen, plain) > 0.3, "the two differ by the tilt of the head"
        assert distance(seen * [-1, 1, 1], plain) > 0.5, "left and right have to be swapped too"


def test_a_tilted_face_on_an_oblong_photo(detector, portrait):
    """Face Mesh errs on tilted faces in images that are not square; through square canvases it does not."""
    upright = shape_of(detect_face(detector, portrait), portrait)
    turned = np.asarray(Image.fromarray(portrait).rotate(-25, Image.Resampling.BICUBIC))
    wide = np.pad(turned, ((0, 0), (100, 200), (0, 0)), mode="edge")
    result = detect_face(detector, wide)
    assert np.rad2deg(roll_angle(shape_of(result, wide, "none"))) == pytest.approx(25, abs=4)
    assert distance(shape_of(result, wide), upright) < 0.07


def test_synthetic_faces_are_found_near_where_they_are(detector, synthetic_faces):
    for face in synthetic_faces[:4]:
        result = detect_face(detector, face.image)
        side = face.image.shape[0]
        radius = np.sqrt(np.square(face.landmarks - face.landmarks.mean(axis=0)).sum(axis=1).mean())
        assert distance(result.landmarks * side, face.landmarks) < 0.12 * radius


def test_faces_of_a_video_are_looked_for_once_the_largest_first():
    detector = SquareDetector(least=0.1)
    image = picture(400, 200, (20, 30, 100), (200, 30, 140))
    found = follow_faces(detector, image, ExtractSettings(passes=3, max_faces=5))
    assert [round(one.box[0] * 400) for one in found] == [200, 20]
    assert all(one.detections == 1 and one.attempts.count("=") == 1 for one in found)
    assert follow_faces(detector, picture(400, 200)) == []
