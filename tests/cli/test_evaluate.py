import json
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli, main
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.training.fit import train
from landmarkfer.training.multirun import repetitions, train_multirun

FILES = {"metrics.json", "predictions.parquet", "per_class.csv"}
FILES |= {"confusion.png", "reliability.png", "class_reliability.png", "risk_coverage.png"}


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_rows, small_settings):
    """A working folder with two caches and two trained runs."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_cache("cache/faces", make_rows())
        write_cache("cache/others", make_rows(train=6, test=6, seed=8))
        for seed in (0, 1):
            train(small_settings(cache="faces", seed=seed))
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "120")
    for name in FILES:
        for run in ("mlp-s0", "mlp-s1"):
            (place / "experiments/runs" / run / name).unlink(missing_ok=True)


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)], catch_exceptions=False)


def names(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_evaluate_as_a_user_would(place):
    result = run("mlp-s0")
    assert result.exit_code == 0, result.output
    folder = place / "experiments/runs/mlp-s0"
    assert names(folder) >= FILES
    figures = json.loads((folder / "metrics.json").read_text())["subsets"]
    assert list(figures) == ["test", "test_detected", "public", "private", "clean", "clean_near"]
    table = pd.read_parquet(folder / "predictions.parquet")
    accuracy = (table["label"] == table["predicted"]).mean()
    assert figures["test"]["accuracy"] == pytest.approx(accuracy)
    assert f"{100 * accuracy:.2f}" in result.output
    assert "test_detected" in result.output
    assert "experiments/runs/mlp-s0" in result.output


def test_several_runs_and_their_average(place, tmp_path):
    result = run("mlp-s0", place / "experiments/runs/mlp-s1", "--out", tmp_path / "both")
    assert result.exit_code == 0, result.output
    assert "average of 2 runs" in result.output
    assert names(tmp_path / "both") == FILES
    for name in ("mlp-s0", "mlp-s1"):
        assert names(place / "experiments/runs" / name) >= FILES
    both = pd.read_parquet(tmp_path / "both/predictions.parquet")
    each = [pd.read_parquet(place / f"experiments/runs/mlp-s{seed}/predictions.parquet") for seed in (0, 1)]
    expected = (each[0]["p_happy"] + each[1]["p_happy"]) / 2
    assert both["p_happy"].tolist() == pytest.approx(expected.tolist())


def test_under_another_prior_in_a_folder_of_its_own(place):
    result = run("mlp-s0", "--prior", "uniform")
    assert result.exit_code == 0, result.output
    folder = place / "experiments/runs/mlp-s0"
    assert "experiments/runs/mlp-s0/on-faces" in result.output
    assert names(folder / "on-faces") == {*FILES, "applied.json"} and not FILES & names(folder)
    assert json.loads((folder / "on-faces/metrics.json").read_text())["prior"] == "uniform"
    with pytest.raises(SettingsError, match="it has happy"):
        run("mlp-s0", "--prior", "happy=0.4")
    with pytest.raises(SettingsError, match="is no share"):
        run("mlp-s0", "--prior", "happy=0.4", "--prior", "sad=much")
    with pytest.raises(SettingsError, match="not 'uniform' beside others"):
        run("mlp-s0", "--prior", "uniform", "--prior", "train")
    with pytest.raises(SettingsError, match="prior names 'cross', and the classes are"):
        run("mlp-s0", "--prior", "cross=0.4")


def test_another_cache_leaves_the_run_alone(place, tmp_path):
    result = run("mlp-s0", "--cache", "others")
    assert result.exit_code == 0, result.output
    assert "18" in result.output, "the test images of the other cache"
    assert not FILES & names(place / "experiments/runs/mlp-s0")
    assert run("mlp-s0", "--cache", "others", "--out", tmp_path / "other").exit_code == 0
    assert names(tmp_path / "other") == FILES


def test_another_cache_without_out_has_a_folder_in_the_run(place):
    for _ in range(2):
        result = run("mlp-s0", "--cache", "others")
        assert "Figures, predictions and pictures: experiments/runs/mlp-s0/on-others\n" in result.output
    assert names(place / "experiments/runs/mlp-s0/on-others") == FILES | {"applied.json"}
    assert not FILES & names(place / "experiments/runs/mlp-s0")


@pytest.fixture
def relabelled(make_rows, tmp_path):
    """Write a cache whose labels are others: `relabelled("numbers", {"happy": "1"})`."""

    def write(name, labels):
        rows = make_rows(train=3, test=6, seed=8)
        for row in rows:
            row.label = labels.get(row.label)
        return write_cache(tmp_path / name, rows).path

    return write


def test_numbers_as_labels_take_names(relabelled, tmp_path):
    cache = relabelled("numbers", {"happy": "1", "sad": "2", "angry": "3"})
    with pytest.raises(SettingsError, match=r"labels 1, 2, 3 of .*numbers are numbers"):
        run("mlp-s0", "--cache", cache)
    file = tmp_path / "names.txt"
    file.write_text("1=happy\n2=sad\n")
    result = run("mlp-s0", "--cache", cache, "--label-names", file, "--label-names", "3=contempt")
    assert "12" in result.output
    assert "Left out: 6 images with a label that the model lacks: contempt (6)." in result.output
    assert "Classes of the model without an image in numbers: angry." in result.output
    merged = run(
        "mlp-s0", "--cache", cache, "--label-names", file, "--label-names", "3=", "--merge", "bad=sad+angry"
    )
    assert "Left out: 6 images of numbers without a class." in merged.output
    assert "Classes of the model without" not in merged.output


def test_without_labels_there_are_predictions(relabelled, tmp_path):
    result = run("mlp-s0", "--cache", relabelled("photos", {}), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == {"predictions.parquet"}
    text = " ".join(result.output.split())
    assert "photos has no labels, so there are no figures: 18 predictions, of which 3 without a face" in text
    assert "3 without a face and 1 that could not be read, with the fallback prediction" in text
    assert f"Predictions: {tmp_path / 'out'}" in text
    table = pd.read_parquet(tmp_path / "out/predictions.parquet")
    counts = table["predicted"].value_counts()
    for name in ("angry", "happy", "sad"):
        assert f"{name} {counts.get(name, 0)} " in text
    assert "accuracy" not in text


@pytest.mark.slow
def test_folds_are_evaluated_as_one(tmp_path, small_settings):
    wanted = repetitions(small_settings(cache="faces", name="cv", **{"fit.epochs": 1}), folds=2)
    folds = [found.path for found in train_multirun(wanted, runs_root=tmp_path)]
    result = run(*folds, "--out-of-fold", "--out", tmp_path / "cv")
    assert result.exit_code == 0, result.output
    assert "2 folds" in result.output
    assert "val_detected" in result.output
    assert "test_detected" not in result.output
    with pytest.raises(RunError, match="fold 1 is missing of the 2"):
        run(folds[1], "--out-of-fold", "--out", tmp_path / "one")
    assert names(tmp_path / "cv") == FILES
    table = pd.read_parquet(tmp_path / "cv/predictions.parquet")
    splits = [json.loads((fold / "splits.json").read_text()) for fold in folds]
    assert set(table["id"]) == {*splits[0]["val"], *splits[1]["val"]}
    assert not table["id"].str.startswith("test/").any()
    with pytest.raises(RunError, match="validated more than one of these runs"):
        run(*folds, folds[0], "--out-of-fold", "--out", tmp_path / "cv")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing argument 'RUN...'"),
        (["mlp-s0", "--out-of-fold"], "--out-of-fold needs --out FOLDER"),
        (["mlp-s0", "--mirror"], "No such option"),
        (["mlp-s0", "--out", "cache/faces/manifest.json"], "is a file"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, reason):
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        (["mlp-s7"], ["'mlp-s7' is no run", "there are mlp-s0, mlp-s1"]),
        (["mlp-s0", "cache/faces"], ["'cache/faces' is no run"]),
        (["mlp-s0", "--cache", "third"], ["third is no landmark cache", "faces, others"]),
    ],
)
def test_failures_are_one_sentence_and_exit_with_1(monkeypatch, capfd, arguments, reasons):
    monkeypatch.setattr(sys, "argv", ["landmarkfer", "evaluate", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("Error: ")
    for reason in reasons:
        assert reason in error


def test_help_shows_examples():
    text = run("--help").output
    assert "landmarkfer evaluate mlp-s0 mlp-s1 mlp-s2 --out" in text
    assert "--cache" in text
