import pandas as pd
import pytest

from landmarkfer.evaluation.compare.disagreements import image_disagreements
from landmarkfer.evaluation.compare.report import Pictures, disagreement_counts, render_differences
from landmarkfer.evaluation.compare.statistics import confusion_differences, pair_systems, slice_differences
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


def test_the_page_by_hand(pair, tmp_path):
    measures = pd.DataFrame({"face": ["found"] * 3 + ["not found"] * 3}, index=pair.ids)
    rows = pd.concat([confusion_differences(pair, **FEW), slice_differences(pair, measures, **FEW)])
    csv, pictures = tmp_path / "d.csv", Pictures("d.png", "s.png", won="won.png")
    render_differences(csv, rows, image_disagreements(pair), ("one", "other"), pictures, HEADER)
    page = (tmp_path / "d.md").read_text()
    assert page.startswith("# Where they differ")
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
    rows = confusion_differences(pair, **FEW)
    render_differences(
        tmp_path / "d.csv", rows, image_disagreements(pair), ("one", "other"), Pictures("d.png"), HEADER
    )
    page = (tmp_path / "d.md").read_text()
    assert "By slice" not in page
    assert page.count("![") == 1


def test_counts_are_in_the_order_of_the_classes(pair):
    counts = disagreement_counts(image_disagreements(pair))
    assert counts.index.tolist() == ["sad", "happy", "all"]
    assert counts.loc["happy"].tolist() == [3, 2, 0]
    assert counts.loc["sad"].tolist() == [3, 0, 2]
