import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli, main
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.evaluation.compare.statistics import DIFFERENCE_COLUMNS
from landmarkfer.training.fit import train

FILES = {"differences.csv", "differences.md", "differences.png", "images.csv", "slices.png"}
WON, LOST = {"won.png"}, {"lost.png"}
"""The well trained system is always right."""
RUNS = {"good": (0, 1), "bad": (0, 1)}


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_pictured_rows, small_settings):
    """A working folder with a cache that has images and two systems of two seeds, one hardly trained."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_cache("cache/faces", make_pictured_rows(), part_rows=100)
        for name, seeds in RUNS.items():
            for seed in seeds:
                given = {"cache": "faces", "seed": seed, "name": f"{name}-s{seed}"}
                given |= {"fit.epochs": 8 if name == "good" else 1}
                given |= {"optimiser.lr": 0.01 if name == "good" else 1e-6}
                train(small_settings(**given))
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)], catch_exceptions=False)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_compare_as_a_user_would(place):
    result = run("good-s0", "good-s1", "--with", "bad-s0", "bad-s1")
    assert result.exit_code == 0, result.output
    out = place / "experiments/runs/compare-good-with-bad"
    assert names(out) == FILES | WON
    rows = pd.read_csv(out / "differences.csv", keep_default_na=False)
    assert tuple(rows.columns) == DIFFERENCE_COLUMNS
    tables = {
        name: [
            pd.read_parquet(place / f"experiments/runs/{name}-s{seed}/predictions.parquet") for seed in seeds
        ]
        for name, seeds in RUNS.items()
    }
    first, second = (np.mean([(t["predicted"] == t["label"]).mean() for t in tables[n]]) for n in RUNS)
    accuracy = rows[rows["part"] == "all"].iloc[0]
    assert (accuracy["first"], accuracy["second"]) == pytest.approx((first, second), abs=1e-5)
    assert first > second + 0.1
    assert f"{100 * first:.1f}" in result.output
    for text in (
        "first:  good",
        "second: bad",
        "confused either way",
        "head turned",
        "compare-good-with-bad",
    ):
        assert text in result.output
    assert max(len(line) for line in result.output.splitlines()[:-1]) <= 80
    images = pd.read_csv(out / "images.csv")
    assert set(images["id"]) == set(tables["good"][0]["id"])
    assert set(images["outcome"]) == {"won", "even"}
    page = (out / "differences.md").read_text()
    assert "landmarkfer compare good-s0 good-s1 --with bad-s0 bad-s1" in page
    assert "First: good (2 seeds). Second: bad (2 seeds). 36 test images." in page
    for name in ("differences.png", "slices.png", "won.png"):
        with Image.open(out / name) as picture:
            assert picture.width > 500
            assert np.std(np.asarray(picture.convert("L"))) > 10


@pytest.mark.slow
def test_runs_are_left_as_they_are(place, tmp_path):
    run("good-s0", "--with", "bad-s0", "--out", tmp_path)  # evaluates what is not
    folders = [place / "experiments/runs" / name for name in ("good-s0", "bad-s0")]
    before = {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}
    assert run("good-s0", "--with", "bad-s0", "--out", tmp_path).exit_code == 0
    assert {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")} == before


@pytest.mark.slow
def test_without_images_earlier_sheets_go(tmp_path):
    assert run("bad-s0", "--with", "good-s0", "--out", tmp_path / "a").exit_code == 0
    assert names(tmp_path / "a") == FILES | LOST
    result = run("bad-s0", "--no-images", "--out", tmp_path / "a", "--with", "good-s0")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "a") == FILES
    assert "lost.png" not in (tmp_path / "a" / "differences.md").read_text()


def test_averages_are_compared_as_one_system(tmp_path):
    result = run("both=good-s0+bad-s0", "--with", "bad-s1", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "first:  both" in result.output
    assert set(pd.read_csv(tmp_path / "images.csv")["right_first"]) == {0, 1}


@pytest.mark.slow
def test_an_evaluation_without_a_run_is_a_system_too(place, tmp_path):
    evaluation = tmp_path / "ensemble"
    arguments = ["evaluate", "good-s0", "good-s1", "--out", str(evaluation)]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    result = run(evaluation, "--with", "bad-s0", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == FILES | WON


def test_a_file_of_anybodys_predictions_is_a_system_too(place, tmp_path):
    run("good-s0", "--with", "bad-s0", "--no-images", "--out", tmp_path / "first")  # evaluates what is not
    table = pd.read_parquet(place / "experiments/runs/good-s0/predictions.parquet")
    mine = table[["p_angry", "p_happy", "p_sad", "predicted", "label", "id"]]
    mine.sample(frac=1, random_state=0).to_csv(tmp_path / "mine-s0.csv", index=False)
    result = run(tmp_path / "mine-s0.csv", "--with", "bad-s0", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "first:  mine\n" in result.output
    assert names(tmp_path / "out") == FILES | WON, "the cache is that of the run"
    ours, theirs = (pd.read_csv(tmp_path / name / "differences.csv") for name in ("first", "out"))
    certain = ["part", "name", "other", "metric", "first", "second", "difference"]
    pd.testing.assert_frame_equal(theirs[certain], ours[certain], rtol=1e-4)


@pytest.mark.slow
def test_a_cache_can_be_named_where_none_of_both_is_a_run(place, tmp_path):
    run("good-s0", "--with", "bad-s0", "--no-images", "--out", tmp_path / "first")
    files = []
    for name in ("good-s0", "bad-s0"):
        files.append(
            shutil.copy(place / f"experiments/runs/{name}/predictions.parquet", tmp_path / f"{name}.parquet")
        )
    result = run(files[0], "--cache", "faces", "--with", files[1], "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == FILES | WON
    assert "--cache faces" in (tmp_path / "out" / "differences.md").read_text()


@pytest.mark.slow
def test_without_the_cache_evaluated_runs_are_compared_without_its_slices(place, tmp_path, monkeypatch):
    run("good-s0", "--with", "bad-s0", "--out", tmp_path / "whole")
    shutil.copytree(place / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    result = run("good-s0", "--with", "bad-s0", "--out", "out")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == FILES
    page = (tmp_path / "out/differences.md").read_text()
    assert "| face | not found |" in page
    assert "head turned" not in page


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["good-s0"], "Missing option '--with'"),
        (["--with", "bad-s0"], "Missing argument 'FIRST...'"),
        (["good-s0", "--with"], "Missing option '--with'"),
        (["good-s0", "--with", "bad-s0", "--nothing"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, reason):
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def altered(place, tmp_path):
    """A copy of a run's evaluation, with its prediction table changed."""

    def make(name, change):
        run("good-s0", "--with", "bad-s0", "--no-images", "--out", tmp_path / "first")
        table = pd.read_parquet(place / "experiments/runs/bad-s0/predictions.parquet")
        (tmp_path / name).mkdir()
        change(table).to_parquet(tmp_path / name / "predictions.parquet")
        return tmp_path / name

    return make


def refusal(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["landmarkfer", "compare", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    return error


def test_what_cannot_be_compared_is_refused(place, altered, tmp_path, monkeypatch, capfd):
    def no(*arguments):
        return refusal(monkeypatch, capfd, *arguments)

    assert "run 'good-s0' is given twice" in no("good-s0", "--with", place / "experiments/runs/good-s0")
    assert "run 'bad-s0' is given twice" in no("good-s0", "--with", "bad-s0", "bad-s0")
    assert "'mlp' is no run" in no("good-s0", "--with", "mlp")
    fewer = altered("fewer", lambda table: table.iloc[:30])
    assert "on 36 images and 'fewer' on 30, of which 30 are the same" in no("good-s0", "--with", fewer)
    other = altered("other", lambda table: table.rename(columns={"p_sad": "p_fear"}).replace("sad", "fear"))
    error = no("good-s0", "--with", other)
    assert "'good-s0' distinguishes angry, happy, sad, and 'other' distinguishes angry, fear, happy" in error
    broken = altered("broken", lambda table: table)
    (broken / "predictions.parquet").write_text("no table")
    assert "is damaged" in no("good-s0", "--with", broken)
    assert "predictions.parquet is no readable CSV" in no("good-s0", "--with", broken / "predictions.parquet")
    assert "nothing is no landmark cache" in no("good-s0", "--with", "bad-s0", "--cache", "nothing")


def test_a_run_that_is_not_evaluated_needs_its_cache(place, tmp_path, monkeypatch, capfd):
    shutil.copytree(place / "experiments", tmp_path / "experiments")
    (tmp_path / "experiments/runs/bad-s1/predictions.parquet").unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    error = refusal(monkeypatch, capfd, "bad-s1", "--with", "good-s0")
    assert "run 'bad-s1' is not evaluated, and cannot be without its cache" in error


def test_help_shows_examples():
    text = run("--help").output
    assert "landmarkfer compare mlp-s{0,1,2} --with gnn-tesselation-s{0,1,2}" in text
    assert "--no-images" in text
