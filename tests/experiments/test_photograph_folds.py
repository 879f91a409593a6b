"""Each person is tested in one fold, and what the cache holds of a photograph stays."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.progress import SILENT

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("photograph_folds")


@pytest.fixture
def source(make_pictured_rows, tmp_path):
    rows = make_pictured_rows(train=50, test=10)
    for number, row in enumerate(rows):
        row.split, row.group = None, f"person {number % 17}"
        if row.status == "ok" and number % 2:
            row.deviation = np.full((478, 3), number / 1000, np.float16)
    rows[3].label = "contempt"
    return write_cache(tmp_path / "photos-112", rows, detector="facemesh", part_rows=25)


def test_folds(script, source):
    paths = script.fold_caches(source, SILENT)
    assert [path.name for path in paths] == [f"photos-112-fold{number}of5" for number in range(1, 6)]
    before = source.frame()
    tested = []
    for path in paths:
        cache = LandmarkCache.open(path)
        after = cache.frame()
        assert cache.complete and cache.manifest.detector == source.manifest.detector
        assert set(after["split"]) == {"train", "test"}
        test = after["split"] == "test"
        assert not set(after["group"][test]) & set(after["group"][~test])
        assert after["label"].isna().sum() == before["label"].isna().sum() + 1, "contempt alone is left out"
        for column in set(before) - {"label", "split", "landmarks", "deviation", "blendshapes"}:
            assert after[column].equals(before[column]), column
        np.testing.assert_array_equal(cache.landmarks(), source.landmarks())
        np.testing.assert_array_equal(cache.deviations(), source.deviations())
        tested += after["id"][test].tolist()
    assert sorted(tested) == sorted(before["id"])


def test_figures_are_recalls_and_their_mean(script):
    labels = np.array([0, 0, 0, 1])
    right = np.array([True, True, False, True])
    sums = np.stack([(labels == 0) & right, (labels == 1) & right, labels == 0, labels == 1], axis=1)
    accuracy, balanced = script._figures(sums.astype(float).sum(axis=0))
    assert accuracy == pytest.approx(3 / 4)
    assert balanced == pytest.approx((2 / 3 + 1) / 2)


def test_rows_without_runs_keep_their_figures(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "RESULTS", tmp_path / "photograph-folds.csv")
    columns = ["row", "metric", "value"]
    fresh = script.pd.DataFrame([("lite0", "accuracy", 0.8)], columns=columns)
    assert script.with_earlier(fresh) is fresh
    earlier = [("mlp", "accuracy", 0.7), ("lite0", "accuracy", 0.1)]
    script.pd.DataFrame(earlier, columns=columns).to_csv(script.RESULTS, index=False)
    found = script.with_earlier(fresh)
    assert dict(zip(found["row"], found["value"], strict=True)) == {"mlp": 0.7, "lite0": 0.8}
