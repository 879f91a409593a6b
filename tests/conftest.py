import os
from pathlib import Path

import pytest


def _from_environment(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set")
    path = Path(value)
    assert path.is_file(), f"{variable} names {path}, which is not a file"
    return path


@pytest.fixture(scope="session")
def fer2013_zip() -> Path:
    return _from_environment("LANDMARKFER_FER2013")


@pytest.fixture(scope="session")
def landmarker_path() -> Path:
    return _from_environment("LANDMARKFER_LANDMARKER")
