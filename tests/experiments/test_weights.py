"""The weights that the project ships are whole, and are what their recipe makes."""

from pathlib import Path

import pytest
import torch

from landmarkfer.config.recipes import changed_settings, load_settings
from landmarkfer.config.removed import same_settings
from landmarkfer.models.image import ImageModel
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.resolve import resolve

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RUNS = sorted(path.parent for path in (EXPERIMENTS / "weights").glob("*/config.json"))


def test_there_are_some():
    assert RUNS


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_they_load_as_their_recipe_says(path):
    trained = RunFolder(path).load()
    recipe, seed = path.name.rsplit("-s", 1)
    wanted = load_settings(EXPERIMENTS / "recipes" / f"{recipe}.toml", {"seed": int(seed), "name": path.name})
    config = trained.config
    assert same_settings(config.changed, config.created, changed_settings(wanted))
    assert config.settings.model == resolve(wanted).model
    model = trained.model
    assert isinstance(model, ImageModel)
    weights = model.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
    assert path.name in (EXPERIMENTS / "weights" / "README.md").read_text()
