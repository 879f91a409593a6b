from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.evaluation.benchmark.archive import ArchivedRun, read_archived, write_archived
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions

CLASSES = ["angry", "happy", "sad"]


@pytest.fixture
def run():
    generator = np.random.default_rng(0)
    shares = generator.dirichlet([0.3] * 3, size=200)
    table = pd.DataFrame(
        {
            "id": [f"test/{number:03}.png" for number in generator.permutation(200)],
            "label": generator.choice(CLASSES, 200),
            "predicted": np.array(CLASSES)[shares.argmax(axis=1)],
            "status": generator.choice(["ok", "no_face"], 200),
            "clean": [None, True] + [False] * 198,
        }
    )
    table[[f"p_{name}" for name in CLASSES]] = shares
    changed = {"cache": "faces", "model.hidden": [2], "seed": 1}
    figures = [("run", "parameters", 12.0), ("on others", "accuracy", 0.5)]
    return ArchivedRun(
        Predictions.from_frame(table), "mlp", None, "2026-01-02T03:04:05", changed, figures, {"numpy": "2.0"}
    )


def test_there_and_back(run, tmp_path):
    write_archived(tmp_path / "a" / "one.parquet", run)
    back = read_archived(tmp_path / "a" / "one.parquet")
    assert (back.model, back.graph, back.created) == (run.model, run.graph, run.created)
    assert (back.changed, back.figures, back.versions) == (run.changed, run.figures, run.versions)
    expected = run.predictions.to_frame().sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(back.predictions.to_frame(), expected, rtol=2**-11, atol=2**-24)
    average_predictions([back.predictions, back.predictions])


def test_probabilities_before_calibration_take_no_more_room(run, tmp_path):
    known = run.predictions
    calibrated = known.probabilities**2
    calibrated /= calibrated.sum(axis=1, keepdims=True)
    run = replace(run, predictions=replace(known, probabilities=calibrated, uncalibrated=known.probabilities))
    write_archived(tmp_path / "one.parquet", run)
    table = pd.read_parquet(tmp_path / "one.parquet")
    assert {str(table[f"{kind}_{name}"].dtype) for kind in "pu" for name in CLASSES} == {"float16"}
    back = read_archived(tmp_path / "one.parquet").predictions
    expected = run.predictions.to_frame().sort_values("id", ignore_index=True)
    pd.testing.assert_frame_equal(back.to_frame(), expected, rtol=2**-11, atol=2**-24)


def test_archives_of_version_0_1_have_no_versions(run, tmp_path):
    write_archived(tmp_path / "new.parquet", run)
    table = pd.read_parquet(tmp_path / "new.parquet")
    del table.attrs["versions"]
    table.to_parquet(tmp_path / "old.parquet")
    assert read_archived(tmp_path / "old.parquet").versions == {}


def test_equal_runs_give_equal_files(run, tmp_path):
    for name in ("one", "two"):
        write_archived(tmp_path / f"{name}.parquet", run)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_what_is_none(run, tmp_path):
    run.predictions.to_frame().to_parquet(tmp_path / "plain.parquet")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    for name in ("plain", "damaged", "missing"):
        with pytest.raises(RunError, match=f"{name}.parquet holds no predictions of a run"):
            read_archived(tmp_path / f"{name}.parquet")
