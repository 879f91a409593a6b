"""The weights that the project ships are whole, and are what their recipe makes."""

from pathlib import Path

import pytest
import torch

from landmarkfer.config.benchmark import read_benchmark, row_settings, run_name
from landmarkfer.config.recipes import changed_settings, load_settings
from landmarkfer.config.removed import same_settings
from landmarkfer.models.image import ImageModel
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.resolve import resolve

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RUNS = sorted(path.parent for path in (EXPERIMENTS / "weights").glob("*/config.json"))


def test_there_are_some():
    assert RUNS


def settings_of(run):
    """By the recipe of that name, or by the row of the transfer benchmark."""
    recipe, _, seed = run.rpartition("-s")
    path = EXPERIMENTS / "recipes" / f"{recipe}.toml"
    if path.exists():
        return load_settings(path, {"seed": int(seed), "name": run})
    path = EXPERIMENTS / "benchmarks" / "transfer.toml"
    benchmark = read_benchmark(path)
    (row,) = [one for one in benchmark.rows if run_name(path, benchmark, one, int(seed)) == run]
    return row_settings(path, benchmark, row, int(seed))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_they_load_as_their_recipe_says(path):
    trained = RunFolder(path).load()
    wanted = settings_of(path.name)
    config = trained.config
    assert same_settings(config.changed, config.created, changed_settings(wanted))
    assert config.settings.model == resolve(wanted).model
    model = trained.model
    assert isinstance(model, ImageModel)
    weights = model.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
    assert path.name in (EXPERIMENTS / "weights" / "README.md").read_text()
