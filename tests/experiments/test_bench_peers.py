"""The comparison with other packages: labels by name, intervals, and a report that follows from its CSV."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.errors import LandmarkferError
from landmarkfer.reporting.markdown import Header

BENCH = Path(__file__).parents[2] / "experiments" / "bench"


@pytest.fixture
def bench(load_bench):
    return load_bench("peers")


def test_help_has_an_example(bench):
    done = CliRunner().invoke(bench.main, ["--help"])
    assert done.exit_code == 0 and "Example: python experiments/bench/peers.py" in done.output


def test_every_peer_has_its_script_and_a_source(bench):
    for peer in bench.PEERS.values():
        assert (BENCH / "peer_workers" / f"{peer.worker}.py").is_file()
        assert peer.role in bench.ROLES and peer.source


def test_labels_count_by_name_and_a_missing_one_is_wrong(bench):
    images = bench.TestImages([], ["happy", "sad", "fear", "fear"], [True, True, True, False])
    found = bench.Labelled(["Happiness", "Sadness", "Contempt", ""], 2.0, 1.5, "1.0")
    row = bench.row("x", "x", "no", "stated", images, found)
    assert (row["accuracy"], row["labelled"], row["detected"]) == (0.5, 2, 3)
    assert row["detected_accuracy"] == pytest.approx(2 / 3)
    assert row["images_per_second"] == 2.0


def test_the_interval_is_wilsons(bench):
    # 5 of 10: centre 0.5, half width z sqrt(1/40 + z²/400) / (1 + z²/10), of z = 1.96.
    value, low, high = bench.share(pd.Series([True, False] * 5).to_numpy())
    assert (value, low, high) == pytest.approx((0.5, 0.23659, 0.76341), abs=1e-5)


def test_why_a_package_did_not_run(bench):
    assert bench.reason("Traceback\nValueError: no model.\n\n") == "ValueError: no model"
    assert bench.reason("urllib.error.URLError: <refused>").startswith("it loads its weights from the net")
    assert bench.reason("") == "it ended without a word"


def test_test_images_become_files(bench, tmp_path):
    for name in ("train/happy/a.png", "test/happy/b.png", "test/sad/c.png", "test/sad/d.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), len(name)).save(path)
    (tmp_path / "out").mkdir()
    images = bench.unpack(tmp_path / "data", tmp_path / "out", 2)
    assert images.labels == ["happy", "sad"] and all(path.is_file() for path in images.paths)
    with pytest.raises(LandmarkferError, match="no labelled test images"):
        bench.unpack(tmp_path / "data" / "train", tmp_path / "out", None)


def test_the_report_is_that_of_the_csv(bench, tmp_path):
    images = bench.TestImages([], ["happy", "sad"], [True, False])
    rows = [
        bench.row("ours", "ours", "no", "card", images, bench.Labelled(["happy", ""], 1.0, 5.0, "1.0")),
        bench.row("a", "a", "chose", "script", images, bench.Labelled(["happy", "sad"], 0.5, 0.1, "2.0")),
        bench.row("b", "b", "not stated", "no statement", images, "it ended without a word"),
    ]
    csv = tmp_path / "peers.csv"
    pd.DataFrame(rows, columns=list(bench.COLUMNS)).to_csv(csv, index=False)
    bench.render(csv, tmp_path / "peers.md", Header(title="T", commands=["c"], versions={}, date=""))
    text = (tmp_path / "peers.md").read_text()
    assert "| ours 1.0 | – | 50.00 (9.5 to 90.5) | 100.00 (20.7 to 100.0) | 50.0 | 2.0 | 5.0 |" in text
    assert "| a 2.0 | chose the checkpoint | 100.00" in text
    assert "## Did not run\n\n- b: it ended without a word." in text
