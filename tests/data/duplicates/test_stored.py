import numpy as np
import pyarrow.parquet as pq
import pytest

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.duplicates import NEAR_FILE, near_duplicates, stored, stored_near_duplicates


@pytest.fixture
def cache(photo, make_row, tmp_path):
    rows = [make_row("a", photo(1)), make_row("b", photo(1)), make_row("c", photo(2))]
    rows.append(make_row("d", photo(1).point(lambda value: value * 0.8 + 20)))
    return write_cache(tmp_path / "c", rows)


@pytest.fixture
def searches(monkeypatch):
    """A list that grows by one with each search."""
    made = []
    search = stored.find_near

    def counted(*arguments, **keywords):
        made.append(1)
        return search(*arguments, **keywords)

    monkeypatch.setattr(stored, "find_near", counted)
    return made


def test_pairs_are_searched_once(cache, searches):
    assert stored_near_duplicates(cache) is None
    first, again = near_duplicates(cache), near_duplicates(cache)
    assert first.pairs.tolist() == again.pairs.tolist() == [[0, 3]], (
        "b is identical to a, which stands for it"
    )
    assert (first.similarity == again.similarity).all()
    assert len(searches) == 1


def test_the_file_is_a_plain_table(cache):
    near_duplicates(cache)
    table = pq.read_table(cache.path / NEAR_FILE)
    assert table.column_names == ["first", "second", "similarity"]
    assert table.column("second").to_pylist() == [3]


def test_a_cache_without_pairs_is_not_searched_again(photo, make_row, tmp_path, searches):
    cache = write_cache(tmp_path / "c", [make_row("a", photo(1)), make_row("b", photo(2))])
    assert len(near_duplicates(cache)) == len(near_duplicates(cache)) == 0
    assert len(searches) == 1


def damage(path):
    data = bytearray(path.read_bytes())
    for place in range(4, 60):  # the first column, after the magic number
        data[place] ^= 255
    path.write_bytes(data)


def falsify(path):
    table = pq.read_table(path)
    column = table.column("second").to_numpy() - 1
    pq.write_table(
        table.set_column(1, "second", [column]).replace_schema_metadata(table.schema.metadata), path
    )


@pytest.mark.parametrize(
    "spoil",
    [
        damage,
        falsify,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:90]),
    ],
    ids=["damaged", "falsified", "empty", "truncated"],
)
def test_a_damaged_file_is_made_again(cache, searches, spoil):
    near_duplicates(cache)
    spoil(cache.path / NEAR_FILE)
    assert near_duplicates(cache).pairs.tolist() == [[0, 3]]
    assert len(searches) == 2
    near_duplicates(cache)
    assert len(searches) == 2


def test_a_file_of_another_cache_or_version_is_made_again(
    cache, photo, make_row, tmp_path, searches, monkeypatch
):
    near_duplicates(cache)
    other = write_cache(tmp_path / "other", [make_row(name, photo(n)) for n, name in enumerate("abcd")])
    (other.path / NEAR_FILE).write_bytes((cache.path / NEAR_FILE).read_bytes())
    assert len(near_duplicates(other)) == 0
    assert len(searches) == 2
    monkeypatch.setattr(stored, "VERSION", stored.VERSION + 1)
    near_duplicates(cache)
    assert len(searches) == 3


def test_a_folder_that_cannot_be_written_to_is_no_error(cache, monkeypatch, caplog):
    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(stored, "_write", refuse)
    assert near_duplicates(cache).pairs.tolist() == [[0, 3]]
    assert "not stored: read-only" in caplog.text


def test_a_cache_opened_again_has_the_same_pairs(cache):
    near = near_duplicates(cache)
    again = stored_near_duplicates(LandmarkCache.open(cache.path))
    assert again is not None
    assert np.array_equal(again.pairs, near.pairs)
