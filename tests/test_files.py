import pytest

from landmarkfer.files import replacing


def test_file_appears_whole_and_in_a_new_folder(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with replacing(target) as path:
        assert path.suffix == ".csv"
        path.write_text("a")
        assert not target.exists()
    assert target.read_text() == "a"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(target) as path:
        path.write_text("half")
        raise OSError("full")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
