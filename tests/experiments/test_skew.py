"""How FER2013 is drawn as skewed as photographs are, and which runs are trained on it."""

import importlib
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.training.resolve import resolve

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def skew(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    return importlib.import_module("skew")


def test_as_many_images_as_the_shares_allow(skew, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for name in skew.SHARES:
            for split, count in (("train", 400), ("test", 40)):
                for number in range(count):
                    packed.writestr(f"{split}/{name}/{number:04}.jpg", f"{split}{name}{number}")
    skew.draw(tmp_path / "all.zip", tmp_path / "skewed.zip")
    skew.draw(tmp_path / "all.zip", tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "skewed.zip") as drawn, zipfile.ZipFile(tmp_path / "again.zip") as again:
        names = drawn.namelist()
        assert again.namelist() == names and len(set(names)) == len(names)
        split, name, file = names[0].split("/")
        assert drawn.read(names[0]).decode() == f"{split}{name}{int(Path(file).stem)}"
    counts = Counter(tuple(name.split("/")[:2]) for name in names)
    assert counts["train", "neutral"] == 400 and counts["train", "happy"] == 336
    assert counts["train", "sad"] == 16 and counts["train", "fear"] == 2
    assert counts["test", "neutral"] == 40 and counts["test", "fear"] == 1, "at least one of each"


def test_the_runs_have_settings_and_find_those_they_are_initialised_from(skew):
    stored = {skew.WEIGHTED.format(seed=seed) for seed in skew.SEEDS}
    assert all((EXPERIMENTS.parent / path / "model.safetensors").is_file() for path in stored)
    earlier = set()
    for given in skew.plan():
        settings = load_settings(overrides=given)
        assert settings.name not in earlier
        if settings.model.name == "fusion":
            assert {settings.branches.image, settings.branches.encoder} <= earlier | stored
        assert resolve(settings).model.name == given["model.name"]
        earlier.add(settings.name)
    # Of each seed: six runs on each data set, four of pixels on the two skewed ones, and a fusion on FER2013.
    assert len(earlier) == 3 * (3 * 6 + 2 * 4 + 1)
