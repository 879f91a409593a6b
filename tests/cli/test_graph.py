"""`landmarkfer graph`, called as a user calls it."""

import csv
import json
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.face import graph as topology
from landmarkfer.face.graph import build_graph, graph_names
from landmarkfer.face.landmarks import graphs_dir


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in an empty folder; an error of ours is raised, as `main` prints it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def invoke(*arguments: str, ok: bool = True):
        result = CliRunner().invoke(cli, ["graph", *arguments])
        assert (result.exit_code == 0) == ok, result.output
        return result

    return invoke


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """A public-domain portrait that scikit-image ships."""
    from skimage.data import astronaut

    path = tmp_path_factory.mktemp("photo") / "portrait é.png"
    Image.fromarray(astronaut()[:320, 60:380]).save(path)
    return path


def test_list_gives_the_statistics_of_every_graph_in_80_columns(run):
    output = run("list").output
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}
    assert rows["anatomical"] == ["157", "160", "318", "12", "0.66", "4", "18"]
    assert rows["full"] == ["114,003", "478", "0", "1", "477.00", "477", "1"]
    assert set(graph_names()) <= set(rows)
    assert max(len(line) for line in output.splitlines()) <= 80


def test_show_counts_the_kinds(run):
    output = run("show", "anatomical").output
    figures = {
        line.strip("│ ").split("│")[0].strip(): line.split()[-2]
        for line in output.splitlines()
        if "│" in line
    }
    assert figures["edges (undirected)"] == "157" and figures["isolated nodes"] == "318"
    assert figures["edges of kind lips"] == "40" and figures["edges of kind nose"] == "25"


def test_k_is_passed_on(run, tmp_path):
    run("export", "knn", "--k", "2", "--format", "csv")
    with (tmp_path / "knn.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(build_graph("knn", k=2).edges)
    assert "must be" not in run("show", "hybrid", "--k", "3").output
    assert run("show", "knn", "--k", "0", ok=False).exit_code == 2


@pytest.mark.parametrize("suffix", ["csv", "graphml", "gexf", "json"])
def test_export_writes_each_format(run, tmp_path, suffix):
    assert run("export", "hybrid", "--out", f"new/mine.{suffix}").output == f"Wrote new/mine.{suffix}\n"
    path = tmp_path / "new" / f"mine.{suffix}"
    edges = len(build_graph("hybrid").edges)
    if suffix in ("csv", "graphml"):
        assert len(build_graph(path).edges) == edges
        assert f"{edges:,}" in run("show", str(path)).output
    elif suffix == "gexf":
        assert nx.read_gexf(path).number_of_edges() == edges
    else:
        assert len(json.loads(path.read_text())["edges"]) == edges


def test_export_without_a_file_name(run, tmp_path):
    run("export", "anatomical")
    assert len(build_graph(tmp_path / "anatomical.graphml").edges) == 157


def test_plot_on_the_canonical_face(run, tmp_path):
    assert run("plot", "anatomical").output == "Wrote anatomical.png\n"
    picture = np.asarray(Image.open(tmp_path / "anatomical.png").convert("RGB"))
    assert picture.shape[0] > 500 and 0.02 < (picture.min(axis=2) < 250).mean() < 0.5


def test_plot_a_graph_of_the_users(run, tmp_path):
    (tmp_path / "smile.csv").write_text("source,target\n61,291\n")
    run("plot", "smile.csv", "--out", "pictures/smile.svg")
    assert "<svg" in (tmp_path / "pictures" / "smile.svg").read_text()


@pytest.mark.parametrize("arguments", [["--html"], ["--out", "anatomical.html"]])
def test_plot_a_page(run, tmp_path, arguments):
    run("plot", "anatomical", *arguments)
    page = (tmp_path / "anatomical.html").read_text()
    assert "<script src=" not in page and "right eye" in page


def test_plot_all(run, tmp_path, monkeypatch):
    monkeypatch.setattr(topology, "graph_names", lambda: ("anatomical", "contours"))
    run("plot", "--all", "--out", "gallery")
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == {"anatomical.png", "contours.png"}
    run("plot", "--all", "--html")
    assert (tmp_path / "contours.html").exists()


def test_the_gallery_has_a_small_picture_of_every_named_graph():
    for name in graph_names():
        path = graphs_dir() / "gallery" / f"{name}.png"
        assert path.stat().st_size < 300 * 1024
        with Image.open(path) as picture:
            assert picture.width > 600


def test_plot_on_the_face_in_a_photo(run, tmp_path, portrait, detector):
    run("plot", "anatomical", "--image", str(portrait), "--out", "face.png")
    picture = np.asarray(Image.open(tmp_path / "face.png").convert("RGB")).astype(int)
    # The colour of the lips' contour lies on the mouth: the lower half of the picture, left of the legend.
    red = np.abs(picture - (0xC3, 0x20, 0x2F)).max(axis=2) < 30
    rows, columns = np.nonzero(red[:, : int(picture.shape[1] * 0.75)])
    assert len(rows) > 100
    assert 0.45 < np.median(rows) / picture.shape[0] < 0.8
    assert 0.2 < np.median(columns) / picture.shape[1] < 0.6


def test_a_photo_without_a_face(run, tmp_path, detector):
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    result = run("plot", "anatomical", "--image", "blank.png", ok=False)
    assert "no face was found in blank.png" in str(result.exception)
    assert not (tmp_path / "anatomical.png").exists()


def test_a_photo_that_is_none(run, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    result = run("plot", "anatomical", "--image", "text.jpg", ok=False)
    assert "the photo text.jpg cannot be read: not an image" in str(result.exception)
    assert run("plot", "anatomical", "--image", "absent.png", ok=False).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["plot"],
        ["plot", "anatomical", "--all"],
        ["plot", "anatomical", "--out", "picture.txt"],
        ["plot", "anatomical", "--html", "--out", "picture.png"],
        ["export", "anatomical", "--format", "dot"],
        ["export"],
    ],
)
def test_wrong_usage(run, tmp_path, arguments):
    assert run(*arguments, ok=False).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_errors_are_one_sentence_and_exit_code_1(tmp_path):
    (tmp_path / "bad.csv").write_text("source,target\n3,3\n")
    for arguments, message in (
        (["show", "mesh"], "there is no graph 'mesh': expected one of anatomical"),
        (["plot", "bad.csv"], "node 3 is joined to itself"),
        (["export", "anatomical", "--out", "graph.dot"], "no known graph format"),
    ):
        command = [sys.executable, "-c", "from landmarkfer.cli import main; main()", "graph", *arguments]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 1 and message in result.stderr
        assert "Traceback" not in result.stderr and len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["plot"], ["export"]])
def test_help_has_examples(run, command):
    output = run(*command, "--help").output
    assert "Usage" in output
    if command:
        assert f"landmarkfer graph {command[0]}" in output
