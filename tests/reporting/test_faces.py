"""Pictures of predicted faces: texts that can be read, inside the image, and not on top of each other."""

import numpy as np
import pytest
from PIL import Image

from landmarkfer.reporting import faces
from landmarkfer.reporting.faces import FaceNote, annotate_image

BARS = (("surprise", 0.7), ("happy", 0.2), ("neutral", 0.1))


def note(x, y, side, caption="surprise 70 %", details="happy, neutral"):
    """A face whose landmarks fill a square."""
    points = np.array([x, y]) + np.random.default_rng(0).uniform(0, side, (478, 2))
    return FaceNote(points, caption, details, BARS)


@pytest.fixture
def texts(monkeypatch):
    """What is written, as (text, x0, y0, x1, y1)."""
    written = []
    draw = faces.ImageDraw.ImageDraw.text

    def remembered(self, place, text, **options):
        written.append((text, *self.textbbox(place, text, font=options["font"])))
        return draw(self, place, text, **options)

    monkeypatch.setattr(faces.ImageDraw.ImageDraw, "text", remembered)
    return written


def overlaps(texts):
    return [
        (a[0], b[0])
        for n, a in enumerate(texts)
        for b in texts[:n]
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def inside(texts, image):
    return all(
        x0 >= 0 and y0 >= 0 and x1 <= image.width and y1 <= image.height for _, x0, y0, x1, y1 in texts
    )


@pytest.mark.parametrize("side", [64, 300, 2000])
def test_one_face_has_all_its_texts(texts, side):
    picture = np.zeros((side, side, 3), np.uint8)
    image = annotate_image(picture, [note(0.3 * side, 0.25 * side, 0.4 * side)])
    assert image.size == (max(side, 240),) * 2
    caption, *bars = (text for text, *_ in texts)
    assert caption == "surprise 70 % (or happy, neutral)" and bars == ["surprise", "happy", "neutral"]
    assert inside(texts, image) and not overlaps(texts)


def test_many_faces_do_not_cover_each_other(texts):
    notes = [note(40 + 150 * (n % 5), 60 + 190 * (n // 5), 90 - 5 * n) for n in range(10)]
    image = annotate_image(np.zeros((420, 800, 3), np.uint8), notes)
    captions = [text for text, *_ in texts if text.startswith("surprise 70 %")]
    assert len(captions) == 10 and inside(texts, image) and not overlaps(texts)


def test_small_faces_have_small_texts_in_a_large_picture(texts):
    annotate_image(np.zeros((1500, 1500, 3), np.uint8), [note(100, 200, 600), note(1000, 1000, 90)])
    heights = {text: y1 - y0 for text, _, y0, _, y1 in texts}
    large, small = (y1 - y0 for text, _, y0, _, y1 in texts if text.startswith("surprise 70 %"))
    assert large > 2 * small and heights


def test_crowded_bars_are_left_out_and_captions_are_not(texts):
    notes = [note(2 + 50 * n, 30, 48) for n in range(5)]
    annotate_image(np.zeros((100, 256, 3), np.uint8), notes)
    written = [text for text, *_ in texts]
    assert sum(text == "surprise 70 %" for text in written) == 5
    assert written.count("neutral") < 5


def test_a_caption_without_room_covers_the_least_of_other_faces(texts):
    notes = [note(20 + 50 * (n % 3), 40 + 50 * (n // 3), 48) for n in range(9)]
    annotate_image(np.zeros((240, 260, 3), np.uint8), notes)
    tops = [y0 for text, _, y0, *_ in texts if text == "surprise 70 %"]
    assert 90 <= tops[3] < 105, "over its own forehead, not over the chin above"


@pytest.mark.parametrize("size", [(400, 300), (64, 40), (30, 900)])
def test_an_image_without_a_face_says_so(texts, size):
    image = annotate_image(np.asarray(Image.new("RGB", size)), [FaceNote(None, "no face")])
    assert [text for text, *_ in texts] == ["no face"] and inside(texts, image)
