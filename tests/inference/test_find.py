"""Faces of images, found and brought into a model's frame."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.row import Row
from landmarkfer.data.synthetic import make_face, make_faceless
from landmarkfer.extraction.detect import detect_face
from landmarkfer.extraction.process import make_rows
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.inputs import open_inputs
from landmarkfer.face.alignment import aligned_crop
from landmarkfer.face.frame import Frame
from landmarkfer.face.geometry import normalise
from landmarkfer.inference.find import FaceFinder, confirmed, faint, without_colour

SETTINGS = ExtractSettings(passes=2)


@pytest.fixture(scope="module")
def frame(detector):
    """The frame of synthetic faces of 96 pixels."""
    faces = [make_face("neutral", number, 96).image for number in range(6)]
    points = [detect_face(detector, image, SETTINGS).landmarks[:, :2] for image in faces]
    return Frame.of(np.stack(points), 96, grey=False)


def pasted(*faces, size=(600, 400)):
    """A grey picture with faces at `(image, x, y)`."""
    picture = np.full((size[1], size[0], 3), 127, np.uint8)
    for image, x, y in faces:
        picture[y : y + len(image), x : x + len(image)] = image
    return picture


def find(finder, images, detector):
    source = open_inputs(images)
    return finder(source.entries, source.reader, detector, SETTINGS)


CROPPED = SETTINGS.model_copy(update={"crop": 64})


def test_a_crop_is_of_the_photograph(frame, detector):
    source = open_inputs([pasted((make_face("happy", 1, 220).image, 90, 60))])
    (found,) = FaceFinder(frame, with_image=True)(source.entries, source.reader, detector, CROPPED)[0]
    crop = np.asarray(Image.open(io.BytesIO(found.given.face)))
    assert (found.given.width, found.given.height) == (96, 96), "in which its landmarks are detected again"
    np.testing.assert_array_equal(crop, aligned_crop(pixels_of(source), found.row.landmarks, 64))


def test_of_an_image_framed_already_the_crop_is_that_of_an_extraction(frame, detector):
    image = make_face("sad", 2, 96).image
    source = open_inputs([image])
    (found,) = FaceFinder(frame, with_image=True)(source.entries, source.reader, detector, CROPPED)[0]
    (extracted,) = make_rows(source.entries, source.reader, detector, CROPPED)
    np.testing.assert_array_equal(found.given.landmarks, extracted.landmarks)
    assert found.given.face == extracted.face


def pixels_of(source):
    """Of the first image."""
    return source.reader.read(source.entries[0].key)


def test_all_faces_or_the_largest(detector):
    large, small = make_face("happy", 1, 220).image, make_face("sad", 2, 120).image
    picture = pasted((small, 40, 40), (large, 300, 120))
    both = find(FaceFinder(None, with_image=False), [picture], detector)
    assert [face.number for face in both[0]] == [0, 1]
    sizes = [np.ptp(face.row.landmarks[:, 0]) for face in both[0]]
    assert sizes[0] > sizes[1]
    (one,) = find(FaceFinder(None, with_image=False, wanted="largest"), [picture], detector)[0]
    assert one.row.landmarks[:, 0].mean() > 0.5


def test_an_answer_for_each_image(detector):
    answers = find(
        FaceFinder(None, with_image=True), [make_faceless(), b"none", make_face("sad").image], detector
    )
    assert [len(faces) for faces in answers] == [1, 1, 1]
    assert [faces[0].row.status for faces in answers] == ["no_face", "unreadable", "ok"]
    assert [faces[0].number for faces in answers] == [None, None, 0]
    assert answers[2][0].given is answers[2][0].row and answers[2][0].row.face is not None


def test_a_face_of_a_large_picture_is_framed_as_the_training_images_are(frame, detector):
    face = make_face("surprise", 3, 220).image
    ((found,),) = find(FaceFinder(frame, with_image=True), [pasted((face, 250, 120))], detector)
    given = found.given
    assert (given.width, given.height, given.status) == (96, 96, "ok") and given.face is not None
    # In its image, the face is where it was pasted.
    x, y = found.row.landmarks[:, :2].mean(axis=0) * [600, 400]
    assert 300 < x < 420 and 170 < y < 300
    np.testing.assert_allclose(given.landmarks[:, :2].mean(axis=0), frame.array.mean(axis=0), atol=0.03)
    # Its shape is that of the face alone.
    alone = detect_face(detector, make_face("surprise", 3, 96).image, SETTINGS).landmarks
    difference = normalise(given.landmarks, 96, 96) - normalise(alone, 96, 96)
    assert np.sqrt(np.square(difference[:, :2]).mean()) < 0.06


def test_an_image_that_is_framed_already_is_given_as_it_is(frame, detector):
    image = make_face("happy", 1, 96).image
    ((found,),) = find(FaceFinder(frame, with_image=True), [image], detector)
    np.testing.assert_array_equal(found.given.landmarks, detect_face(detector, image, SETTINGS).landmarks)


def test_a_grey_frame_takes_the_colour_out(frame, detector):
    from PIL import Image

    grey = frame.model_copy(update={"grey": True})
    ((found,),) = find(FaceFinder(grey, with_image=True), [make_face("happy", 1, 220).image], detector)
    import io

    assert Image.open(io.BytesIO(found.given.face)).mode == "L"


class Doubtful:
    """A detector whose scores are below the threshold, and which finds nothing from the n-th call on."""

    def __init__(self, detector, calls):
        self.detector, self.calls = detector, calls

    def detect(self, image, **options):
        self.calls -= 1
        faces = self.detector.detect(image, **options) if self.calls >= 0 else []
        return [replace(face, confidence=0.35) for face in faces]

    def close(self):
        self.detector.close()


def test_a_doubtful_face_counts_where_it_is_found_again(frame, detector):
    picture = pasted((make_face("happy", 1, 220).image, 250, 120))
    finder = FaceFinder(frame, with_image=True, wanted="largest")
    ((found,),) = find(finder, [picture], Doubtful(detector, 99))
    assert found.row.status == "ok" and found.number == 0
    ((lost,),) = find(finder, [picture], Doubtful(detector, 1))
    assert lost.row.status == "no_face" and lost.number is None and lost.row.landmarks is None
    boxes = {"image-0": [(250, 120, 470, 340)]}
    ((boxed,),) = find(replace(finder, boxes=boxes), [picture], Doubtful(detector, 1))
    assert boxed.row.status == "ok", "a face whose box is given is not in doubt"


def test_a_doubtful_face_must_be_found_at_the_same_place(frame):
    landmarks = np.random.default_rng(0).uniform(0.3, 0.6, (478, 3)).astype(np.float32)
    row = Row(id="a", width=300, height=300, landmarks=landmarks, confidence=0.4)
    square = frame.square(landmarks, 300, 300)
    placed = square.place(landmarks * 300, 1)
    for move, expected in ((0.0, True), (0.6, True), (0.8, False)):
        radius = np.sqrt(np.square(placed[:, :2] - placed[:, :2].mean(axis=0)).sum(axis=1).mean())
        given = Row(id="a", landmarks=placed + np.float32([move * radius, 0, 0]), detections=1)
        assert confirmed(row, given, frame) is expected
    assert not confirmed(row, Row(id="a", landmarks=placed, detections=0), frame)
    assert [faint(replace(row, confidence=one), SETTINGS) for one in (0.4, 0.5, None)] == [True, False, False]


@pytest.mark.parametrize("grey", [False, True])
def test_a_model_of_photographs_too_is_given_them_whole(frame, detector, grey):
    whole = frame.model_copy(update={"photographs": True, "grey": grey})
    picture = pasted((make_face("happy", 1, 220).image, 250, 120))
    ((found,),) = find(FaceFinder(whole, with_image=True), [picture], detector)
    source = open_inputs([without_colour(picture) if grey else picture])
    (extracted,) = make_rows(source.entries, source.reader, detector, SETTINGS)
    assert found.given is found.row
    np.testing.assert_array_equal(found.row.landmarks, extracted.landmarks)
    assert found.row.face == extracted.face, "in the colour of the training images"


@pytest.mark.parametrize(("size", "side"), [(60, 48), (90, 112), (220, 112)])
def test_of_several_crops_a_face_is_cut_at_the_one_nearest_to_its_size(frame, detector, size, side):
    whole = frame.model_copy(update={"photographs": True})
    source = open_inputs([make_face("happy", 1, size).image])
    finder = FaceFinder(whole, with_image=True, crops=(48, 112))
    (found,) = finder(source.entries, source.reader, detector, CROPPED)[0]
    crop = np.asarray(Image.open(io.BytesIO(found.given.face)))
    assert len(crop) == side
    np.testing.assert_array_equal(crop, aligned_crop(pixels_of(source), found.row.landmarks, side))


def test_the_frame_of_a_model_of_photographs_confirms_doubtful_faces(frame, detector):
    finder = FaceFinder(frame.model_copy(update={"photographs": True}), with_image=True, wanted="largest")
    picture = pasted((make_face("happy", 1, 220).image, 250, 120))
    ((found,),) = find(finder, [picture], Doubtful(detector, 99))
    assert found.row.status == "ok" and found.row.confidence == 0.35
    without = Doubtful(detector, 99)
    ((kept,),) = find(replace(finder, frame=None), [picture], without)
    assert kept.row.status == "ok", "without a frame, what is found counts"
    ((lost,),) = find(finder, [picture], Doubtful(detector, 99 - without.calls))
    assert lost.row.status == "no_face", "not found again"


def test_given_boxes(frame, detector):
    face = make_face("happy", 1, 160).image
    picture = pasted((face, 30, 30), (face[:, ::-1], 400, 200))
    boxes = {"image-0": [(430, 230, 530, 340), (200, 20, 300, 120)]}
    answer = find(FaceFinder(frame, with_image=False, boxes=boxes), [picture, picture], detector)
    right, empty = answer[0]
    assert right.row.landmarks[:, 0].mean() > 0.6 and right.box == boxes["image-0"][0]
    assert empty.row.status == "no_face" and empty.box == boxes["image-0"][1]
    assert [face.row.status for face in answer[1]] == ["no_face"], "an image without a box has no face"
    assert empty.row.error is None and answer[1][0].row.error == "no box is given for this image"


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((0.1, 0.1, 0.4, 0.5), "the box is smaller than 2 pixels"),
        ((600, 10, 700, 60), "the box lies outside the image"),
        ((-50, -60, -1, 90), "the box lies outside the image"),
    ],
)
def test_a_box_that_cannot_hold_a_face_is_told(frame, detector, box, reason):
    finder = FaceFinder(frame, with_image=False, boxes={"image-0": [box]})
    ((face,),) = find(finder, [pasted((make_face("happy", 1, 160).image, 30, 30))], detector)
    assert face.row.status == "no_face" and face.row.landmarks is None and face.box == box
    assert face.row.error == f"{reason}; boxes are x0, y0, x1, y1 in pixels of the upright image"


def test_it_travels_to_workers(frame):
    finder = FaceFinder(frame, with_image=True, boxes={"a": [(0, 0, 1, 1)]})
    assert pickle.loads(pickle.dumps(finder)) == finder
