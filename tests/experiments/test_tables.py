"""The scripts that train a table of runs: their settings, and that a table names only rows it has."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from landmarkfer.config import changed_settings, load_settings

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
