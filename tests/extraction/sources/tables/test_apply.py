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
            ["user,photo,emotion", "1,a,sad"],
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


def write_table(tmp_path, *lines):
    return write_csv(tmp_path / "t.csv", ["path,label,split,person", *lines])


def test_people_are_the_groups(photos, tmp_path):
    table = write_table(tmp_path, "a.jpg,happy,train,Ann", "c.jpg,sad,test,Ben", "d.jpg,sad,test,")
    source = open_source(photos, labels=table)
    assert [entry.group for entry in source.entries] == ["Ann", "Ben", None]
    assert source.group_rule == "the column person"
    named = open_source(photos, labels=table, group_column="SPLIT")
    assert [entry.group for entry in named.entries] == ["train", "test", "test"]
    by_path = open_source(photos, labels=table, group_pattern=r"([ac])\.jpg")
    assert [entry.group for entry in by_path.entries] == ["a", "c", None]


def test_an_image_in_two_splits_is_tested_and_not_trained_on(photos, tmp_path):
    source = open_source(
        photos, labels=write_table(tmp_path, "a.jpg,happy,train,", "a.jpg,happy,test,", "c.jpg,sad,train,")
    )
    assert [(e.id, e.label, e.split) for e in source.entries] == [
        ("a.jpg", "happy", "test"),
        ("c.jpg", "sad", "train"),
    ]
    assert "1 image in two splits in t.csv (a.jpg); test goes before val" in source.remarks[0]


def test_an_empty_label_beside_a_real_one_is_no_conflict(photos, tmp_path):
    source = open_source(
        photos, labels=write_table(tmp_path, "a.jpg,,train,", "a.jpg,happy,train,", "a.jpg,nan,train,")
    )
    assert [entry.label for entry in source.entries] == ["happy"]
    assert not any("two different labels" in remark for remark in source.remarks)


def test_rows_without_a_path_and_images_without_a_row_are_counted(photos, tmp_path):
    source = open_source(
        photos,
        labels=write_table(tmp_path, ",happy,train,", "nan,sad,train,", "a.jpg,happy,,", "e.jpg,sad,,"),
    )
    assert [entry.id for entry in source.entries] == ["a.jpg", "e.jpg"]
    assert "2 rows of t.csv without a path, left out." in source.remarks
    assert "1 image of t.csv not in photos (e.jpg), stored as unreadable." in source.remarks
    assert "3 images that t.csv does not name, left out (c.jpg, d.jpg, sub/b.jpg)." in source.remarks


def test_the_path_states_the_split_where_the_table_does_not(tree, tmp_path):
    root = tree("test/1.jpg", "train/2.jpg", "3.jpg")
    table = write_csv(tmp_path / "t.csv", ["path,label", "1,happy", "2,sad", "3,sad"])
    source = open_source(root, labels=table)
    assert [(e.id, e.split) for e in source.entries] == [
        ("3.jpg", None),
        ("test/1.jpg", "test"),
        ("train/2.jpg", "train"),
    ]
    assert "2 images of t.csv without a split, taken from the path." in source.remarks


def test_a_table_that_would_train_on_a_test_folder_is_refused(tree, tmp_path):
    root = tree("final_test/1.jpg", "other/2.jpg")
    table = write_table(tmp_path, "final_test/1.jpg,happy,train,", "other/2.jpg,sad,train,")
    with pytest.raises(SourceError, match=r"has final_test/1\.jpg in train, and its path says test"):
        open_source(root, labels=table)
    source = open_source(root, labels=table, split_names=["final_test="])
    assert [entry.split for entry in source.entries] == ["train", "train"]


def test_a_label_that_its_folder_contradicts_is_said(tree, tmp_path):
    root = tree("happy/1.jpg", "sad/2.jpg")
    table = write_csv(tmp_path / "t.csv", ["path,label", "1.jpg,fear", "2.jpg,Sadness"])
    source = open_source(root, labels=table)
    assert [entry.label for entry in source.entries] == ["fear", "sad"]
    assert "1 image with another label in t.csv than their folder is named" in source.remarks[0]


@pytest.mark.parametrize(
    ("values", "options", "splits"),
    [
        (("1", "2"), {}, [None, None]),
        (("1", "2"), {"split_names": {"1": "train", "2": "test"}}, ["train", "test"]),
        (("train", "Reserve"), {"split_names": ["reserve=test"]}, ["train", "test"]),
        (("Training", "PublicTest"), {}, ["train", "test"]),
    ],
)
def test_split_columns(photos, tmp_path, values, options, splits):
    table = write_table(
        tmp_path, *(f"{p},happy,{v}," for p, v in zip(("a.jpg", "c.jpg"), values, strict=True))
    )
    source = open_source(photos, labels=table, **options)
    assert [entry.split for entry in source.entries] == splits


def test_a_split_that_nobody_names_is_refused(photos, tmp_path):
    table = write_table(tmp_path, "a.jpg,happy,train,", "c.jpg,sad,reserve,")
    with pytest.raises(
        SourceError, match=r"values that name no split: reserve; .*--split-names 'reserve=train'"
    ):
        open_source(photos, labels=table)


def test_numbers_of_a_table_are_named(photos, tmp_path):
    table = write_table(tmp_path, "a.jpg,1,,", "c.jpg,2.0,,", "d.jpg,9,,")
    with pytest.raises(SourceError, match=r"the column label of t\.csv has labels that name no class: 9"):
        open_source(photos, labels=table, label_names={1: "surprise", 2: "fear"})
    source = open_source(photos, labels=table, label_names=["1=surprise", "2=fear", "9="])
    assert [entry.label for entry in source.entries] == ["surprise", "fear", None]


def test_affectnet_numbers_are_known_by_its_columns(tree, tmp_path):
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,expression,valence,arousal"
    table = write_csv(
        tmp_path / "training.csv", [header, "1/a.jpg,2,3,10,10,7,0,0", "1/b.jpg,2,3,10,10,9,0,0"]
    )
    source = open_source(tree("1/a.jpg", "1/b.jpg"), labels=table)
    assert [(e.label, e.box) for e in source.entries] == [
        ("contempt", (2, 3, 12, 13)),
        (None, (2, 3, 12, 13)),
    ]
    own = open_source(tree("1/a.jpg", "1/b.jpg"), labels=table, label_column="expression")
    assert [entry.label for entry in own.entries] == ["7", "9"], "a column that is named has no known meaning"


def test_a_line_that_is_none_of_expw_is_named(tree, tmp_path):
    table = write_csv(tmp_path / "label.lst", ["a.jpg 0 1 1 9 9 90 3", "a.jpg 1 happy"])
    with pytest.raises(SourceError, match=r"line 2 of .*label\.lst has 3 fields"):
        open_source(tree("a.jpg"), labels=table)


def test_files_of_other_kinds_beside_the_images_are_not_meant(tree, tmp_path):
    root = tree("a.jpg", "a.txt", "b.jpg", "b.json")
    table = write_csv(tmp_path / "t.csv", ["path,label", "a,happy", "b,sad"])
    assert [(e.id, e.label) for e in open_source(root, labels=table).entries] == [
        ("a.jpg", "happy"),
        ("b.jpg", "sad"),
    ]
