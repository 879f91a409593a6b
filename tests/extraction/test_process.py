"""From entries to rows, where entries say more than where their image is."""

import io

import numpy as np
from PIL import Image

from landmarkfer.extraction.process import open_images
from landmarkfer.extraction.sources.entry import Entry


class Reader:
    """One image, whatever is asked for."""

    def __init__(self):
        self.pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)

    def read(self, key):
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG")
        return file.getvalue()


def test_a_box_is_an_image_of_its_own():
    reader = Reader()
    entries = [Entry("a#0", "a", "happy", box=(4, 4, 12, 12)), Entry("a#1", "a", "sad", box=(30, 20, 50, 36))]
    first, second = open_images(entries, reader)
    np.testing.assert_array_equal(first.image.pixels, reader.pixels[2:14, 2:14])
    assert (second.row.width, second.row.height) == (30, 25)
    assert first.row.sha256 != second.row.sha256
    assert first.data is None, "the file shows more than the box"


def test_what_is_wrong_with_an_entry_is_why_its_row_is_unreadable():
    faulty, absent = open_images([Entry("a", "a", fault="its box has no area"), Entry("b", None)], Reader())
    assert (faulty.row.status, faulty.row.error) == ("unreadable", "its box has no area")
    assert absent.row.error == "there is no such image in the source"


def test_what_a_source_states_is_in_the_row():
    (opened,) = open_images([Entry("a", "a", "sad", "val", "public", "Ann", (1.0, 2.0))], Reader())
    row = opened.row
    assert (row.label, row.split, row.subset, row.group, row.votes) == (
        "sad",
        "val",
        "public",
        "Ann",
        (1.0, 2.0),
    )
