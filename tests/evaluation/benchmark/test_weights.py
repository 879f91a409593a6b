"""A benchmark of weights, on other data than they were trained on."""

import json
import shutil

import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli
from landmarkfer.config.benchmark import read_benchmark
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.benchmark.archive import read_archived
from landmarkfer.evaluation.benchmark.run import benchmark
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.reporting.results import ELSEWHERE, read_results
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import train

RECIPE = """
title = "Weights"
seeds = [0, 1]
baseline = "given"
[other_data]
mine = "{other}"
[[rows]]
name = "given"
weights = "weights/mlp-s{{seed}}"
[[rows]]
name = "one"
weights = "weights/mlp-s1"
[[rows]]
name = "both"
average = ["given", "one"]
"""


@pytest.fixture(scope="module")
def trained(tiny_settings, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [train(tiny_settings(seed=seed, **{"fit.epochs": 1}), runs_root=root) for seed in (0, 1)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("landmarkfer.evaluation.benchmark.measure.timeit.repeat", lambda *_, **__: [0.5])


@pytest.fixture
def place(trained, make_rows, tmp_path):
    """Weights alone, other data, and the recipe."""
    other = write_cache(tmp_path / "other", make_rows(train=3, test=4, seed=9))
    for run in trained:
        folder = tmp_path / "weights" / run.name
        folder.mkdir(parents=True)
        for file in (run.config_file, run.weights_file):
            shutil.copy(file, folder)
    (tmp_path / "mine.toml").write_text(RECIPE.format(other=other.path.as_posix()))
    return tmp_path


def without_cache(place):
    """As if the weights came from another machine."""
    for file in (place / "weights").glob("*/config.json"):
        content = json.loads(file.read_text())
        content["cache"]["path"] = "cache/gone"
        file.write_text(json.dumps(content))


def run(place, **keywords):
    roots = {"runs_root": place / "runs", "results_root": place / "results"}
    return benchmark(place / "mine.toml", **roots, **keywords)


def values_of(place):
    results = read_results(place / "results" / "mine.csv")
    return results.set_index(["experiment", "seed", "subset", "metric"])["value"]


def test_without_the_training_cache_there_are_figures_on_other_data(place):
    without_cache(place)
    before = sorted(path for path in (place / "weights").rglob("*"))
    page = run(place).read_text()
    values = values_of(place)
    for name, seed in (("given", 0), ("given", 1), ("one", 0)):
        weights = RunFolder(place / "weights" / f"mlp-s{1 if name == 'one' else seed}")
        expected = evaluate_run(weights, place / "other")[0].subsets["test"]
        assert values[name, seed, ELSEWHERE + "mine", "accuracy"] == pytest.approx(expected.accuracy)
        assert values[name, seed, ELSEWHERE + "mine", "n"] == 12
        assert values[name, seed, "run", "latency_ms"] == 500
    assert "test" not in values.index.get_level_values("subset")
    assert "## On other data" in page
    assert "## Compared with" not in page and "## Recall" not in page
    assert "- both: the average of given, one" in page
    assert sorted(path for path in (place / "weights").rglob("*")) == before, "nothing beside the weights"
    assert read_archived(place / "results" / "mine-predictions" / "given-s0.parquet").predictions is None


def test_an_equal_call_measures_nothing_and_leaves_equal_files(place, monkeypatch):
    without_cache(place)
    files = {path: path.read_bytes() for path in run(place).parent.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        for name in ("open_run", "evaluate_run"):
            patch.setattr(
                f"landmarkfer.evaluation.benchmark.measure.{name}", lambda *_: pytest.fail("done before")
            )
        run(place)
        assert {path: path.read_bytes() for path in files} == files
        shutil.rmtree(place / "weights")
        run(place, train=False)
        assert {path: path.read_bytes() for path in files} == files, "from the archive"
    assert "landmarkfer benchmark" in (place / "results" / "mine.md").read_text()


def test_further_data_are_evaluated(place, make_rows):
    without_cache(place)
    run(place)
    further = write_cache(place / "further", make_rows(train=3, test=5, seed=3))
    text = (place / "mine.toml").read_text()
    (place / "mine.toml").write_text(
        text.replace("[other_data]", f'[other_data]\nfurther = "{further.path.as_posix()}"')
    )
    run(place)
    values = values_of(place)
    assert values["given", 1, ELSEWHERE + "further", "n"] == 15
    assert values["given", 1, ELSEWHERE + "mine", "n"] == 12


def test_with_the_training_cache_they_are_rows_like_others(place, trained):
    page = run(place).read_text()
    values = values_of(place)
    for seed in (0, 1):
        expected = evaluate_run(trained[seed])[0].subsets["test"]
        assert values["given", seed, "test", "accuracy"] == pytest.approx(expected.accuracy)
    assert ("both", 0, "test", "accuracy") in values.index
    assert "## Compared with given" in page and "## On other data" in page
    assert not (place / "weights" / "mlp-s0" / "metrics.json").exists()


def test_latency_is_measured_again(place, monkeypatch):
    without_cache(place)
    run(place)
    monkeypatch.setattr("landmarkfer.evaluation.benchmark.measure.timeit.repeat", lambda *_, **__: [0.25])
    run(place, latency=True)
    assert values_of(place)["given", 0, "run", "latency_ms"] == 250
    assert not (place / "weights" / "mlp-s0" / "cost.json").exists()


def test_neither_the_training_cache_nor_other_data(place):
    without_cache(place)
    text = (place / "mine.toml").read_text()
    (place / "mine.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("mine ="))
    )
    with pytest.raises(CacheError, match="gone is no landmark cache"):
        run(place)


def test_other_data_without_labels(place, make_rows):
    without_cache(place)
    rows = make_rows(train=3, test=3)
    for row in rows:
        row.label = None
    shutil.rmtree(place / "other")
    write_cache(place / "other", rows)
    with pytest.raises(CacheError, match=r"the other data 'mine' \(.*other\) has no labels to evaluate on"):
        run(place)


def test_weights_that_are_not_there(place):
    without_cache(place)
    shutil.rmtree(place / "weights" / "mlp-s1")
    page = run(place).read_text()
    assert "- one: its weights, weights/mlp-s1, are not there" in page
    assert ("given", 0, ELSEWHERE + "mine", "accuracy") in values_of(place).index
    shutil.rmtree(place / "weights")
    shutil.rmtree(place / "results")
    with pytest.raises(SettingsError, match="nothing to report"):
        run(place)


@pytest.mark.parametrize(
    "extra", ['recipe = "a.toml"', 'retired = "lost"', 'average = ["given"]', "optional = true"]
)
def test_a_row_is_of_one_kind(place, extra):
    text = (place / "mine.toml").read_text()
    (place / "mine.toml").write_text(text.replace('name = "one"', f'name = "one"\n{extra}'))
    with pytest.raises(SettingsError, match="given by its weights"):
        read_benchmark(place / "mine.toml")


def test_on_the_command_line(place, monkeypatch):
    without_cache(place)
    monkeypatch.chdir(place)
    runner = CliRunner()
    with pytest.raises(SettingsError, match="the row 'one' is given by its weights"):
        runner.invoke(cli, ["benchmark", "mine.toml", "--only", "one"], catch_exceptions=False)
    result = runner.invoke(cli, ["benchmark", "mine.toml", "--dry-run"], catch_exceptions=False)
    assert "remaining in all: 0 s" in result.output, "there is nothing to train"
