"""The scripts that train a table of runs: their settings, and that a table names only rows it has.

A row that can no longer be trained may still be in the CSV with its figures, and a contrast may name it.
"""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from landmarkfer.config.recipes import changed_settings, load_settings
from landmarkfer.evaluation.evaluate import evaluate_run, evaluate_runs
from landmarkfer.evaluation.files import write_evaluation
from landmarkfer.reporting.results import read_results
from landmarkfer.training.fit import train

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SCRIPTS = ("fer2013_landmarks", "fer2013_systems", "imbalance")


def load(name: str, monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_row_is_a_recipe_with_settings_that_fit(name, monkeypatch):
    table = load(name, monkeypatch).TABLE
    assert len({e.name for e in table.experiments}) == len(table.experiments)
    for experiment in table.experiments:
        recipe = EXPERIMENTS / "recipes" / f"{experiment.recipe}.toml"
        plain = changed_settings(load_settings(recipe))
        changed = changed_settings(load_settings(recipe, assignments=experiment.settings))
        assert {setting.partition("=")[0] for setting in experiment.settings} == {
            key for key in changed if changed[key] != plain.get(key)
        }


@pytest.mark.parametrize("name", SCRIPTS)
def test_contrasts_and_published_rows_name_rows_of_the_table(name, monkeypatch):
    table = load(name, monkeypatch).TABLE
    rows = {e.name for e in table.experiments}
    assert {member for members in table.ensembles.values() for member in members} <= rows
    rows |= set(table.ensembles)
    csv = EXPERIMENTS / "results" / f"{table.name}.csv"
    if csv.exists():
        rows |= set(read_results(csv)["experiment"])
    assert {c.variant for c in table.contrasts} | {c.base for c in table.contrasts} <= rows
    assert {p.beside for p in table.published} <= rows


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_and_names_that_are_not_there(name, monkeypatch):
    main = load(name, monkeypatch).main
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert f"{load(name, monkeypatch).TABLE.name}.csv" in result.output
    result = CliRunner().invoke(main, ["--only", "nothing"])
    assert result.exit_code == 2
    assert "'nothing' is none of" in result.output


def test_an_ensemble_averages_the_rows_of_a_seed(tiny_cache, tmp_path, monkeypatch):
    tables = load("_table", monkeypatch)
    monkeypatch.setattr(tables, "RUNS", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    table = tables.Table(
        *("page", "t", "Title", "Introduction", ["command"]),
        experiments=[tables.Experiment("a", "none"), tables.Experiment("b", "none")],
        ensembles={"both": ("a", "b")},
    )
    runs = []
    for number, experiment in enumerate(table.experiments):
        name = table.run_name(experiment, 0)
        small = {"model.name": "mlp", "model.hidden": [4], "fit.epochs": 1, "seed": number, "name": name}
        runs.append(
            train(load_settings(overrides=small | {"cache": str(tiny_cache.path)}), runs_root=tmp_path)
        )
        assert list(tables._evaluate_ensemble(table, "both", ("a", "b"), 0)) == [], "not all are there"
        evaluation, predictions = evaluate_run(runs[-1])
        write_evaluation(runs[-1].path, evaluation, predictions)
    (line,) = tables._evaluate_ensemble(table, "both", ("a", "b"), 0)
    _, expected = evaluate_runs(runs)[-1]
    assert line.startswith("both, seed 0: ")
    rows = pd.read_csv(tmp_path / "page.csv").query("subset == 'test' and metric == 'accuracy'")
    assert rows[["experiment", "model", "seed"]].values.tolist() == [["both", "ensemble", 0]]
    assert rows["value"].item() == pytest.approx(expected.subsets["test"].accuracy)
