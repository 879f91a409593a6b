"""`landmarkfer predict` as a user calls it, with a model that ships."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.data.synthetic import make_face, make_faceless
from landmarkfer.inference.load import SHIPPED, shipped_folder


@pytest.fixture
def invoke(tmp_path, monkeypatch, detector):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")

    def invoke(*arguments, **options):
        return CliRunner().invoke(cli, ["predict", *map(str, arguments)], **options)

    return invoke


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for label in ("happy", "surprise"):
        Image.fromarray(make_face(label, 1, 220).image).save(folder / f"{label}.png")
    Image.fromarray(make_faceless(0, 160)).save(folder / "none.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    return folder


def test_a_table_on_the_terminal(invoke, photos):
    result = invoke(photos, "--run", "landmarks")
    assert result.exit_code == 0, result.output
    assert "Model: landmarks (landmarks alone, ships with landmarkfer)" in result.stderr
    (happy, nothing, torn) = (
        next(line for line in result.stdout.splitlines() if name in line)
        for name in ("happy.png", "none.png", "torn.jpg")
    )
    assert "%" in happy and "°" in happy and "no face" in nothing and "not an image" in torn
    assert "2 faces" in result.stdout and "1 image without a face, 1 image unreadable" in result.stdout


def test_a_narrow_terminal_has_a_line_for_each_row(invoke, photos, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke(photos, "--run", "landmarks").stdout.splitlines()
    assert len(lines) == 1 + 4 + 1 and max(map(len, lines)) <= 80, lines
    assert "%" in next(line for line in lines if "happy.png" in line)


def test_files(invoke, photos, tmp_path):
    result = invoke(photos, "--run", "landmarks", "--out", "out", "--draw", "--crops", "--abstain", 0.6)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["status"].tolist() == ["ok", "no_face", "ok", "unreadable"]
    assert table.loc[table["status"] != "ok", "label"].isna().all()
    assert {"intensity", "abstained", "set", "yaw"} <= set(table)
    assert len(list((tmp_path / "out" / "images").iterdir())) == 3
    assert len(list((tmp_path / "out" / "crops").iterdir())) == 2
    assert "predictions.csv: 4 images" in result.stdout


def test_one_image_is_one(invoke, photos):
    result = invoke(photos / "none.png", "--run", "landmarks", "--out", "out")
    assert "predictions.csv: 1 image\n" in result.stdout and "0 faces; 1 image without" in result.stdout


def test_lists_globs_and_the_standard_input(invoke, photos, tmp_path):
    (tmp_path / "list.txt").write_text(f"# two\n{photos / 'happy.png'}\n\n{photos / 'none.png'}\n")
    for given, options in (
        ((tmp_path / "list.txt",), {}),
        (("-",), {"input": f"{photos / 'happy.png'}\n{photos / 'none.png'}\n"}),
        ((f"{photos}/happy.png", (photos / "none.png").as_uri()), {}),
    ):
        result = invoke(
            *given, "--run", "landmarks", "--out", "out", "--format", "jsonl", "--overwrite", **options
        )
        assert result.exit_code == 0, result.output
        rows = [
            json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
        ]
        assert [row["status"] for row in rows] == ["ok", "no_face"]
    with Image.open(photos / "happy.png") as image:
        image.save(tmp_path / "happy.bmp")
    for path in (photos / "happy.png", tmp_path / "happy.bmp"):
        picture = invoke("-", "--run", "landmarks", input=path.read_bytes())
        assert "image-0" in picture.stdout and "1 face;" in picture.stdout
    found = invoke("-", "--run", "landmarks", input=f"{photos / 'happy.png'}\0{photos / 'none.png'}\0")
    assert "1 face; 1 happy, 1 image without a face" in found.stdout


def test_an_export_in_the_current_folder(invoke, photos, tmp_path):
    (tmp_path / "model.onnx").write_bytes((shipped_folder("landmarks") / "model.onnx").read_bytes())
    result = invoke(photos / "happy.png", "--run", "model.onnx")
    assert result.exit_code == 0 and "1 face; 1 happy" in result.stdout, result.output
    assert "ships with landmarkfer" not in result.stderr


def test_where_nothing_can_be_read_the_command_fails(invoke, photos, tmp_path):
    for options in ((), ("--out", "out")):
        result = invoke(photos / "torn.jpg", tmp_path / "gone.png", "--run", "landmarks", *options)
        assert result.exit_code == 1 and "none of the images could be read" in str(result.exception)
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 2
    assert invoke(photos / "torn.jpg", photos / "none.png", "--run", "landmarks").exit_code == 0


def test_boxes(invoke, photos, tmp_path):
    (tmp_path / "boxes.csv").write_text(f"source,x0,y0,x1,y1\n{photos / 'happy.png'},40,40,180,180\n")
    result = invoke(photos / "happy.png", "--run", "landmarks", "--boxes", "boxes.csv")
    assert result.exit_code == 0 and "1 face;" in result.stdout
    result = invoke(photos, "--run", "landmarks", "--boxes", "boxes.csv")
    assert "no box is given for this image" in result.stdout
    invoke(photos, "--run", "landmarks", "--out", "out")
    again = invoke(photos, "--run", "landmarks", "--boxes", "out/predictions.csv")
    assert again.exit_code == 0 and "2 faces;" in again.stdout, again.output
    one = invoke(photos / "happy.png", "--run", "landmarks", "--boxes", "out/predictions.csv")
    assert "also has boxes of 1 image that are not among the inputs" in one.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--draw"], "add --out FOLDER"),
        (["--run", "nowhere"], "'nowhere' is no run"),
        (["--abstain", "0.999"], "accuracy must be a whole percent"),
        (["--coverage", "2"], "coverage must be a whole percent"),
        (["--prior", "flat"], "prior must be 'uniform'"),
        (["--prior", "happy=much"], "is no share; write CLASS=SHARE"),
        (["--prior", "happy=1", "--prior", "happy=2"], "--prior gives happy twice"),
        (["--device", "banana"], "predicts on the CPU alone"),
        (["--boxes", "boxes.csv"], "names none of the images; its first source is 'other.png'"),
    ],
)
def test_mistakes(invoke, photos, tmp_path, options, message):
    (tmp_path / "boxes.csv").write_text("source,x0,y0,x1,y1\nother.png,0,0,5,5\n")
    result = invoke(photos, *options)
    text = f"{result.output} {result.exception}"
    assert result.exit_code != 0 and message in text, text


def test_every_model_that_ships_has_its_parts():
    for name in SHIPPED:
        folder = shipped_folder(name)
        if folder.is_dir():
            names = {path.name for path in folder.iterdir()}
            assert {"config.json", "model.safetensors", "model.onnx"} <= names
            assert (folder / "model.onnx").stat().st_size < {"fusion": 25e6, "landmarks": 6e6}[name]
