import hashlib

import pytest

from landmarkfer.errors import DetectorError
from landmarkfer.extraction import model_file
from landmarkfer.extraction.model_file import LANDMARKER_SHA256, find_landmarker


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A stand-in for the model on the network, and an empty cache folder for it."""
    content = b"a model"
    (tmp_path / "remote.task").write_bytes(content)
    monkeypatch.delenv("LANDMARKFER_LANDMARKER", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(model_file, "LANDMARKER_URL", (tmp_path / "remote.task").as_uri())
    monkeypatch.setattr(model_file, "LANDMARKER_SHA256", hashlib.sha256(content).hexdigest())
    return tmp_path / "remote.task"


def test_the_model_is_fetched_once_into_the_users_cache(served):
    found = find_landmarker()
    assert found.read_bytes() == b"a model"
    assert found.name == "face_landmarker.task"
    served.unlink()
    assert find_landmarker() == found
    assert [path.name for path in found.parent.iterdir()] == [found.name]


def test_a_damaged_copy_is_fetched_again(served):
    find_landmarker().write_bytes(b"half")
    assert find_landmarker().read_bytes() == b"a model"


def test_a_model_with_another_hash_is_not_kept(served):
    served.write_bytes(b"something else")
    with pytest.raises(DetectorError, match=r"has the SHA-256 .*, not .*--landmarker PATH"):
        find_landmarker()


def test_a_failed_fetch_is_one_sentence_with_the_way_out(served):
    served.unlink()
    with pytest.raises(DetectorError) as caught:
        find_landmarker()
    message = str(caught.value)
    assert "could not be fetched" in message
    assert "--landmarker PATH or LANDMARKFER_LANDMARKER" in message
    assert "\n" not in message


def test_a_named_file_wins_and_must_be_there(served, tmp_path, monkeypatch):
    mine = tmp_path / "mine.task"
    mine.write_bytes(b"mine")
    assert find_landmarker(mine) == mine
    monkeypatch.setenv("LANDMARKFER_LANDMARKER", str(mine))
    assert find_landmarker() == mine
    with pytest.raises(DetectorError, match=r"--landmarker names .*gone.task, which is not a file"):
        find_landmarker(tmp_path / "gone.task")
    mine.unlink()
    with pytest.raises(DetectorError, match="LANDMARKFER_LANDMARKER names"):
        find_landmarker()


def test_the_real_model_has_the_published_hash(landmarker_path):
    assert model_file.sha256_of(landmarker_path) == LANDMARKER_SHA256
