import os

import pandas as pd

from landmarkfer.evaluation.compare.run import compare_runs


def table(predicted):
    """A prediction table of two happy and two sad images."""
    predicted = [{"h": "happy", "s": "sad"}[one] for one in predicted]
    frame = pd.DataFrame({"id": list("abcd"), "label": ["happy", "happy", "sad", "sad"], "status": "ok"})
    frame["predicted"] = predicted
    for name in ("happy", "sad"):
        frame[f"p_{name}"] = (frame["predicted"] == name) * 0.6 + 0.2
    return frame


def test_predictions_older_than_the_weights_are_told_of(made_run, monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    for name, predicted in (("one-s0", "hhss"), ("two-s0", "shhs")):
        cache = {"path": "cache/faces", "fingerprint": "f00", "rows": 1, "detector": "none"}
        folder = made_run(name, config={"cache": cache, "versions": {}, "cores": 1})
        table(predicted).to_parquet(folder / "predictions.parquet")
        os.utime(folder / "model.safetensors", (1, 1))
    os.utime(tmp_path / "experiments/runs/two-s0/model.safetensors")
    os.utime(tmp_path / "experiments/runs/two-s0/predictions.parquet", (1e9, 1e9))
    found, page = compare_runs(["one-s0"], ["two-s0"], tmp_path / "out")
    assert found.names == ("one", "two")
    assert page == tmp_path / "out" / "differences.md"
    messages = [record.getMessage() for record in caplog.records]
    assert sum("older than the run's weights" in text for text in messages) == 1
    assert any("two-s0" in text and "older" in text for text in messages)
    assert any("no slices by pose" in text and "faces is no landmark cache" in text for text in messages)
