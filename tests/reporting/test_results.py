import multiprocessing

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import LandmarkferError
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import SCORES, evaluate_predictions
from landmarkfer.reporting.results import (
    BENCH_COLUMNS,
    RESULT_COLUMNS,
    append_bench,
    append_results,
    evaluation_rows,
    read_bench,
    read_results,
    write_results,
)


def rows(*figures):
    return pd.DataFrame(
        [("e", "mlp", "none", seed, "test", metric, value) for seed, metric, value in figures],
        columns=RESULT_COLUMNS,
    )


def test_a_figure_measured_again_replaces_the_old_one_in_its_place(tmp_path):
    csv = tmp_path / "results" / "page.csv"
    append_results(csv, rows((0, "accuracy", 0.5), (0, "ece", 0.1)))
    append_results(csv, rows((1, "accuracy", 0.6)))
    append_results(csv, rows((0, "accuracy", 0.75)))
    assert csv.read_text().splitlines() == [
        "experiment,model,graph,seed,subset,metric,value",
        "e,mlp,none,0,test,accuracy,0.75",
        "e,mlp,none,0,test,ece,0.1",
        "e,mlp,none,1,test,accuracy,0.6",
    ]
    before = csv.read_bytes()
    append_results(csv, read_results(csv))
    assert csv.read_bytes() == before


def test_rewriting_keeps_places_and_drops_what_is_not_given(tmp_path):
    csv = tmp_path / "page.csv"
    write_results(csv, rows((0, "accuracy", 0.5), (0, "ece", 0.1), (1, "accuracy", 0.6)))
    write_results(csv, rows((2, "accuracy", 0.7), (1, "accuracy", 0.65), (0, "accuracy", 0.5)))
    assert csv.read_text().splitlines()[1:] == [
        "e,mlp,none,0,test,accuracy,0.5",
        "e,mlp,none,1,test,accuracy,0.65",
        "e,mlp,none,2,test,accuracy,0.7",
    ]


def test_names_that_look_like_missing_values_stay_names(tmp_path):
    csv = tmp_path / "page.csv"
    odd = rows((0, "accuracy", 0.5)).assign(experiment="nan", model="NA", graph="none, really")
    append_results(csv, odd)
    append_results(csv, odd)
    assert read_results(csv)[["experiment", "model", "graph"]].to_numpy().tolist() == [
        ["nan", "NA", "none, really"]
    ]


def _append_many(csv, seed):
    for _ in range(5):
        append_results(csv, rows(*((100 * seed + i, "accuracy", 0.5) for i in range(10))))


def test_runs_that_end_together_lose_no_rows(tmp_path):
    csv = tmp_path / "page.csv"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(csv, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_results(csv)) == 40


def test_bench_form(tmp_path):
    csv = tmp_path / "bench.csv"
    table = pd.DataFrame([("forward", "gnn", "cpu", 64, "milliseconds", 3.5)], columns=BENCH_COLUMNS)
    append_bench(csv, table)
    append_bench(csv, table.assign(value=2.5))
    assert read_bench(csv).to_numpy().tolist() == [["forward", "gnn", "cpu", 64, "milliseconds", 2.5]]


def test_other_columns_are_refused(tmp_path):
    csv = tmp_path / "page.csv"
    with pytest.raises(LandmarkferError, match="expected experiment, model"):
        append_results(csv, rows((0, "accuracy", 0.5)).drop(columns="seed"))
    csv.write_text("a,b\n1,2\n")
    with pytest.raises(LandmarkferError, match="has columns a, b; expected bench"):
        read_bench(csv)
    with pytest.raises(LandmarkferError, match="no results file"):
        read_results(tmp_path / "other.csv")


def test_rows_of_an_evaluation():
    frame = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "label": ["sad", "sad", "happy"],
            "predicted": ["sad", "happy", "happy"],
            "status": ["ok", "no_face", "ok"],
            "p_happy": [0.2, 0.7, 0.9],
            "p_sad": [0.8, 0.3, 0.1],
            "p_fear": 0.0,
        }
    )
    evaluation = evaluate_predictions(Predictions.from_frame(frame), bootstrap=10)
    table = evaluation_rows(
        evaluation, experiment="x", model="mlp", graph=None, seed=3, run={"train_seconds": 12.5}
    )
    assert list(table) == list(RESULT_COLUMNS)
    assert set(table["graph"]) == {"none"}
    values = table.set_index(["subset", "metric"])["value"]
    assert values[("test", "accuracy")] == pytest.approx(2 / 3)
    assert values[("test_detected", "accuracy")] == 1
    assert values[("test", "recall_sad")] == 0.5
    assert values[("test", "n")] == 3
    assert values[("test", "nll")] == pytest.approx(-np.log([0.8, 0.3, 0.9]).mean())
    assert {("test", name) for name in SCORES} <= set(values.index)
    assert ("test", "set_coverage") not in values and ("test", "set_coverage_sad") not in values
    # Each image is in a bin of its own of each class; of fear, nothing is expected and nothing there.
    assert values[("test", "classwise_ece")] == pytest.approx((0.2 + 0.7 + 0.1 + 0.2 + 0.7 + 0.1) / 9)
    sets = frame.assign(set_happy=[False, True, True], set_sad=True, set_fear=[False, True, False])
    evaluation = evaluate_predictions(Predictions.from_frame(sets), bootstrap=10)
    table = evaluation_rows(evaluation, experiment="x", model="mlp", graph=None, seed=3)
    found = table.set_index(["subset", "metric"])["value"]["test"]
    assert (found["set_coverage"], found["set_size"], found["set_single"]) == (1, 2, pytest.approx(1 / 3))
    assert (found["set_coverage_sad"], found["set_coverage_happy"]) == (1, 1)
    assert "set_coverage_fear" not in found, "which has no image"
    assert values[("run", "train_seconds")] == 12.5
    assert ("test", "recall_fear") not in values, "no image of the class, so nothing to recall"
