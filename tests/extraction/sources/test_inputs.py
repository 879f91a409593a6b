import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.inputs import open_inputs


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.png", "sub/c.png")):
        (tmp_path / "in" / name).write_bytes(png(number))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("x/z.png", png(7))
    return tmp_path


def read(source):
    return {entry.id: source.reader.read(entry.key) for entry in source.entries}


def test_paths_keep_their_spelling_and_order(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert read(open_inputs("in/a.png")) == {"in/a.png": png(1)}
    assert list(read(open_inputs("in"))) == ["in/a.png", "in/b.png", "in/sub/c.png"]
    assert list(read(open_inputs("in/*.png"))) == ["in/a.png", "in/b.png"]
    assert list(read(open_inputs("in/**/*.png"))) == ["in/a.png", "in/b.png", "in/sub/c.png"]
    assert read(open_inputs("all.zip")) == {"all.zip/x/z.png": png(7)}
    given = [folder / "in" / "sub", "all.zip", "in/b.png", b"raw"]
    found = read(open_inputs(given))
    assert list(found) == [f"{folder.as_posix()}/in/sub/c.png", "all.zip/x/z.png", "in/b.png", "image-3"]
    assert found["image-3"] == b"raw" and found["in/b.png"] == png(0)


def test_a_file_whose_name_looks_like_a_pattern(folder):
    odd = folder / "in" / "odd[1].png"
    odd.write_bytes(png(9))
    assert read(open_inputs(odd)) == {odd.as_posix(): png(9)}


def test_a_missing_path_costs_its_row_alone(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = pd.DataFrame({"path": ["in/a.png", None, "in/b.png"], "age": [1, 2, 3]})
    arrays = (
        table["path"].to_numpy(),
        table["path"].astype("string"),
        ["in/a.png", float("nan"), "in/b.png"],
    )
    for given in (table, table["path"], *arrays):
        source = open_inputs(given)
        assert [entry.id for entry in source.entries] == ["in/a.png", "image-1", "in/b.png"]
        assert source.reader.read(source.entries[2].key) == png(0)
        with pytest.raises(UnreadableImage, match="its path is missing"):
            source.reader.read(source.entries[1].key)
    assert len(open_inputs(np.array(["in/a.png", "in/b.png"])).entries) == 2


def test_a_web_address_is_not_opened():
    source = open_inputs(["https://example.org/a.jpg"])
    assert [entry.id for entry in source.entries] == ["https://example.org/a.jpg"]
    with pytest.raises(UnreadableImage, match="landmarkfer opens no connection"):
        source.reader.read(source.entries[0].key)


def test_a_pattern_does_not_run_in_circles(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "in" / "loop").symlink_to(folder / "in", target_is_directory=True)
    names = [entry.id for entry in open_inputs("in/../in/**/*.png").entries]
    assert names == ["in/../in/a.png", "in/../in/b.png", "in/../in/sub/c.png"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    source = open_inputs([tmp_path / "pipe.jpg"])
    with pytest.raises(UnreadableImage, match="it is no file"):
        source.reader.read(source.entries[0].key)


def test_a_damaged_archive_is_told(tmp_path):
    (tmp_path / "all.zip").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(SourceError, match=r"all.zip is damaged or no zip archive"):
        open_inputs(tmp_path / "all.zip")


def test_an_open_file_is_one_image(folder):
    path = next(iter(sorted((folder / "in").glob("*.png"))))
    with path.open("rb") as file:
        assert read(open_inputs(file)) == {str(path): path.read_bytes()}
    assert read(open_inputs([io.BytesIO(b"x")])) == {"image-0": b"x"}


def test_pixels(folder):
    grey, rgb = np.zeros((5, 4), np.uint8), np.ones((5, 4, 3), np.uint8)
    found = list(read(open_inputs([grey, np.stack([rgb, 2 * rgb])])).values())
    assert [image.shape for image in found] == [(5, 4), (5, 4, 3), (5, 4, 3)]
    assert found[2].max() == 2


def test_pictures_are_turned_upright_and_laid_over_white(folder):
    picture = Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    picture.getexif()[0x0112] = 6
    [pixels] = read(open_inputs(picture)).values()
    assert pixels.shape == (6, 4, 3) and (pixels == 255).all()
    with Image.open(folder / "in" / "a.png") as opened:
        source = open_inputs(opened)
        assert source.entries[0].id == str(folder / "in" / "a.png")
        assert source.reader.read(0).shape == (6, 8, 3)


def test_what_cannot_be_read_is_known_when_it_is_read(folder):
    source = open_inputs([folder / "gone.png"])
    with pytest.raises(UnreadableImage, match="no such file"):
        source.reader.read(0)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "half.png")
    (folder / "half.png").write_bytes((folder / "half.png").read_bytes()[:2000])
    with Image.open(folder / "half.png") as half:
        source = open_inputs(half)
        with pytest.raises(UnreadableImage, match="damaged"):
            source.reader.read(0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone.png", "gone.png does not exist; give a path"),
        ("gone/*.png", "no file matches gone/"),
        (5, "an input is of type int"),
        (np.zeros((2, 3, 4), np.uint8), r"an array of uint8 \[2, 3, 4\] is no image"),
        (np.zeros((2, 3)), r"an array of float64 \[2, 3\] is no image"),
        (np.zeros((2, 478, 3), np.float32), "landmarks go to predict_landmarks"),
    ],
)
def test_mistakes(given, message):
    with pytest.raises(SourceError, match=message):
        open_inputs(given)


def test_lists_urls_and_columns_of_paths(tmp_path):
    import pandas as pd

    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    (tmp_path / "list.txt").write_text("\ufeff# comment\na.png\n\nb.png\n", encoding="utf-8")
    url = (tmp_path / "a.png").as_uri()
    wanted = [(tmp_path / name).as_posix() for name in ("a.png", "b.png")]
    assert [entry.id for entry in open_inputs(tmp_path / "list.txt").entries] == wanted
    assert [entry.id for entry in open_inputs([url, wanted[1]]).entries] == wanted
    assert [entry.id for entry in open_inputs(pd.Series(wanted)).entries] == wanted
    assert [entry.id for entry in open_inputs(pd.DataFrame({"path": wanted, "n": [1, 2]})).entries] == wanted
    source = open_inputs(wanted)
    assert open_inputs(source) is source
    for given, message in (
        (tmp_path / "none.txt", "does not exist"),
        ("file://elsewhere/a.png", "lies on another machine"),
        (pd.DataFrame({"x": wanted, "y": wanted}), "give the column of paths"),
    ):
        with pytest.raises(SourceError, match=message):
            open_inputs(given)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(SourceError, match="names no image"):
        open_inputs(tmp_path / "empty.txt")


def test_what_names_and_columns_state_does_not_matter(tmp_path):
    for name in ("train/test/happy/a.jpg", "happy/sad/b.jpg", "train_val/c.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(b"1")
    assert len(open_inputs(tmp_path / "photos").entries) == 3
    (tmp_path / "x.csv").write_text("emotion,pixels,Usage\n7,1 2 3 4,fold 3\n")
    (entry,) = open_inputs(tmp_path / "x.csv").entries
    assert (entry.label, entry.split) == (None, None)
