import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.datasets.parquet import class_names
from landmarkfer.extraction.sources.open import open_source

NAMES = {b"huggingface": json.dumps({"info": {"features": {"mood": {"names": ["Joy", "Wut"]}}}}).encode()}


def write(path, images, metadata=None, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": images, **columns})
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=2)


@pytest.fixture
def hub(tmp_path, jpeg):
    for split, count in (("train", 5), ("validation", 2), ("test", 3)):
        images = [{"bytes": jpeg(10 * count + n), "path": f"{n}.jpg"} for n in range(count)]
        path = tmp_path / f"faces/data/{split}-00000-of-00001.parquet"
        write(path, images, NAMES, mood=[n % 2 for n in range(count)], person=["p"] * count)
    return tmp_path / "faces"


def as_zip(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.parquet")):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_images_labels_and_splits(hub, jpeg, form):
    source = open_source(as_zip(hub) if form == "zip" else hub, label_column="mood")
    assert sorted({(e.split, e.label) for e in source.entries}) == [
        (split, label) for split in ("test", "train", "val") for label in ("angry", "happy")
    ]
    assert len(source.entries) == 10
    assert source.readings == {"0": "happy", "1": "angry"}
    assert {entry.group for entry in source.entries} == {"p"}
    reader = pickle.loads(pickle.dumps(source.reader))
    train = [entry for entry in source.entries if entry.split == "train"]
    # In any order, as several workers ask; row groups hold two rows.
    assert [reader.read(train[n].key) for n in (4, 0, 3)] == [jpeg(50 + n) for n in (4, 0, 3)]


def test_one_file_alone(hub):
    source = open_source(hub / "data/test-00000-of-00001.parquet", label_column="mood")
    assert {entry.split for entry in source.entries} == {"test"}
    assert source.kind == "parquet"


def test_images_of_plain_bytes_and_missing_ones(tmp_path, jpeg):
    write(
        tmp_path / "x.parquet",
        [jpeg(1), None, b""],
        emotion=["happy", "sad", None],
        split=["train", "test", ""],
    )
    source = open_source(tmp_path / "x.parquet")
    assert [(e.label, e.split) for e in source.entries] == [("happy", "train"), ("sad", "test"), (None, None)]
    assert source.reader.read(source.entries[0].key) == jpeg(1)
    for entry in source.entries[1:]:
        with pytest.raises(UnreadableImage, match="holds no image"):
            source.reader.read(entry.key)


def test_images_as_lists_of_numbers(tmp_path):
    pixels = [[[n, 2], [3, 4]] for n in range(3)]
    write(tmp_path / "x.parquet", pixels, label=["happy", "sad", "fear"])
    source = open_source(tmp_path / "x.parquet")
    np.testing.assert_array_equal(source.reader.read(source.entries[2].key), [[2, 2], [3, 4]])


def test_paths_without_bytes_say_so(tmp_path):
    write(tmp_path / "x.parquet", [{"bytes": None, "path": "far/a.jpg"}] * 2, label=[0, 1])
    source = open_source(tmp_path / "x.parquet")
    with pytest.raises(UnreadableImage, match=r"no image, only the path far/a\.jpg"):
        source.reader.read(source.entries[0].key)


def test_a_table_without_images_is_refused(tmp_path):
    pq.write_table(pa.table({"path": ["a.jpg"], "label": ["happy"]}), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="has the columns path, label, and none holds images"):
        open_source(tmp_path / "x.parquet")


def test_a_column_that_is_not_there_is_named(hub):
    with pytest.raises(SourceError, match="has no column feeling; it has mood, person"):
        open_source(hub, label_column="feeling")


def test_numbers_without_names_are_stored_with_a_remark(tmp_path, jpeg):
    write(tmp_path / "x.parquet", [jpeg(n) for n in range(3)], label=[4, 5, 4])
    source = open_source(tmp_path / "x.parquet")
    assert source.classes == ["4", "5"]
    assert "whose meaning differs" in source.remarks[0]
    assert open_source(tmp_path / "x.parquet", label_names=["4=sad", "5=fear"]).classes == ["fear", "sad"]


def test_names_of_labels_are_read_from_the_metadata_alone():
    assert class_names(NAMES, "mood") == {"0": "Joy", "1": "Wut"}
    assert class_names(NAMES, "label") == {}
    assert class_names({b"huggingface": b"no json"}, "mood") == {}


def test_an_empty_saved_dataset_is_refused(tmp_path):
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(SourceError, match=r"no \.arrow files"):
        open_source(tmp_path)


def saved(folder, images, files, **state):
    folder.mkdir(parents=True)
    for name in files:
        table = pa.table({"image": images, "label": ["happy"] * len(images)})
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps(state))


def test_a_saved_dataset_is_what_its_state_lists(tmp_path, jpeg):
    files = ["data-00000-of-00001.arrow", "cache-1234.arrow"]
    listed = [{"filename": files[0]}]
    saved(tmp_path / "one", [jpeg(1), jpeg(2)], files, _data_files=listed, _split="test")
    source = open_source(tmp_path / "one")
    assert [(entry.split, entry.label) for entry in source.entries] == [("test", "happy")] * 2
    (tmp_path / "one/data-00000-of-00001.arrow").unlink()
    with pytest.raises(SourceError, match=r"lacks .*data-00000-of-00001\.arrow; save it again"):
        open_source(tmp_path / "one")
