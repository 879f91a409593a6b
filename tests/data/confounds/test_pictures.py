import numpy as np
import pyarrow.parquet as pq
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.confounds import pictures
from landmarkfer.data.confounds.pictures import PICTURES_FILE, measure_pictures, stored_pictures
from landmarkfer.data.row import Row


@pytest.fixture
def rows(make_picture):
    files = [
        make_picture(0, brightness=60),
        make_picture(1, brightness=190, spread=5, format_="JPEG"),
        make_picture(2, colour=True),
        None,
        b"no picture",
    ]
    return [Row(id=f"{n}.x", label="sad", status="no_face", face=face) for n, face in enumerate(files)]


@pytest.fixture
def cache(rows, tmp_path):
    return write_cache(tmp_path / "c", rows, part_rows=2)


@pytest.fixture
def measurements(monkeypatch):
    """A list that grows by one each time that a cache is measured."""
    made = []
    measure = pictures._measure

    def counted(*arguments):
        made.append(1)
        return measure(*arguments)

    monkeypatch.setattr(pictures, "_measure", counted)
    return made


def test_what_is_measured(cache):
    found = measure_pictures(cache)
    np.testing.assert_allclose(found["brightness"][:2], [60, 190], atol=5)
    assert found["contrast"][0] > 4 * found["contrast"][1]
    assert (found["chroma"][:2] == 0).all()
    assert found["chroma"][2] > 40
    assert found["format"].tolist() == ["PNG", "JPEG", "PNG", None, None]
    assert found[["brightness", "contrast", "chroma"]][3:].isna().all(axis=None)


def test_pictures_are_measured_once(cache, measurements):
    assert stored_pictures(cache) is None
    first, again = measure_pictures(cache), measure_pictures(cache)
    assert first.equals(again)
    assert len(measurements) == 1


def falsify(path):
    table = pq.read_table(path)
    column = table.column("brightness").to_numpy() + 1
    place = table.column_names.index("brightness")
    pq.write_table(
        table.set_column(place, "brightness", [column]).replace_schema_metadata(table.schema.metadata), path
    )


@pytest.mark.parametrize(
    "spoil",
    [
        falsify,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:90]),
        lambda path: pq.write_table(pq.read_table(path).slice(1), path),
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["format"]), path),
    ],
    ids=["falsified", "empty", "truncated", "shorter", "a column less"],
)
def test_a_damaged_file_is_made_again(cache, measurements, spoil):
    first = measure_pictures(cache)
    spoil(cache.path / PICTURES_FILE)
    assert measure_pictures(cache).equals(first)
    assert len(measurements) == 2
    measure_pictures(cache)
    assert len(measurements) == 2


def test_a_file_of_another_cache_or_version_is_made_again(cache, rows, tmp_path, measurements, monkeypatch):
    measure_pictures(cache)
    rows[0].face = rows[1].face
    other = write_cache(tmp_path / "other", rows, part_rows=2)
    (other.path / PICTURES_FILE).write_bytes((cache.path / PICTURES_FILE).read_bytes())
    assert measure_pictures(other)["format"].tolist()[0] == "JPEG"
    assert len(measurements) == 2
    monkeypatch.setattr(pictures, "VERSION", pictures.VERSION + 1)
    measure_pictures(cache)
    assert len(measurements) == 3


def test_a_folder_that_cannot_be_written_to_is_no_error(cache, monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(pictures, "_write", refuse)
    assert len(measure_pictures(cache)) == 5
    assert "not stored: read-only" in caplog.text


def test_progress_is_reported_by_part(cache, recorder):
    measure_pictures(cache, recorder)
    assert recorder.calls == [("measuring pictures", done, 5) for done in (2, 4, 5)]
