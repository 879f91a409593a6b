import gzip
import json
import zipfile

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tables.read import column_key, decode_text, delimiter_of, read_table

ROWS = [("a.jpg", "fröhlich"), ("b.jpg", ""), ("c, d.jpg", "traurig")]
TEXT = "Image Name;Emotion \n" + "\n".join(f"{a};{b}" for a, b in ROWS) + "\n"


def zipped(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", data)


KINDS = {
    "bom.csv": lambda p: p.write_bytes(TEXT.encode("utf-8-sig")),
    "utf16.txt": lambda p: p.write_bytes(TEXT.encode("utf-16")),
    "utf16le.tsv": lambda p: p.write_bytes(TEXT.replace(";", "\t").encode("utf-16-le")),
    "latin1.csv": lambda p: p.write_bytes(TEXT.encode("latin-1")),
    "pipe.csv": lambda p: p.write_text(TEXT.replace(";", "|")),
    "quoted.csv": lambda p: p.write_text(
        '"Image Name","Emotion"\n' + "".join(f'"{a}","{b}"\n' for a, b in ROWS)
    ),
    "packed.csv.gz": lambda p: p.write_bytes(gzip.compress(TEXT.encode())),
    "packed.zip": lambda p: zipped(p, TEXT),
    "lines.jsonl": lambda p: p.write_text(
        "\n".join(json.dumps({"Image Name": a, "Emotion": b or None}) for a, b in ROWS)
    ),
    "list.json": lambda p: p.write_text(json.dumps([{"Image Name": a, "Emotion": b} for a, b in ROWS])),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_files_are_one_table(tmp_path, name):
    KINDS[name](tmp_path / name)
    table = read_table(tmp_path / name)
    path, label = (table.find(None, [usual], "--x") for usual in ("image_name", "emotion"))
    assert list(zip(table.texts(path), table.texts(label), strict=True)) == ROWS
    guessed = ["It is not in UTF-8 and was read as Latin-1 (Windows-1252)."]
    assert table.remarks == (guessed if name == "latin1.csv" else [])


def test_a_table_without_header_is_taken_as_path_label_and_split(tmp_path):
    (tmp_path / "t.csv").write_text("x/a.jpg,happy,train\nx/b.jpg,sad,test\n")
    table = read_table(tmp_path / "t.csv")
    assert table.texts("path") == ["x/a.jpg", "x/b.jpg"]
    assert table.texts("split") == ["train", "test"]
    assert "has no header" in table.remarks[0]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"<!DOCTYPE html><html>login</html>", "it is a web page"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0\0", "it is a PNG image"),
        ("t.csv", b"a,b\n1,2,3\n1,2,3,4\n", "cannot be read as a table"),
        ("t.parquet", b"a,b\n1,2\n", "cannot be read as a table"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "Git LFS"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_table(tmp_path / name).find(None, ["path"], "--path-column")
    assert message in str(caught.value)


def test_the_columns_there_are_listed(tmp_path):
    (tmp_path / "t.csv").write_text("who,what\n1,2\n")
    with pytest.raises(SourceError, match=r"none of the columns image; it has who, what\. Name one with --p"):
        read_table(tmp_path / "t.csv").find(None, ["image"], "--p")


def test_names_of_columns_are_compared_without_case_and_spaces():
    assert {column_key(name) for name in ("Image Name", " image_name", "IMAGE-NAME", "image.name\u200b")} == {
        "image_name"
    }


def test_delimiters_inside_quotes_do_not_count():
    assert delimiter_of('"a;b;c",d') == ","
    assert delimiter_of("path") == ","


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ValueError, match="no text"):
        decode_text(b"abc" * 100 + b"\0\1")


def test_cells_beyond_the_columns_are_not_lost(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.jpg,happy,\nb.jpg,sad,\n")
    assert read_table(tmp_path / "t.csv").texts("label") == ["happy", "sad"]
    (tmp_path / "t.csv").write_text("path,label\na.jpg,happy,train\nb.jpg,sad,test\n")
    with pytest.raises(SourceError, match="line 2 has 3 cells, and there are 2 columns"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ['{"a.jpg": "happy"}', '{"images": [1], "annotations": [1, 2]}', "[1, 2]"])
def test_json_that_is_no_list_of_rows_is_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(SourceError, match="it is no list of objects, one for each image"):
        read_table(tmp_path / "t.json")
