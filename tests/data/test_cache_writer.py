import os
import resource
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import CacheWriter, write_cache
from landmarkfer.data.row import Row
from landmarkfer.data.schema import DetectorInfo, Manifest, SourceInfo
from landmarkfer.errors import CacheError


def manifest_of(rows, part_rows=4, **settings):
    return Manifest(
        source=SourceInfo(kind="folder", name="faces", listing="abc"),
        detector=DetectorInfo(name="facemesh", version="mediapipe 0", model_sha256="1"),
        settings={"passes": 1, **settings},
        classes=["happy", "sad"],
        rows=len(rows),
        part_rows=part_rows,
    )


def write_parts(folder, rows, parts, **settings):
    """Write some parts of a cache and stop, as a run that is killed does."""
    manifest = manifest_of(rows, **settings)
    with CacheWriter(folder, manifest, [row.id for row in rows]) as writer:
        for part in parts:
            writer.write_part(part, [rows[number] for number in manifest.part_range(part)])


def test_classes_are_in_canonical_order(tmp_path):
    rows = [
        Row(id=str(n), label=label, status="no_face")
        for n, label in enumerate(["neutral", "odd", "angry", None, "contempt"])
    ]
    assert write_cache(tmp_path / "c", rows).manifest.classes == ["angry", "neutral", "contempt", "odd"]


@pytest.mark.parametrize(("status", "landmarks"), [("ok", None), ("no_face", np.zeros((478, 3)))])
def test_status_and_landmarks_must_agree(tmp_path, status, landmarks):
    with pytest.raises(ValueError, match="if and only if it has landmarks"):
        write_cache(tmp_path / "c", [Row(id="a", status=status, landmarks=landmarks)])


def test_an_unfinished_cache_opens_and_continues(tmp_path, rows_of):
    rows = rows_of(11)
    write_parts(tmp_path / "c", rows, [0, 2])
    cache = LandmarkCache.open(tmp_path / "c")
    assert not cache.complete
    assert cache.frame()["id"].tolist() == [row.id for row in rows[:4] + rows[8:]]

    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("part-*")}
    manifest = manifest_of(rows)
    with CacheWriter(tmp_path / "c", manifest, [row.id for row in rows]) as writer:
        assert writer.missing_parts() == [1]
        with pytest.raises(CacheError, match="still lacks 4 rows"):
            writer.finish()
        writer.write_part(1, rows[4:8])
        cache = writer.finish()
    assert cache.complete
    assert cache.frame()["id"].tolist() == [row.id for row in rows]
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("part-*")}
    assert before.items() <= after.items()


def flip_a_byte(part):
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 0xFF
    part.write_bytes(content)


def cut_short(part):
    part.write_bytes(part.read_bytes()[:-100])


def empty(part):
    part.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip_a_byte, cut_short, empty])
def test_a_damaged_part_is_found_and_asked_for_again(tmp_path, damage, rows_of):
    rows = rows_of(11)
    write_parts(tmp_path / "c", rows, [0, 1, 2])
    part = tmp_path / "c" / "part-00001.parquet"
    damage(part)
    with CacheWriter(tmp_path / "c", manifest_of(rows), [row.id for row in rows]) as writer:
        assert writer.missing_parts() == [1]
        assert writer.damaged == [part]
        writer.write_part(1, rows[4:8])
        assert writer.missing_parts() == []


def test_other_settings_are_refused_by_name(tmp_path, rows_of):
    rows = rows_of(4)
    write_parts(tmp_path / "c", rows, [0])
    ids = [row.id for row in rows]
    with (
        pytest.raises(CacheError, match="passes is 1 there and 3 now"),
        CacheWriter(tmp_path / "c", manifest_of(rows, passes=3), ids),
    ):
        pass
    other = manifest_of(rows)
    other.detector.name = "landmarker"
    with (
        pytest.raises(CacheError, match="the detector is facemesh there and landmarker now"),
        CacheWriter(tmp_path / "c", other, ids),
    ):
        pass
    other = manifest_of(rows)
    other.source.listing = "def"
    with pytest.raises(CacheError, match="another list of images"), CacheWriter(tmp_path / "c", other, ids):
        pass


def test_only_an_unfinished_cache_is_tied_to_a_version_of_the_detector(rows_of):
    rows = rows_of(4)
    old, new = manifest_of(rows), manifest_of(rows)
    new.detector.version = "mediapipe 1"
    assert old.differences(new) == ["the detector's package is mediapipe 0 there and mediapipe 1 now"]
    old.complete = True
    assert old.differences(new) == []


def test_a_folder_with_other_things_is_not_written_to(tmp_path, rows_of):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(CacheError, match=r"no cache and not empty \(it holds thesis.tex\)"):
        write_cache(tmp_path, rows_of(2))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.tex"]


def test_rows_must_have_ids_of_their_own(tmp_path):
    with pytest.raises(ValueError, match="id of its own"):
        write_cache(tmp_path / "c", [Row(id="a", status="no_face")] * 2)


def test_a_part_takes_exactly_its_rows(tmp_path, rows_of):
    rows = rows_of(8)
    with CacheWriter(tmp_path / "c", manifest_of(rows), [row.id for row in rows]) as writer:
        with pytest.raises(ValueError, match="part 0 must hold"):
            writer.write_part(0, rows[4:])


HOLD = """
import sys
from landmarkfer.data.cache_writer import CacheWriter
from landmarkfer.data.schema import Manifest
with CacheWriter(sys.argv[1], Manifest.model_validate_json(sys.argv[2]), ["0000.png"]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path, rows_of):
    """A process that holds the lock of the cache `tmp_path / "c"`."""
    arguments = [sys.executable, "-c", HOLD, str(tmp_path / "c"), manifest_of(rows_of(1)).model_dump_json()]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_processes_exclude_each_other_and_the_holder_is_named(tmp_path, holder, rows_of):
    rows = rows_of(1)
    with pytest.raises(CacheError, match=rf"another process \(process {holder.pid} on .*\) is writing"):
        write_parts(tmp_path / "c", rows, [0])
    holder.communicate()
    write_parts(tmp_path / "c", rows, [0])


def test_a_lock_does_not_outlive_a_killed_holder(tmp_path, holder, rows_of):
    holder.kill()
    holder.wait()
    write_parts(tmp_path / "c", rows_of(1), [0])


def test_a_write_that_fails_in_the_middle_leaves_a_cache_that_opens(tmp_path, rows_of):
    folder = tmp_path / "c"
    rows = rows_of(12)
    with CacheWriter(folder, manifest_of(rows), [row.id for row in rows]) as writer:
        writer.write_part(0, rows[:4])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # No file may grow beyond this: the next part fails as on a full disk, in the middle of its bytes.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            with pytest.raises(CacheError, match="make room and run the same command"):
                writer.write_part(1, rows[4:8])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in sorted(folder.glob("part-*"))] == ["part-00000.parquet"]
    cache = LandmarkCache.open(folder)
    assert len(cache) == 4
    np.testing.assert_array_equal(cache.landmarks()[1], rows[1].landmarks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, rows_of):
    tmp_path.chmod(0o500)
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        write_cache(tmp_path / "c", rows_of(2))


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path, rows_of):
    (tmp_path / "c").write_text("")
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        write_cache(tmp_path / "c", rows_of(2))


def test_leftovers_of_a_killed_write_are_removed(tmp_path, rows_of):
    rows = rows_of(8)
    write_parts(tmp_path / "c", rows, [0])
    leftover = tmp_path / "c" / "part-00001.parquet.tmp"
    leftover.write_bytes(b"half")
    write_parts(tmp_path / "c", rows, [1])
    assert not leftover.exists()


def test_parts_are_ordinary_parquet(tmp_path, rows_of):
    cache = write_cache(tmp_path / "c", rows_of(4))
    table = pq.read_table(cache.parts[0])
    assert table.schema.field("landmarks").type.list_size == 1434
    assert table.column("landmarks")[1].as_py() == rows_of(4)[1].landmarks.reshape(-1).tolist()


@pytest.mark.parametrize("there_before", [False, True])
def test_what_fails_before_its_first_part_leaves_nothing(tmp_path, rows_of, there_before):
    rows, folder = rows_of(8), tmp_path / "c"
    if there_before:
        folder.mkdir()
    ids = [row.id for row in rows]
    with pytest.raises(KeyboardInterrupt), CacheWriter(folder, manifest_of(rows), ids):
        raise KeyboardInterrupt
    assert folder.exists() == there_before
    assert not there_before or not list(folder.iterdir())


def test_what_fails_after_a_part_stays(tmp_path, rows_of):
    rows, folder = rows_of(8), tmp_path / "c"
    ids = [row.id for row in rows]
    with pytest.raises(KeyboardInterrupt), CacheWriter(folder, manifest_of(rows), ids) as writer:
        writer.write_part(0, rows[:4])
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), CacheWriter(folder, manifest_of(rows), ids):
        raise KeyboardInterrupt
    assert len(LandmarkCache.open(folder)) == 4
