"""`landmarkfer export` as a user calls it."""

import pytest
from click.testing import CliRunner

import landmarkfer as lf
from landmarkfer.cli import cli
from landmarkfer.errors import CacheError, RunError
from landmarkfer.training.fit import train


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ["export", *map(str, arguments)])


@pytest.mark.slow
def test_a_run_becomes_a_file(invoke, tiny_settings, tiny_cache, tmp_path):
    run = train(tiny_settings("mlp", **{"name": "mine"}), runs_root=tmp_path / "experiments" / "runs")
    result = invoke("mine")
    assert result.exit_code == 0, result.output
    readable = (tiny_cache.frame(["status"])["status"] != "unreadable").sum()
    assert (
        "mine.onnx: 0." in result.stdout
        and f" on {readable} faces of {tiny_cache.path} " in result.stdout
        and "Next: landmarkfer" in result.stdout
    )
    assert lf.load("mine.onnx").classes == lf.load(run).classes
    rounded = invoke("mine", "--int8", "--out", "small.onnx")
    if rounded.exit_code == 0:
        assert "8-bit weights: accuracy" in rounded.stdout and (tmp_path / "small.onnx").exists()
    else:
        assert isinstance(rounded.exception, RunError) and not (tmp_path / "small.onnx").exists()


@pytest.mark.slow
def test_without_its_cache(invoke, tiny_settings, tmp_path):
    import shutil

    from landmarkfer.data.cache import LandmarkCache

    settings = tiny_settings("mlp")
    cache = shutil.copytree(LandmarkCache.open(settings.cache).path, tmp_path / "faces")
    run = train(tiny_settings("mlp", **{"cache": str(cache)}), runs_root=tmp_path)
    shutil.rmtree(cache)
    result = invoke(run.path)
    assert result.exit_code == 0 and "1,000 faces of the canonical face" in result.stdout
    rounded = invoke(run.path, "--int8")
    assert isinstance(rounded.exception, CacheError) and "name it with --cache" in str(rounded.exception)


def test_mistakes(invoke):
    result = invoke("nowhere")
    assert result.exit_code == 1 and "'nowhere' is no run" in str(result.exception)
