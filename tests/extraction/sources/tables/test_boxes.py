import pandas as pd
import pytest

from landmarkfer.extraction.sources.open import open_source
from landmarkfer.extraction.sources.tables.boxes import read_boxes
from landmarkfer.extraction.sources.tables.read import Table


def boxes(tmp_path, columns, *rows):
    frame = pd.DataFrame([list(map(str, row)) for row in rows], columns=columns)
    found = read_boxes(Table(tmp_path / "t.csv", frame))
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("columns", "row", "box"),
    [
        (["x", "y", "w", "h"], (10, 20, 30, 40), (10, 20, 40, 60)),
        (["X", "Y", "Width", "Height"], (10, 20, 30, 40), (10, 20, 40, 60)),
        (["x1", "y1", "x2", "y2"], (10, 20, 30, 40), (10, 20, 30, 40)),
        (["bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"], (1.5, 2, 3.5, 4), (1.5, 2, 3.5, 4)),
        (["top", "left", "bottom", "right"], (20, 10, 40, 30), (10, 20, 30, 40)),
        (["face_x", "face_y", "face_width", "face_height"], (5, 5, 10, 10), (5, 5, 15, 15)),
    ],
)
def test_corners_and_sizes_are_told_by_their_names(tmp_path, columns, row, box):
    assert boxes(tmp_path, columns, row) == [box]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((0.1, 0.1, 0.5, 0.5), "fractions of the image"),
        ((5, 5, 5, 9), "has no area"),
        (("a", 1, 2, 3), "is no four numbers"),
        (("nan", 1, 2, 3), "values that are no pixels"),
    ],
)
def test_what_is_no_box_says_why(tmp_path, row, reason):
    (found,) = boxes(tmp_path, ["x0", "y0", "x1", "y1"], row)
    assert reason in found


def test_other_columns_are_no_boxes(tmp_path):
    assert boxes(tmp_path, ["x", "y", "label", "path"], (1, 2, 3, 4)) is None
    assert boxes(tmp_path, ["x", "y", "w", "h"], ("", "", "", "")) == [None]


def test_a_row_for_each_box_of_an_image(tree, tmp_path, facts):
    table = tmp_path / "t.csv"
    table.write_text(
        "file,label,left,top,right,bottom\n"
        "b.jpg,happy,1,1,9,9\nb.jpg,sad,20,1,29,9\nb.jpg,sad,20,1,29,9\na.jpg,fear,0,0,8,8\nc.jpg,fear,9,9,2,2\n"
    )
    source = open_source(tree("a.jpg", "b.jpg", "c.jpg"), labels=table)
    assert facts(source) == [
        ("a.jpg", "fear", None, None),
        ("b.jpg#0", "happy", None, None),
        ("b.jpg#1", "sad", None, None),
        ("c.jpg", "fear", None, None),
    ]
    assert source.entries[1].box == (1, 1, 9, 9)
    assert "has no area" in source.entries[3].fault
    plain = open_source(tree("a.jpg", "b.jpg", "c.jpg"), labels=table, boxes=False)
    assert [entry.label for entry in plain.entries] == ["fear", None, "fear"]
    assert "(b.jpg: happy, sad)" in plain.remarks[0]
