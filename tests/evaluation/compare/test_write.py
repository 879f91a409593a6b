import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.compare.comparison import compare_predictions
from landmarkfer.evaluation.compare.report import read_rows
from landmarkfer.evaluation.compare.write import write_comparison
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.progress import SILENT

CLASSES = ("happy", "sad", "angry")


def predictions(frame, wrong):
    """Of two seeds, on the test images of a cache; `wrong` of the happy ones are predicted to be sad."""
    known = frame[(frame["split"] == "test") & frame["label"].notna()].reset_index(drop=True)
    made = []
    for shift in (0, 1):
        predicted = known["label"].copy()
        happy = np.flatnonzero(known["label"] == "happy")[shift : shift + wrong]
        predicted.iloc[happy] = "sad"
        table = known[["id", "label", "status", "subset"]].assign(predicted=predicted)
        for name in CLASSES:
            table[f"p_{name}"] = np.where(predicted == name, 0.9, 0.05)
        made.append(Predictions.from_frame(table))
    return made


@pytest.fixture
def compared(pictured_cache, tmp_path):
    frame = pictured_cache.frame()

    def compare(out="out", cache=pictured_cache, progress=SILENT):
        comparison = compare_predictions(
            predictions(frame, 0),
            predictions(frame, 9),
            ("all right", "sad for happy"),
            cache=cache,
            progress=progress,
        )
        write_comparison(
            comparison,
            tmp_path / out,
            commands=["made by a test"],
            date="2026-01-02",
            images=cache,
            progress=progress,
        )
        return comparison.rows, tmp_path / out

    return compare


def test_a_benchmark_can_call_it(compared, recorder):
    rows, out = compared(progress=recorder)
    happy = rows[(rows["name"] == "happy") & (rows["metric"] == "recall")].iloc[0]
    assert (happy["first"], happy["second"]) == pytest.approx((1, 3 / 12))
    assert happy["p_holm"] < 0.05
    pd.testing.assert_frame_equal(read_rows(out / "differences.csv"), rows, check_dtype=False, atol=1e-5)
    assert {what for what, done, total in recorder.calls if done == total} == {
        "resamples (classes, confusions)",
        "resamples (slices)",
        "contact sheets",
    }
    measures = set(rows.loc[rows["part"] == "slice", "name"])
    assert {"face", "head turned, °", "part of the data set"} <= measures
    page = (out / "differences.md").read_text()
    assert "made by a test" in page and "Measured 2026-01-02" in page


@pytest.mark.slow
def test_equal_calls_leave_equal_files(compared):
    (_, first), (_, second) = compared("first"), compared("second")
    files = sorted(path.name for path in first.iterdir())
    assert files == [
        "differences.csv",
        "differences.md",
        "differences.png",
        "images.csv",
        "slices.png",
        "won.png",
    ]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_identical_images_are_shown_once(compared, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "landmarkfer.evaluation.compare.write.write_outcome_sheet",
        lambda _, disagreements, *__: drawn.extend(disagreements.index),
    )
    frame = compared()[0]
    assert len(frame)
    assert len(drawn) == len(set(drawn)) > 0
    assert "test/happy/002.png" not in drawn, "an unreadable image cannot be shown"


def test_a_cache_of_other_images_is_refused(compared, tmp_path, make_pictured_rows):
    other = write_cache(tmp_path / "other", make_pictured_rows(train=4, test=3))
    with pytest.raises(CacheError, match="lacks"):
        compared(cache=other)
