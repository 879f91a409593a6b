import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.evaluation.compare.comparison import compare_predictions
from landmarkfer.evaluation.compare.statistics import DIFFERENCE_COLUMNS
from landmarkfer.metrics.predictions import Predictions


def predictions(predicted, **columns):
    """Predictions on three happy and three sad images, by letters."""
    names = {"h": "happy", "s": "sad"}
    frame = pd.DataFrame({"id": list("abcdef"), "label": ["happy"] * 3 + ["sad"] * 3, "status": "ok"})
    frame["predicted"] = [names[one] for one in predicted]
    for name in ("happy", "sad"):
        frame[f"p_{name}"] = (frame["predicted"] == name) * 0.6 + 0.2
    return Predictions.from_frame(frame.assign(**columns))


def test_without_a_cache_predictions_tell_what_to_slice_by(recorder):
    first = predictions("hhhshh", status=["ok"] * 4 + ["no_face", "unreadable"])
    second = predictions("hsssss", subset=["public", "private"] * 3, clean=[True] * 5 + [None])
    found = compare_predictions([first], [second, second], ("one", "other"), progress=recorder)
    assert tuple(found.rows.columns) == DIFFERENCE_COLUMNS
    assert (found.names, found.seeds, found.cache) == (("one", "other"), (1, 2), None)
    slices = found.rows[found.rows["part"] == "slice"]
    counts = {key: row["images"] for key, row in slices.set_index(["name", "other"]).iterrows()}
    assert counts == {
        ("face", "found"): 4,
        ("face", "not found"): 2,
        ("part of the data set", "private"): 3,
        ("part of the data set", "public"): 3,
    }, "a single slice is none"
    assert found.disagreements.index.tolist() == list("abcdef")
    images = found.rows[found.rows["part"] == "image"].set_index("name")
    assert images.loc["", ["first", "second"]].tolist() == pytest.approx([2 / 6, 2 / 6])
    assert {task for task, done, total in recorder.calls if done == total} == {
        "resamples (slices)",
        "resamples (classes, confusions)",
    }


def test_several_caches_are_slices():
    names = ["photos", "lab", "photos", "lab", "lab", "photos"]
    first, second = predictions("hhhshh", cache=names), predictions("hsssss", cache=names)
    rows = compare_predictions([first], [second], ("one", "other")).rows
    slices = rows[(rows["part"] == "slice") & (rows["name"] == "cache")].set_index("other")
    assert slices["images"].to_dict() == {"lab": 3, "photos": 3}
    assert slices.loc["lab", ["first", "second"]].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert slices.loc["photos", ["first", "second"]].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_covariates_are_of_the_cache(tiny_cache):
    frame = tiny_cache.frame()
    test = frame[(frame["split"] == "test") & frame["label"].notna()].reset_index(drop=True)
    table = test[["id", "label", "status"]].copy()
    for name in sorted(set(table["label"])):
        table[f"p_{name}"] = (table["label"] == name).astype(float)
    same = [Predictions.from_frame(table)]
    found = compare_predictions(same, same, ("one", "other"), cache=tiny_cache)
    assert found.cache == tiny_cache.path.name
    assert "head turned, °" in set(found.rows["name"])


def test_other_images_are_refused():
    other = predictions("hhhsss").rows(range(4))
    with pytest.raises(RunError, match="different images"):
        compare_predictions([predictions("hhhsss")], [other], ("one", "other"))
