import sys

import pandas as pd
import pytest

from landmarkfer.errors import MissingExtra, SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.open import open_source


def write_csv(path, lines, newline="\n"):
    path.write_bytes(newline.join(lines).encode() + newline.encode())
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg", "no-suffix"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


TABLE = [
    ("1", "c.jpg", "SADNESS", "Test"),
    ("1", "./a.jpg", "happiness", "training"),
    ("2", "sub\\b.jpg", "Anger", ""),
    ("2", "gone.jpg", "fear", "train"),
    ("3", "../outside.jpg", "fear", "train"),
    ("3", "no-suffix", "", "val"),
]


@pytest.mark.parametrize("kind", ["comma", "semicolon", "parquet", "xlsx"])
def test_label_table(photos, tmp_path, kind):
    table = pd.DataFrame(TABLE, columns=["user.id", "image", "emotion", "part"])
    path = tmp_path / (f"t.{kind}" if kind in ("parquet", "xlsx") else "t.csv")
    if kind == "parquet":
        table.replace("", None).to_parquet(path)
    elif kind == "xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, index=False, sep="," if kind == "comma" else ";")
    source = open_source(
        photos, labels=path, path_column="image", label_column="Emotion", split_column="part"
    )
    assert source.kind == "folder+labels"
    assert [(e.id, e.label, e.split) for e in source.entries] == [
        ("../outside.jpg", "fear", "train"),
        ("a.jpg", "happy", "train"),
        ("c.jpg", "sad", "test"),
        ("gone.jpg", "fear", "train"),
        ("no-suffix", None, "val"),
        ("sub/b.jpg", "angry", None),
    ]
    keys = {entry.id: entry.key for entry in source.entries}
    assert keys["../outside.jpg"] is None
    assert source.reader.read(keys["sub/b.jpg"]) == b"sub/b.jpg"
    assert source.reader.read(keys["no-suffix"]) == b"no-suffix"
    with pytest.raises(UnreadableImage, match="no such file"):
        source.reader.read(keys["gone.jpg"])


def test_usual_columns_are_found(photos, tmp_path):
    path = write_csv(tmp_path / "t.csv", ["Image,Label,Usage", "a.jpg,happy,PublicTest"])
    entry = open_source(photos, labels=path).entries[0]
    assert (entry.id, entry.label, entry.split, entry.subset) == ("a.jpg", "happy", "test", "public")


def test_conflicting_rows_for_one_image_keep_no_label(photos, tmp_path):
    lines = ["path,label", "a.jpg,happy", "a.jpg,sad", "c.jpg,fear", "c.jpg,Fearful"]
    source = open_source(photos, labels=write_csv(tmp_path / "t.csv", lines))
    assert [(e.id, e.label) for e in source.entries] == [("a.jpg", None), ("c.jpg", "fear")]
    assert source.remarks == [
        "1 image with two different labels in t.csv, stored without any (a.jpg: happy, sad).",
        "2 images that t.csv does not name, left out (d.jpg, sub/b.jpg).",
    ]


def test_numbers_as_labels_are_kept_and_remarked(photos, tmp_path):
    source = open_source(photos, labels=write_csv(tmp_path / "t.csv", ["path,label", "a.jpg,3", "c.jpg,4"]))
    assert source.classes == ["3", "4"]
    assert "whose meaning differs" in source.remarks[0]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (
            ["user,photo,emotion", "1,a.jpg,sad"],
            {},
            r"none of the columns path, image.*has user, photo, emotion",
        ),
        (
            ["path,label", "a.jpg,sad"],
            {"label_column": "mood"},
            "no column mood; .*Name one with --label-column",
        ),
        (["path,label", "z.jpg,sad"], {}, r"not one of 1 path .* \(the first is z.jpg\)"),
        (["path,label"], {}, "has no rows"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(photos, tmp_path, lines, options, message):
    with pytest.raises(SourceError, match=message):
        open_source(photos, labels=write_csv(tmp_path / "t.csv", lines), **options)


def test_an_excel_table_needs_an_extra(photos, tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"no workbook")
    with pytest.raises(SourceError, match=r"t\.xlsx cannot be read as a table"):
        open_source(photos, labels=path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtra, match=r"landmarkfer\[tables\]"):
        open_source(photos, labels=path)


def test_raf_db_list(tmp_path):
    images = tmp_path / "aligned"
    images.mkdir()
    for name in ("train_00001_aligned.jpg", "test_0001_aligned.jpg"):
        (images / name).write_bytes(name.encode())
    table = tmp_path / "list_patition_label.txt"
    table.write_text("train_00001.jpg 5\ntest_0001.jpg 1\ntest_0002.jpg 7\n")
    source = open_source(images, labels=table)
    # RAF-DB counts surprise, fear, disgust, happiness, sadness, anger, neutral from 1.
    assert [(e.id, e.label, e.split) for e in source.entries] == [
        ("test_0001_aligned.jpg", "surprise", "test"),
        ("test_0002.jpg", "neutral", "test"),
        ("train_00001_aligned.jpg", "sad", "train"),
    ]
    assert source.reader.read(source.entries[2].key) == b"train_00001_aligned.jpg"
    table.write_text("train_00001.jpg 8\n")
    with pytest.raises(SourceError, match=r"line 1 .*a class from 1 to 7"):
        open_source(images, labels=table)
