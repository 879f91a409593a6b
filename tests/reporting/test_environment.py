import sys

import pytest

import landmarkfer
from landmarkfer.reporting.environment import environment


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LANDMARKFER_LANDMARKER", raising=False)


def test_it_says_what_is_installed(tmp_path):
    found = environment()
    assert found["landmarkfer"]["version"] == landmarkfer.__version__
    assert found["extras"] == dict.fromkeys(
        ("train", "tune", "export", "explain", "heif", "video", "tables", "pretrained"), "installed"
    )
    assert found["packages"]["numpy"] == sys.modules["numpy"].__version__
    assert {"mediapipe", "torch", "torch-geometric"} <= set(found["packages"])
    assert {"CPU", "CUDA", "MPS"} == set(found["devices"])
    assert found["paths"]["working folder"] == str(tmp_path)
    assert found["paths"]["caches"] == "none"


def test_without_torch_it_says_so(monkeypatch):
    for module in ("torch", "optuna"):
        monkeypatch.setitem(sys.modules, module, None)
    found = environment()
    assert found["extras"]["train"] == "without torch"
    assert found["extras"]["tune"] == "not installed"
    assert set(found["devices"]) == {"CPU"}


def test_a_model_is_located_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("landmarkfer.extraction.model_file._fetch", lambda target: pytest.fail("fetched"))
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    place = tmp_path / "landmarkfer/face_landmarker.task"
    found = environment()["detectors"]["landmarker"]
    assert found == f"available; model file downloaded on first use to {place}"
    place.parent.mkdir()
    place.touch()
    assert environment()["detectors"]["landmarker"] == f"available; model file is {place}"
    monkeypatch.setenv("LANDMARKFER_LANDMARKER", str(tmp_path / "gone.task"))
    assert "gone.task, which is not a file" in environment()["detectors"]["landmarker"]


def test_the_caches_under_the_working_folder_are_named(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "manifest.json").touch()
    assert environment()["paths"]["caches"] == "a, b"
