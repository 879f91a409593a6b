"""`landmarkfer demo`, called as a user calls it, on few faces and for one epoch."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.errors import DetectorError, SettingsError, SourceError
from landmarkfer.extraction.detectors import FaceMeshDetector

SMALL = ("--per-class", "16", "--epochs", "1", "--workers", "1")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads only get in each other's way on models and data this small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "out"


def call(folder, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(cli, ["demo", "--out", str(folder), *arguments])


@pytest.fixture(scope="module")
def first(folder, detector):
    result = call(folder, *SMALL)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_whole_path_is_gone_and_told(first, folder):
    text = " ".join(first.split())
    assert text.count("they say nothing about accuracy on people") == 2
    for step in ("1. Make 112 labelled faces", "2. Find 478", "3. Train", "4. Train", "5. Evaluate"):
        assert step in text
    assert "complete: 114 rows, 114 of them made now" in text
    assert "alone is correct on" in text and "McNemar" in text
    for model in ("mlp", "gnn"):
        config = json.loads((folder / "runs" / model / "config.json").read_text())
        metrics = json.loads((folder / "runs" / model / "metrics.json").read_text())
        # Four of sixteen faces of each class, and the image without a face, which counts.
        assert metrics["subsets"]["test"]["n"] == 29 and metrics["subsets"]["test"]["no_face"] == 1
        row = next(line.split() for line in first.splitlines() if line.startswith(f" {model} "))
        assert row[1] == f"{config['parameters']:,}"
        assert f"{100 * metrics['subsets']['test']['accuracy']:.1f}" in row
        assert f"{100 * metrics['subsets']['test_detected']['accuracy']:.1f}" in row


def test_every_picture_it_names_is_there(first, folder):
    named = [line.split()[-1] for line in first.splitlines() if line.endswith(".png")]
    assert len(named) == 7
    for path in named:
        assert path.startswith(str(folder))
        with Image.open(path) as picture:
            assert min(picture.size) > 300


def test_the_commands_it_names_work(first, folder):
    commands = [line.split() for line in first.splitlines() if line.startswith("  landmarkfer ")]
    assert [words[1] for words in commands] == ["inspect", "train", "evaluate", "extract"]
    evaluate = commands[2]
    result = CliRunner().invoke(cli, evaluate[1:])
    assert result.exit_code == 0, result.output
    # Options and paths of the others are such as their commands take.
    for words in commands[:2]:
        for path in (word for word in words if word.startswith(str(folder))):
            assert (folder / "cache" / "synthetic-faces" / "manifest.json").is_file() and path.endswith(
                "synthetic-faces"
            )
        assert CliRunner().invoke(cli, [*words[1:], "--help"]).exit_code == 0


@pytest.mark.slow
def test_called_again_it_detects_nothing_and_trains_the_same(first, folder):
    before = pd.read_parquet(folder / "runs" / "gnn" / "predictions.parquet")
    result = call(folder, *SMALL)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "114 images" in text
    assert "was complete already: 114 rows; nothing was detected" in text
    assert text.count("in place of the earlier run") == 2
    pd.testing.assert_frame_equal(before, pd.read_parquet(folder / "runs" / "gnn" / "predictions.parquet"))


def test_other_faces_in_the_folder_are_not_mixed_in(first, folder):
    error = call(folder, "--per-class", "17").exception
    assert isinstance(error, SourceError)
    assert "made with other settings" in str(error) and str(folder / "faces") in str(error)


def test_without_a_detector_it_says_what_to_do_and_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(FaceMeshDetector, "available", staticmethod(lambda: False))
    monkeypatch.setenv("LANDMARKFER_LANDMARKER", str(tmp_path / "absent.task"))
    result = call(tmp_path / "out")
    assert isinstance(result.exception, DetectorError)
    assert "LANDMARKFER_LANDMARKER names" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_too_few_faces_are_refused(tmp_path):
    from rich.console import Console

    from landmarkfer.demo import run_demo

    result = call(tmp_path / "out", "--per-class", "15")
    assert result.exit_code == 2 and "--per-class" in result.output
    with pytest.raises(SettingsError, match="at least 16 faces per class, not 15"):
        run_demo(tmp_path / "out", Console(quiet=True), per_class=15)
