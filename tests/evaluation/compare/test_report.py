import pandas as pd
import pytest

from landmarkfer.errors import LandmarkferError
from landmarkfer.evaluation.compare.disagreements import disagreement_rows, image_disagreements
from landmarkfer.evaluation.compare.report import read_rows, render_differences, won_and_lost, write_rows
from landmarkfer.evaluation.compare.statistics import (
    confusion_differences,
    differences_in,
    pair_systems,
    slice_differences,
)
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.reporting.markdown import Header

HEADER = Header("Where they differ", ["landmarkfer compare a --with b"], {"torch": "2.9"}, "2026-01-02")
FEW = {"resamples": 100, "permutations": 499}


def predictions(predicted, labels="hhhsss"):
    names = {"h": "happy", "s": "sad"}
    frame = pd.DataFrame({"id": list("abcdef"), "label": [names[one] for one in labels], "status": "ok"})
    frame["predicted"] = [names[one] for one in predicted]
    for name in ("sad", "happy"):
        frame[f"p_{name}"] = (frame["predicted"] == name) * 0.6 + 0.2
    return Predictions.from_frame(frame)


@pytest.fixture
def pair():
    return pair_systems([predictions("hhhshh")], [predictions("hsssss")])


def rows_of(pair, measures=None):
    slices = [] if measures is None else [slice_differences(pair, measures, **FEW)]
    parts = [confusion_differences(pair, **FEW), *slices, disagreement_rows(image_disagreements(pair))]
    return pd.concat(parts, ignore_index=True)


def test_the_page_by_hand(pair, tmp_path):
    measures = pd.DataFrame({"face": ["found"] * 3 + ["not found"] * 3}, index=pair.ids)
    write_rows(tmp_path / "d.csv", rows_of(pair, measures))
    (tmp_path / "won.png").write_bytes(b"drawn before")
    assert render_differences(tmp_path / "d.csv", ("one", "other"), HEADER) == tmp_path / "d.md"
    assert (tmp_path / "differences.png").exists() and (tmp_path / "slices.png").exists()
    page = (tmp_path / "d.md").read_text()
    assert page.startswith("# Where one and other differ")
    for part in (
        "| accuracy | 6 | 66.7 | 66.7 | 0.0 |",
        "| happy | recall | 3 | 100.0 | 33.3 | +66.7 |",
        "| sad | happy | 3 | 66.7 | 0.0 | +66.7 |",
        "| face | found | 3 | 100.0 | 33.3 | +66.7 |",
        "| face | not found against found | 6 | -66.7 | 66.7 | -133.3 |",
        "| all | 6 | 2 | 2 |",
        "![Won by the first](won.png)",
        "landmarkfer compare a --with b",
    ):
        assert part in page
    assert "Lost by the first" not in page


def test_without_slices_and_images_there_is_a_page(pair, tmp_path):
    (tmp_path / "slices.png").write_bytes(b"of an earlier comparison")
    write_rows(tmp_path / "d.csv", rows_of(pair))
    page = render_differences(tmp_path / "d.csv", ("one", "other"), HEADER).read_text()
    assert "By slice" not in page
    assert page.count("![") == 1
    assert not (tmp_path / "slices.png").exists()


def test_counts_are_in_the_order_of_the_classes(pair):
    rows = differences_in(disagreement_rows(image_disagreements(pair)))
    assert [(one.name, one.images, *won_and_lost(one)) for one in rows] == [
        ("", 6, 2, 2),
        ("sad", 3, 0, 2),
        ("happy", 3, 2, 0),
    ]


def test_rows_are_read_as_they_were_written(pair, tmp_path):
    rows = rows_of(pair)
    write_rows(tmp_path / "d.csv", rows)
    read = read_rows(tmp_path / "d.csv")
    pd.testing.assert_frame_equal(read, rows, atol=1e-5, check_dtype=False)
    pd.testing.assert_series_equal(read["p_holm"], rows["p_holm"], check_exact=True)


def test_what_are_no_rows(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LandmarkferError, match=r"other\.csv has columns a, b; expected part, name"):
        read_rows(tmp_path / "other.csv")
    with pytest.raises(LandmarkferError, match=r"none\.csv cannot be read"):
        read_rows(tmp_path / "none.csv")


def test_what_intervals_and_tests_are_over(pair, tmp_path):
    write_rows(tmp_path / "d.csv", rows_of(pair))
    images = render_differences(tmp_path / "d.csv", ("one", "other"), HEADER).read_text()
    assert "bootstrap over images." in images and "systems image by image" in images
    groups = render_differences(tmp_path / "d.csv", ("one", "other"), HEADER, groups=1234).read_text()
    assert (
        "bootstrap over 1,234 groups (people or sequences)." in groups and "systems group by group" in groups
    )
