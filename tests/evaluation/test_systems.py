import numpy as np
import pytest

from landmarkfer.errors import RunError
from landmarkfer.evaluation.systems import (
    average_seeds,
    find_source,
    full_name,
    read_averages,
    read_side,
    read_systems,
    result_key,
    source_name,
    system_text,
)
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.runs.groups import System

CACHE = {"path": "cache/faces", "fingerprint": "f00", "rows": 1, "detector": "none"}


@pytest.fixture
def runs(made_run, tmp_path, monkeypatch):
    """Two seeds of two models."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        for name, model in (("mlp", {}), ("gnn", {"model.name": "gnn", "model.graph": "knn"})):
            more = {"graph": {"name": "knn", "kinds": ["near"], "nodes": 478, "edges": 10}} if model else {}
            config = {"cache": CACHE, "versions": {}, "cores": 1, **more}
            made_run(f"{name}-s{seed}", seed=seed, config=config, **model)
    return tmp_path


def named(system):
    return system.name, {seed: [run.name for run in runs] for seed, runs in system.seeds.items()}


def test_seeds_are_grouped_and_names_taken(runs):
    plain, other = read_systems(["mlp-s*", "b=gnn-s1,gnn-s0"])
    assert named(plain) == ("mlp", {0: ["mlp-s0"], 1: ["mlp-s1"]})
    assert named(other) == ("b", {1: ["gnn-s1"], 0: ["gnn-s0"]})
    assert result_key(other) == ("b", "gnn", "knn")
    assert result_key(plain) == ("mlp", "mlp", "none")


def test_runs_are_averaged(runs):
    named_one, unnamed = read_systems(["both=mlp-s0+gnn-s0,mlp-s1+gnn-s1", "mlp-s1+gnn-s0"])
    assert named(named_one) == ("both", {0: ["mlp-s0", "gnn-s0"], 1: ["mlp-s1", "gnn-s1"]})
    assert named(unnamed) == ("mlp + gnn", {1: ["mlp-s1", "gnn-s0"]})
    assert result_key(named_one) == ("both", "ensemble", "none")


def test_runs_of_one_seed_are_numbered(runs):
    (system,) = read_systems(["x=mlp-s1,gnn-s1"])
    assert list(system.seeds) == [0, 1]


def test_the_text_of_a_system_is_read_as_that_system(runs):
    for text in ("both=mlp-s0+gnn-s0,mlp-s1+gnn-s1", "x=mlp-s1"):
        (system,) = read_systems([text])
        assert system_text(system) == f"'{text}'"
    (system,) = read_systems(["mlp-s0"])
    assert system_text(system) == "mlp-s0"


def test_what_does_not_fit(runs, made_run):
    with pytest.raises(RunError, match="two systems are called 'mlp'"):
        read_systems(["mlp-s*", "mlp=gnn-s0"])
    with pytest.raises(RunError, match="'cnn-s0' is no run"):
        read_systems(["x=cnn-s0"])
    begun = made_run("begun-s0", finished=False)
    with pytest.raises(RunError, match="'begun-s0' has not finished"):
        read_systems([str(begun)])


def test_a_side_of_a_comparison(runs, tmp_path):
    (tmp_path / "mine.csv").write_text("id,label,p_happy")
    side = read_side(["mlp-s0", "mine.csv", "gnn-s*"])
    assert side.name == "mlp, mine, gnn"
    assert [source_name(source) for source in side.runs] == ["mlp-s0", "mine", "gnn-s0", "gnn-s1"]
    assert full_name(side) == "mlp-s0, mine, gnn-s0, gnn-s1"
    both = read_side(["both=mlp-s0+mine.csv"])
    assert (both.name, both.ensemble, full_name(both)) == ("both", True, "mlp-s0 + mine")
    with pytest.raises(RunError, match="'x=mlp-s0' is a system of its own"):
        read_side(["x=mlp-s0", "gnn-s0"])


def test_a_file_may_have_the_signs_of_a_system(runs, tmp_path):
    (tmp_path / "a=b+c,d.csv").write_text("id,label,p_happy")
    side = read_side(["a=b+c,d.csv"])
    assert side.name == "a=b+c,d"


def test_an_evaluation_without_a_training_is_a_source(runs, tmp_path):
    folder = tmp_path / "experiments/runs/both"
    folder.mkdir()
    (folder / "predictions.parquet").write_bytes(b"")
    assert find_source("both").name == "both"
    with pytest.raises(RunError, match="'neither' is no run"):
        find_source("neither")


def test_what_evaluate_averages(runs):
    plain, both = read_averages(["mlp-s*", "both=mlp-s0+gnn-s0,mlp-s1+gnn-s1", "gnn-s0"])
    assert named(plain) == ("average of 3 runs", {0: ["mlp-s0", "mlp-s1", "gnn-s0"]})
    assert named(both) == ("both", {0: ["mlp-s0", "gnn-s0"], 1: ["mlp-s1", "gnn-s1"]})


def test_averages_of_seeds():
    def predictions(happy):
        p = np.array([[happy, 1 - happy]])
        ids, status = np.array(["a"], object), np.array(["ok"], object)
        return Predictions(ids, np.array([0]), p.argmax(axis=1), p, ("happy", "sad"), status)

    single = predictions(0.3)
    found = average_seeds(System("x", {4: (predictions(0.9), predictions(0.5)), 7: (single,)}))
    assert list(found) == [4, 7]
    assert found[4].probabilities[0, 0] == pytest.approx(0.7)
    assert found[7] is single
