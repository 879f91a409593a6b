"""`landmarkfer explain` as a user calls it."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.data.synthetic import make_face, make_faceless
from landmarkfer.errors import SettingsError
from landmarkfer.training.fit import train


@pytest.fixture
def invoke(tmp_path, monkeypatch, detector):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return lambda *arguments: CliRunner().invoke(cli, ["explain", *map(str, arguments)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(make_face("surprise", 1, 220).image).save(folder / "amazed.png")
    Image.fromarray(make_faceless(0, 160)).save(folder / "none.png")
    return folder


def test_a_picture_and_a_json_of_each_face(invoke, photos, tmp_path):
    result = invoke(photos, "--run", "landmarks")
    assert result.exit_code == 0, result.output
    assert "amazed.png, face 0: " in result.stdout and "none.png" not in result.stdout
    assert "points: faithful" in result.stdout and "under the detector's own noise" in result.stdout
    assert "explanations/00001-amazed-0.png" in result.stdout
    with Image.open(tmp_path / "explanations/00001-amazed-0.png") as picture:
        assert picture.width > 600
    content = json.loads((tmp_path / "explanations/00001-amazed-0.json").read_text())
    assert content["predicted"] == content["explained"]


def test_a_class_that_was_asked_for(invoke, photos):
    result = invoke(
        photos / "amazed.png", "--run", "landmarks", "--label", "sad", "--no-check", "--out", "why"
    )
    assert result.exit_code == 0 and "; explained: sad" in result.stdout
    assert "faithful" not in result.stdout
    wrong = invoke(photos / "amazed.png", "--run", "landmarks", "--label", "joy")
    assert isinstance(wrong.exception, SettingsError) and "no class 'joy'" in str(wrong.exception)


def test_nothing_to_explain(invoke, photos):
    result = invoke(photos / "none.png", "--run", "landmarks")
    assert result.exit_code == 1 and "no face was found" in str(result.exception)


def test_class_means_over_a_cache(invoke, tiny_cache, tiny_settings, tmp_path):
    train(tiny_settings(name="small"), runs_root=tmp_path / "experiments/runs")
    result = invoke(tiny_cache.path, "--by-class", "--run", "small", "--per-class", 3)
    assert result.exit_code == 0, result.output
    assert "regions, by their share" in result.stdout and "area of random deletion: " in result.stdout
    for name in ("classes.png", "regions.csv", "faithfulness.csv"):
        assert (tmp_path / "explanations" / f"small-{name}").is_file()


def test_options_that_do_not_fit(invoke, tiny_cache):
    result = invoke(tiny_cache.path, "--by-class", "--label", "sad")
    assert result.exit_code == 2 and "leave --label out" in result.output
