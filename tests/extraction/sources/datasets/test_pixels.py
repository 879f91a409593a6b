import csv
import gzip
import pickle
import zipfile

import numpy as np
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.open import open_source


def pixel_row(values):
    return " ".join(map(str, values))


IMAGE = list(range(16))


def write_csv(path, lines, newline="\n"):
    path.write_bytes(newline.join(lines).encode() + newline.encode())
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_pixel_csv(tmp_path, newline):
    path = write_csv(
        tmp_path / "fer2013.csv",
        [
            "emotion,pixels,Usage",
            f"3,{pixel_row(IMAGE)},Training",
            f'0,"{pixel_row(IMAGE[::-1])}",PublicTest',
            f"6,{pixel_row(IMAGE)},PrivateTest",
        ],
        newline,
    )
    source = open_source(path)
    assert [(e.id, e.label, e.split, e.subset) for e in source.entries] == [
        ("row-0000000", "happy", "train", "train"),
        ("row-0000001", "angry", "test", "public"),
        ("row-0000002", "neutral", "test", "private"),
    ]
    assert source.classes == ["angry", "happy", "neutral"]
    # In any order, as several workers ask.
    keys = [entry.key for entry in source.entries]
    np.testing.assert_array_equal(source.reader.read(keys[1]), np.arange(15, -1, -1).reshape(4, 4))
    first = pickle.loads(pickle.dumps(source.reader)).read(keys[0])
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, np.arange(16).reshape(4, 4), "row by row")


def test_pixel_csv_with_other_columns_and_a_mark_at_its_start(tmp_path):
    path = write_csv(
        tmp_path / "x.csv", ["\ufeffemotion, Usage, pixels", f"Happiness, Training, {pixel_row(IMAGE)}"]
    )
    source = open_source(path)
    assert source.entries[0].label == "happy"
    assert source.reader.read(source.entries[0].key).shape == (4, 4)
    source = open_source(write_csv(tmp_path / "y.csv", ["pixels", pixel_row(IMAGE)]))
    assert (source.entries[0].label, source.entries[0].split) == (None, None)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (pixel_row(IMAGE[:-1]), "15 pixel values, which is no square"),
        (pixel_row([*IMAGE[:-1], 256]), "outside 0 to 255"),
        (pixel_row([*IMAGE[:-1], "x"]), "no list of pixel values"),
        ("", "0 pixel values"),
    ],
)
def test_a_bad_row_costs_only_itself(tmp_path, pixels, reason):
    path = write_csv(tmp_path / "x.csv", ["emotion,pixels,Usage", f",{pixels},", f"3,{pixel_row(IMAGE)},"])
    source = open_source(path)
    assert [entry.label for entry in source.entries] == [None, "happy"]
    with pytest.raises(UnreadableImage, match=reason):
        source.reader.read(source.entries[0].key)
    assert source.reader.read(source.entries[1].key).shape == (4, 4)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["user.id,image,emotion", "1,a.jpg,happy"], "needs one named pixels; a table of labels goes with"),
        (["emotion,pixels,Usage"], "has a header and no rows"),
    ],
)
def test_a_csv_that_holds_no_images(tmp_path, lines, message):
    with pytest.raises(SourceError, match=message):
        open_source(write_csv(tmp_path / "x.csv", lines))


def test_a_table_goes_with_images_not_with_a_csv_of_pixels(tmp_path):
    path = write_csv(tmp_path / "x.csv", ["pixels", pixel_row(IMAGE)])
    with pytest.raises(SourceError, match="has its own labels"):
        open_source(path, labels=path)


# The kinds of a pixel CSV that people have: each is the same seven images.
ROWS = [
    (number, pixel_row([number] * 16), "PublicTest" if number == 6 else "Training") for number in range(7)
]


def text_of(rows, delimiter=",", header=("emotion", "pixels", "Usage")):
    lines = [delimiter.join(header)]
    return "\r\n".join([*lines, *(delimiter.join(map(str, row)) for row in rows)]) + "\r\n"


def zipped(path, data):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/fer2013.csv", data)
        archive.writestr("folder/README", "")


KINDS = {
    "tab.csv": lambda p: p.write_bytes(text_of(ROWS, "\t").encode()),
    "semicolon.csv": lambda p: p.write_bytes(text_of(ROWS, ";").encode("utf-8-sig")),
    "utf16.csv": lambda p: p.write_bytes(text_of(ROWS).encode("utf-16")),
    "utf16be.csv": lambda p: p.write_bytes(text_of(ROWS, ";").encode("utf-16-be")),
    "floats.csv": lambda p: p.write_text(text_of([(f"{e}.0", px, u) for e, px, u in ROWS])),
    "spaces.csv": lambda p: p.write_text(text_of([(f" {e} ", f" {px} ", f" {u} ") for e, px, u in ROWS])),
    "header.csv": lambda p: p.write_text(text_of(ROWS, header=(" Emotion", " Pixels ", "USAGE"))),
    "names.csv": lambda p: p.write_text(text_of([(NAMES[e], px, u) for e, px, u in ROWS])),
    "gzip.csv.gz": lambda p: p.write_bytes(gzip.compress(text_of(ROWS).encode())),
    "only.csv.zip": lambda p: zipped(p, text_of(ROWS)),
    "archive.zip": lambda p: zipped(p, text_of(ROWS)),
}
NAMES = ["Anger", "disgust", "Fearful", "HAPPY", "sadness", "Surprised", "neutral "]


@pytest.mark.parametrize("name", KINDS)
def test_variants_of_the_file_are_one_data_set(tmp_path, name):
    KINDS[name](tmp_path / name)
    source = open_source(tmp_path / name)
    assert [entry.label for entry in source.entries] == [
        *("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    ]
    assert [entry.split for entry in source.entries] == ["train"] * 6 + ["test"]
    reader = pickle.loads(pickle.dumps(source.reader))
    np.testing.assert_array_equal(reader.read(source.entries[5].key), np.full((4, 4), 5))


def test_numbers_beyond_the_seven_are_refused_until_they_are_named(tmp_path):
    path = tmp_path / "ck.csv"
    path.write_text(
        text_of([*ROWS, (7, pixel_row([1] * 9), "Training"), (8, pixel_row([1] * 9), "Training")])
    )
    with pytest.raises(SourceError, match=r"7 \(1 image, such as row-0000007\), 8 .*--label-names 7=NAME"):
        open_source(path)
    source = open_source(path, label_names=["7=contempt", "8="])
    assert [entry.label for entry in source.entries[-2:]] == ["contempt", None]
    assert source.classes[-1] == "contempt"
    assert "Labels that mean no class: '8' (1)" in source.remarks[0]


@pytest.mark.parametrize("value", ["-1", "3.5", "1e3"])
def test_what_is_no_class_number_is_refused(tmp_path, value):
    path = tmp_path / "x.csv"
    path.write_text(text_of([*ROWS, (value, pixel_row([1] * 9), "Training")]))
    with pytest.raises(SourceError, match="labels that name no class"):
        open_source(path)


def test_foreign_rows_have_no_class_and_no_split(tmp_path):
    path = tmp_path / "x.csv"
    junk = ["a,b,c,d,e,f", "<html>", "happy,1 2 3,Training", "3,,PrivateTest"]
    path.write_text(text_of(ROWS) + "\n".join(junk))
    source = open_source(path)
    assert source.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert [(e.label, e.split) for e in source.entries[7:]] == [(None, None)] * 4
    assert source.remarks[0] == "4 rows of x.csv without a square of pixels: no class, unreadable."


def test_a_usage_that_names_no_split_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text_of([(3, pixel_row([1] * 9), "Fold 2")]))
    with pytest.raises(SourceError, match=r"names? no split: Fold 2; .*--split-names 'Fold 2=train'"):
        open_source(path)
    assert open_source(path, split_names={"fold 2": "test"}).entries[0].split == "test"


def test_long_rows_are_read(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text_of([(3, pixel_row([200] * 256 * 256), "Training")]))
    source = open_source(path)
    assert source.reader.read(source.entries[0].key).shape == (256, 256)
    assert csv.field_size_limit() > 131_072


def test_lists_in_brackets_and_with_commas(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('emotion,pixels\n3,"[1, 2, 3, 4]"\n4,"5,6,7,8"\n')
    source = open_source(path)
    assert [source.reader.read(e.key).tolist() for e in source.entries] == [
        [[1, 2], [3, 4]],
        [[5, 6], [7, 8]],
    ]
    assert source.readings == {"3": "happy", "4": "sad"}


def test_a_file_without_any_square_of_pixels_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("emotion,pixels\n3,0.1 0.2 0.3 0.4\n")
    with pytest.raises(SourceError, match=r"no row with a square of pixels: .* its first row has '0\.1 0\.2"):
        open_source(path)


def test_people_of_a_pixel_csv(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("emotion,pixels,person\n3,1 2 3 4,Ann\n4,5 6 7 8,\n")
    assert [entry.group for entry in open_source(path).entries] == ["Ann", None]
    with pytest.raises(SourceError, match="has no column prson; it has emotion, pixels, person"):
        open_source(path, group_column="prson")


def test_a_file_without_header_lists_few_columns(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("3," + ",".join(map(str, range(2304))) + "\n")
    with pytest.raises(SourceError) as caught:
        open_source(path)
    assert len(str(caught.value)) < 500
