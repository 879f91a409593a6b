import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from landmarkfer.data.cache import LandmarkCache, cache_folder, find_cache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.shards import part_ids
from landmarkfer.errors import CacheError


def test_everything_written_is_read_back(tmp_path, rows_of):
    rows = rows_of(11)
    rows[1].blendshapes = np.linspace(0, 1, 52, dtype=np.float32)
    rows[2].status, rows[2].landmarks, rows[2].error = "unreadable", None, "the file is empty"
    cache = write_cache(tmp_path / "c", rows, part_rows=4, detector="mine", settings={"passes": 2})

    assert len(cache) == 11
    assert cache.complete
    assert len(cache.parts) == 3
    frame = cache.frame()
    assert frame["id"].tolist() == [row.id for row in rows]
    assert frame["status"].value_counts().to_dict() == {"ok": 6, "no_face": 4, "unreadable": 1}
    assert frame.loc[2, "error"] == "the file is empty"
    assert frame["error"].isna().sum() == 10
    assert "landmarks" not in frame
    np.testing.assert_allclose(frame.loc[1, "box"], [0.1, 0.2, 0.8, 0.9], rtol=1e-6)
    landmarks = cache.landmarks()
    assert landmarks.dtype == np.float32
    for number, row in enumerate(rows):
        if row.landmarks is None:
            assert np.isnan(landmarks[number]).all()
        else:
            np.testing.assert_array_equal(landmarks[number], row.landmarks)
    np.testing.assert_array_equal(cache.landmarks([9, 0, 9, 5]), landmarks[[9, 0, 9, 5]])
    np.testing.assert_array_equal(cache.blendshapes()[1], rows[1].blendshapes)
    assert np.isnan(cache.blendshapes()[[0, *range(2, 11)]]).all()
    assert cache.faces([9, 0, 9, 5]) == [rows[n].face for n in (9, 0, 9, 5)]
    assert cache.manifest.counts == {"ok": 6, "no_face": 4, "unreadable": 1}
    assert cache.manifest.classes == ["happy", "sad"]
    assert cache.manifest.settings == {"passes": 2}


def test_without_blendshapes_there_is_no_array(tmp_path, rows_of):
    assert write_cache(tmp_path / "c", rows_of(3)).blendshapes() is None


def test_faces_of_rows_that_are_not_there_are_refused(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(3))
    with pytest.raises(IndexError, match=r"0\.\.2"):
        cache.faces([3])
    with pytest.raises(IndexError, match=r"0\.\.2"):
        cache.landmarks([-1])


def test_landmarks_of_some_rows_come_in_the_order_asked_for(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(7), part_rows=3)
    np.testing.assert_array_equal(cache.landmarks([5, 0, 6, 0]), cache.landmarks()[[5, 0, 6, 0]])
    assert cache.landmarks([]).shape == (0, 478, 3)


def test_an_unknown_column_is_named(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(3))
    with pytest.raises(CacheError, match="no column emotion; it has id, label"):
        cache.frame(["id", "emotion"])


def test_fingerprint_follows_the_content_and_nothing_else(tmp_path, rows_of):
    first = write_cache(tmp_path / "a", rows_of(6))
    same = write_cache(tmp_path / "b", rows_of(6))
    other = write_cache(tmp_path / "c", rows_of(6, seed=1))
    relabelled = rows_of(6)
    relabelled[0].label = "happy"
    assert first.fingerprint == same.fingerprint
    assert (
        len({first.fingerprint, other.fingerprint, write_cache(tmp_path / "d", relabelled).fingerprint}) == 3
    )


def test_a_flipped_byte_is_not_read_as_landmarks(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(8))
    content = bytearray(cache.parts[0].read_bytes())
    content[len(content) // 3] ^= 0xFF
    cache.parts[0].write_bytes(content)
    with pytest.raises(CacheError, match=r"part-00000.parquet is damaged"):
        cache.landmarks()


def test_a_part_without_footer_is_reported_on_opening(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(8))
    cache.parts[0].write_bytes(cache.parts[0].read_bytes()[:-100])
    with pytest.raises(CacheError, match="run the same `landmarkfer extract` again"):
        LandmarkCache.open(tmp_path / "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged .*delete .* and extract again"),
        ("[]", "is damaged"),
        (json.dumps({"schema_version": 99}), "has cache format 99, but 1 is read here"),
        (json.dumps({"schema_version": 1}), "is damaged"),
    ],
)
def test_a_bad_manifest_is_one_sentence(tmp_path, text, message):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CacheError, match=message):
        LandmarkCache.open(tmp_path)


def test_there_is_no_cache_where_there_is_none(tmp_path):
    with pytest.raises(CacheError, match=r"no landmark cache: it has no manifest.json"):
        LandmarkCache.open(tmp_path / "nowhere")


def test_caches_are_found_by_folder_by_name_and_alone(tmp_path, monkeypatch, rows_of):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CacheError, match="make one with `landmarkfer extract"):
        find_cache()
    write_cache("cache/one", rows_of(1))
    assert find_cache().name == "one"
    write_cache("cache/two", rows_of(1))
    write_cache("elsewhere", rows_of(1))
    with pytest.raises(CacheError, match=r"2 caches under ./cache \(one, two\)"):
        find_cache()
    assert find_cache("two") == find_cache("cache/two")
    assert find_cache(tmp_path / "elsewhere") == tmp_path / "elsewhere"
    with pytest.raises(CacheError, match=r"three is no landmark cache .*caches under ./cache: one, two"):
        find_cache("three")


def test_reading_a_cache_imports_neither_torch_nor_mediapipe(tmp_path, rows_of):
    write_cache(tmp_path / "c", rows_of(2))
    code = (
        "import sys; from landmarkfer.data.cache import LandmarkCache; "
        f"LandmarkCache.open({str(tmp_path / 'c')!r}).landmarks(); "
        "print({'torch', 'mediapipe', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_where_a_cache_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "v1.2").mkdir()
    (tmp_path / "fer.zip").touch()
    names = [
        (None, "fer.zip", "cache/fer"),
        (None, "v1.2", "cache/v1.2"),
        (None, ".", f"cache/{tmp_path.name}"),
        ("mine", "fer.zip", "cache/mine"),
        ("there", "fer.zip", "there"),
        ("a/b", "fer.zip", "a/b"),
        (None, "fer.tar.gz", "cache/fer"),
        (None, "fer.csv.zip", "cache/fer"),
        (None, "v1.2.zip", "cache/v1.2"),
    ]
    assert [str(cache_folder(cache, Path(source))) for cache, source, _ in names] == [n[2] for n in names]


def test_a_cache_says_what_is_in_it(tmp_path, rows_of):
    rows = rows_of(11)
    rows[2].status, rows[2].landmarks, rows[2].error = "unreadable", None, "the file is empty"
    cache = write_cache(tmp_path / "c", rows, detector="mine")
    assert repr(cache) == (
        f"<LandmarkCache {tmp_path / 'c'}: 11 images, 4 without a face, 1 unreadable; mine; "
        f"{', '.join(cache.manifest.classes)}>"
    )


def test_caches_of_version_0_1_have_no_groups_and_no_votes(tmp_path, rows_of):
    cache = write_cache(tmp_path / "new", rows_of(9))
    for part in cache.parts:  # as they were written then: without the columns that came later
        table = pq.read_table(part)
        metadata = table.schema.metadata
        pq.write_table(table.drop_columns(["group", "votes"]).replace_schema_metadata(metadata), part)
    old = LandmarkCache.open(cache.path)
    assert old.frame(["id", "votes", "group"])[["votes", "group"]].isna().all(axis=None)
    assert old.fingerprint == cache.fingerprint
    assert part_ids(old.parts[0]) == [row.id for row in rows_of(9)]


def test_deviations_are_read_back_and_part_of_what_a_cache_is(tmp_path, rows_of):
    rows = rows_of(5)
    assert np.isnan(write_cache(tmp_path / "without", rows).deviations()).all()
    seen = [number for number, row in enumerate(rows) if row.landmarks is not None][:2]
    for number in seen:
        rows[number].deviation = np.linspace(-0.01, 0.01, 478 * 3).reshape(478, 3).astype(np.float16)
    cache = write_cache(tmp_path / "with", rows)
    found = cache.deviations()
    for number in seen:
        np.testing.assert_array_equal(found[number], rows[number].deviation)
    assert np.isnan(np.delete(found, seen, axis=0)).all()
    assert cache.fingerprint != LandmarkCache.open(tmp_path / "without").fingerprint
    assert "deviation" not in cache.frame().columns


def test_caches_without_deviations_are_read(tmp_path, rows_of):
    cache = write_cache(tmp_path / "old", rows_of(3))
    for part in cache.parts:
        table = pq.read_table(part)
        metadata = table.schema.metadata
        pq.write_table(table.drop_columns(["deviation"]).replace_schema_metadata(metadata), part)
    old = LandmarkCache.open(tmp_path / "old")
    assert np.isnan(old.deviations()).all()
    assert old.deviations().shape == (3, 478, 3)


def test_groups_and_votes_are_read_back_and_part_of_what_a_cache_is(tmp_path, rows_of):
    rows = rows_of(3)
    plain = write_cache(tmp_path / "plain", rows)
    rows[0].group, rows[2].votes = "person 1", (7.0, 3.0)
    cache = write_cache(tmp_path / "grouped", rows)
    frame = cache.frame(["group", "votes"])
    assert frame["group"].tolist()[0] == "person 1"
    assert frame["group"].isna().tolist() == [False, True, True]
    assert frame["votes"].iloc[2].tolist() == [7.0, 3.0]
    assert cache.fingerprint != plain.fingerprint
    assert cache.manifest.source.listing != plain.manifest.source.listing
