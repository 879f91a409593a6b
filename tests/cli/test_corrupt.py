"""`landmarkfer corrupt` as a user calls it; what it makes is tested in tests/extraction/test_corrupt.py."""

import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import CacheError
from landmarkfer.extraction import extract


@pytest.fixture(scope="module")
def place(detector, synthetic_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    extract(synthetic_dataset, folder / "cache/made", workers=2)
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, ["corrupt", *arguments], catch_exceptions=False)


@pytest.mark.slow
def test_copies_that_are_trained_on(place, monkeypatch):
    monkeypatch.chdir(place)
    told = run("made", "--corruption", "mask", "--corruption", "low-light", "--workers", "2")
    assert told.exit_code == 0, told.output
    assert "cache/made-corrupted" in told.output
    made, copies = (LandmarkCache.open(place / "cache" / name) for name in ("made", "made-corrupted"))
    assert set(copies.frame()["id"]) == set(made.frame()["id"][made.frame()["split"] != "test"])
    words = "train --model mlp --cache made --name both --epochs 1 --set fit.device=cpu"
    words += ' --set split.validation=0.4 --set data.also=["made-corrupted"]'
    told = CliRunner().invoke(cli, words.split(), catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert (place / "experiments/runs/both/model.safetensors").exists()


def test_the_picture_of_all_corruptions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--preview", "all.png").output == "Wrote all.png\n"
    with Image.open("all.png") as picture:
        assert picture.height > picture.width > 800


def test_help_and_wrong_usage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "landmarkfer corrupt faces" in run("--help").output
    assert run("--seed", "-1").exit_code == 2
    with pytest.raises(CacheError, match="there is no landmark cache"):
        run()
    with pytest.raises(CacheError, match="none"):
        run("none")
