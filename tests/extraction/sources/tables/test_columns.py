"""Which column holds what, where several may."""

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source


def table(tmp_path, columns, *rows, name="t.csv"):
    path = tmp_path / name
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


def labels(source):
    return {entry.id: entry.label for entry in source.entries}


def test_the_column_that_looks_like_paths_goes_before_ids_and_names(tree, tmp_path):
    root = tree("1.jpg", "2.jpg", "3.jpg")
    path = table(
        tmp_path, ["id", "name", "img_name", "label"], (1, "3", "2.jpg", "happy"), (2, "1", "1.jpg", "sad")
    )
    source = open_source(root, labels=path)
    assert labels(source) == {"2.jpg": "happy", "1.jpg": "sad"}
    assert source.columns == "path from img_name, label from label"
    assert labels(open_source(root, labels=path, path_column="id")) == {"1.jpg": "happy", "2.jpg": "sad"}


def test_two_columns_of_paths_that_fit_other_images_are_refused(tree, tmp_path):
    path = table(tmp_path, ["before", "after", "label"], ("1.jpg", "2.jpg", "happy"))
    with pytest.raises(SourceError, match=r"the columns before and after of .* fit different images"):
        open_source(tree("1.jpg", "2.jpg"), labels=path)


def test_of_two_label_columns_the_one_with_names_is_taken(tree, tmp_path):
    path = table(tmp_path, ["image", "label", "emotion"], ("1.jpg", 0, "happy"), ("2.jpg", 1, "sad"))
    assert labels(open_source(tree("1.jpg", "2.jpg"), labels=path)) == {"1.jpg": "happy", "2.jpg": "sad"}


def test_label_columns_that_contradict_each_other_are_refused(tree, tmp_path):
    root = tree("1.jpg", "2.jpg")
    path = table(
        tmp_path, ["image", "label", "expression"], ("1.jpg", "sad", "happy"), ("2.jpg", "sad", "sad")
    )
    with pytest.raises(SourceError, match=r"the columns label and expression of .* hold different labels"):
        open_source(root, labels=path)
    assert labels(open_source(root, labels=path, label_column="expression"))["1.jpg"] == "happy"


def test_a_column_for_each_expression(tree, tmp_path):
    root = tree("1.jpg", "2.jpg", "3.jpg")
    header = ["image", "Anger", "happiness", "SAD", "person"]
    path = table(
        tmp_path, header, ("1.jpg", 0, 1, 0, "a"), ("2.jpg", 1.0, 0, 0, "b"), ("3.jpg", 0, 0, 0, "b")
    )
    assert labels(open_source(root, labels=path)) == {"1.jpg": "happy", "2.jpg": "angry", "3.jpg": None}
    scores = table(tmp_path, header, ("1.jpg", 0.2, 0.5, 0.3, "a"), name="scores.csv")
    with pytest.raises(SourceError, match="row 1 holds other values than one 1"):
        open_source(root, labels=scores)


def test_a_column_whose_values_are_splits_is_one_by_any_name(tree, tmp_path):
    root = tree("1.jpg", "2.jpg")
    path = table(
        tmp_path, ["image", "label", "phase"], ("1.jpg", "sad", "train"), ("2.jpg", "sad", "Testing")
    )
    source = open_source(root, labels=path)
    assert [entry.split for entry in source.entries] == ["train", "test"]
    assert "split from phase" in source.columns


def test_flags_and_folds_are_named(tree, tmp_path):
    path = table(tmp_path, ["image", "label", "is_test"], ("1.jpg", "sad", 0), ("2.jpg", "sad", 1))
    root = tree("1.jpg", "2.jpg")
    assert any(
        "The column is_test may state splits" in remark for remark in open_source(root, labels=path).remarks
    )
    source = open_source(root, labels=path, split_column="is_test", split_names=["0=train", "1=test"])
    assert [entry.split for entry in source.entries] == ["train", "test"]


def test_tables_beside_the_images_of_each_split(tree, tmp_path):
    """Hugging Face's image folders: paths are relative to the table's own folder."""
    root = tree("train/0.jpg", "train/1.jpg", "test/0.jpg")
    (root / "train/metadata.csv").write_text("file_name,label\n0.jpg,happy\n1.jpg,sad\n")
    (root / "test/metadata.csv").write_text("file_name,label\n0.jpg,fear\n")
    source = open_source(root)
    assert [(e.id, e.label, e.split) for e in source.entries] == [
        ("test/0.jpg", "fear", "test"),
        ("train/0.jpg", "happy", "train"),
        ("train/1.jpg", "sad", "train"),
    ]
    assert source.ignored == 0


def test_several_tables_whose_names_state_splits(tree, tmp_path):
    root = tree("a.jpg", "b.jpg", "c.jpg")
    tables = [
        table(tmp_path, ["image", "label"], ("a.jpg", "sad"), ("b.jpg", "happy"), name="train_labels.csv"),
        table(tmp_path, ["image", "label"], ("c.jpg", "sad"), name="test_labels.csv"),
    ]
    source = open_source(root, labels=tables)
    assert [(e.id, e.split) for e in source.entries] == [
        ("a.jpg", "train"),
        ("b.jpg", "train"),
        ("c.jpg", "test"),
    ]
    assert "The split of test_labels.csv is test, as its name states." in source.remarks


def test_the_split_decides_between_images_of_one_name(tree, tmp_path):
    root = tree("train/1.jpg", "test/1.jpg")
    path = table(tmp_path, ["image", "label", "split"], ("1.jpg", "sad", "test"), ("1.jpg", "happy", "train"))
    assert labels(open_source(root, labels=path)) == {"test/1.jpg": "sad", "train/1.jpg": "happy"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.jpg 3\nb.jpg 4\n", {"a.jpg": "3", "b.jpg": "4"}),
        ("0,a.jpg,happy\n1,b.jpg,sad\n", {"a.jpg": "happy", "b.jpg": "sad"}),
        ("a.jpg,train,happy\nb.jpg,test,sad\n", {"a.jpg": "happy", "b.jpg": "sad"}),
    ],
)
def test_lists_without_header(tree, tmp_path, text, expected):
    (tmp_path / "list.txt").write_text(text)
    assert labels(open_source(tree("a.jpg", "b.jpg"), labels=tmp_path / "list.txt")) == expected


def test_a_list_without_header_that_may_mean_anything_is_refused(tree, tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg,0,0,40,7\n")
    with pytest.raises(SourceError, match="has no header, and more columns than a path and a label"):
        open_source(tree("a.jpg"), labels=tmp_path / "list.txt")


@pytest.mark.parametrize("cell", ["[1, 2, 30, 40]", "1 2 30 40"])
def test_boxes_in_one_cell_are_refused(tree, tmp_path, cell):
    path = table(tmp_path, ["image", "label", "bbox"], ("a.jpg", "happy", cell))
    with pytest.raises(SourceError, match=r"the column bbox of .* may be corners or sizes"):
        open_source(tree("a.jpg"), labels=path)
    assert labels(open_source(tree("a.jpg"), labels=path, boxes=False)) == {"a.jpg": "happy"}


def test_labels_that_are_no_text_are_refused(tree, tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"image": "a.jpg", "label": ["happy"]}\n{"image": "b.jpg", "label": ["sad", "fear"]}\n')
    with pytest.raises(SourceError, match=r"no text or number: \['sad', 'fear'\] \(b\.jpg\)"):
        open_source(tree("a.jpg", "b.jpg"), labels=path)


def test_a_table_that_is_a_folder_is_named(tree, tmp_path):
    with pytest.raises(SourceError, match="is a folder, and --labels needs a table"):
        open_source(tree("a.jpg"), labels=tmp_path)


def test_frames_of_videos_that_a_table_labels(tmp_path):
    av = pytest.importorskip("av")
    for name in ("anna", "bert"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=4)
            stream.width = stream.height = 16
            for value in (0, 60, 120, 180):
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), value, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    path = table(tmp_path, ["video", "label"], ("anna.mp4", "happy"), ("bert.mp4", "sad"))
    source = open_source(tmp_path, labels=path, fps=2)
    assert [(e.label, e.group) for e in source.entries] == [("happy", "anna.mp4")] * 2 + [
        ("sad", "bert.mp4")
    ] * 2
