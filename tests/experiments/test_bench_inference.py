"""The benchmark of prediction: what it compares is the same, and its figures are what their names say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from landmarkfer.errors import LandmarkferError
from landmarkfer.inference.load import shipped_file
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.progress import SILENT

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def bench(load_bench):
    return load_bench("inference")


def test_help_has_an_example(bench):
    done = CliRunner().invoke(bench.main, ["--help"])
    assert done.exit_code == 0 and "Example: python experiments/bench/inference.py" in done.output


def test_photos_that_are_not_there_are_an_error_of_one_sentence(bench, tmp_path):
    done = CliRunner().invoke(bench.main, ["--photos", str(tmp_path / "none.zip"), "--part", "photos"])
    assert done.exit_code == 1
    assert done.output.strip().splitlines()[-1].startswith("Error: ") and "does not exist" in done.output


def test_a_share_is_the_median_ratio_of_the_turns(bench):
    assert bench.ratio([2.0, 3.0, 8.0], [1.0, 2.0, 2.0]) == 2.0


def test_sides_that_do_not_do_the_same_are_not_compared(bench):
    run = bench.Run(10.0, 90.0, faces=3, confidence=0.5)
    bench.check_same([run], [bench.Run(20.0, 40.0, faces=3, confidence=0.5)])
    with pytest.raises(LandmarkferError, match="must do the same"):
        bench.check_same([run], [bench.Run(20.0, 40.0, faces=2, confidence=0.5)])


def test_the_command_is_shown_without_folders(bench):
    photos, python = Path("/data/photos.zip"), Path("/tmp/fer/bin/python")
    given = ["--photos", str(photos), "--fer-python", str(python)]
    assert bench.shown(given, photos, python) == ["--photos", "photos.zip", "--fer-python", "fer/bin/python"]
    assert bench.shown(["--limit", "9"], photos, None) == ["--photos", "photos.zip", "--limit", "9"]
    assert bench.shown(["--limit", "9"], None, None) == ["--limit", "9"]


def test_known_faces_are_faces_to_a_network(bench):
    network = OnnxNetwork(shipped_file("landmarks"), 1)
    faces = bench.known_faces(network, 3)
    assert faces.landmarks.shape == (3, 478, 3) and faces.image is None
    probabilities = network.probabilities(faces, 3)
    assert np.isfinite(probabilities).all() and not np.allclose(probabilities[0], network.info.prior)


@pytest.mark.slow
def test_synthetic_faces_without_photos(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "SYNTHETIC", 96)
    files = bench.write_photos(None, 2, tmp_path, SILENT)
    assert [Path(file).stat().st_size > 1000 for file in files] == [True, True]


def test_a_process_that_fails_is_an_error(bench):
    cpu, wall = bench.run_once([sys.executable, "-c", "sum(range(10**5))"])
    assert cpu > 0 and wall > 0
    with pytest.raises(LandmarkferError, match="ended with 3"):
        bench.run_once([sys.executable, "-c", "raise SystemExit(3)"])


WORKER = """
from pathlib import Path
from _worker import highest, work
work(lambda: (lambda path: "" if "2" in path else highest({"sad": 0.2, path: 0.8}), [Path(__file__)]))
"""


def test_a_worker_writes_a_label_for_each_image(tmp_path):
    listed, table = tmp_path / "images.txt", tmp_path / "labels.csv"
    listed.write_text("a1\nb2")
    command = [sys.executable, "-c", WORKER.replace("__file__", repr(str(listed))), listed, table]
    done = subprocess.run(command, cwd=BENCH / "peer_workers", capture_output=True, text=True, check=True)
    assert table.read_text() == "image,label\na1,a1\nb2,\n"
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert figures["DONE"] == "2" and float(figures["SECONDS"]) >= 0 and figures["BYTES"] == "5"
