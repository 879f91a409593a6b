"""The model file of the Tasks Face Landmarker: where it is found, and how it is fetched and checked."""

import hashlib
import os
import tempfile
import urllib.request
from pathlib import Path

from landmarkfer.errors import DetectorError

LANDMARKER_VARIABLE = "LANDMARKFER_LANDMARKER"
LANDMARKER_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
LANDMARKER_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
    "face_landmarker.task"
)
_TIMEOUT = 60.0  # seconds without a byte


def find_landmarker(path: Path | None = None) -> Path:
    """Find the landmarker's model file; fetch it once if it is nowhere.

    Args:
        path: The file, if it is known; any model of the Face Landmarker will do, its hash is recorded.

    Returns:
        `path`, or the file that the environment variable `LANDMARKFER_LANDMARKER` names, or the one in the
        user's cache folder, which is fetched at the first use and checked against its SHA-256.

    Raises:
        DetectorError: The named file is not there, or none can be fetched.
    """
    found = located_landmarker(path)
    named = path is not None or os.environ.get(LANDMARKER_VARIABLE)
    if not named and not (found.is_file() and sha256_of(found) == LANDMARKER_SHA256):
        _fetch(found)
    return found


def located_landmarker(path: Path | None = None) -> Path:
    """Where the landmarker's model file is, or will be once it is fetched; see `find_landmarker`.

    Raises:
        DetectorError: The named file is not there.
    """
    named = path if path is not None else os.environ.get(LANDMARKER_VARIABLE)
    if not named:
        import platformdirs

        return Path(platformdirs.user_cache_dir("landmarkfer")) / "face_landmarker.task"
    if not Path(named).is_file():
        origin = "--landmarker" if path is not None else LANDMARKER_VARIABLE
        raise DetectorError(f"{origin} names {named}, which is not a file; it must be face_landmarker.task.")
    return Path(named)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(target: Path) -> None:
    advice = (
        f"get face_landmarker.task from {LANDMARKER_URL} by other means and name it with --landmarker PATH "
        f"or {LANDMARKER_VARIABLE}."
    )
    try:
        with urllib.request.urlopen(LANDMARKER_URL, timeout=_TIMEOUT) as response:
            data = response.read()
    except (OSError, ValueError) as error:
        raise DetectorError(f"the landmarker's model could not be fetched ({error}); {advice}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != LANDMARKER_SHA256:
        raise DetectorError(f"the fetched model has the SHA-256 {found}, not {LANDMARKER_SHA256}; {advice}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that two processes that fetch at once do not read each other's half.
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
        os.replace(file.name, target)
    except OSError as error:
        raise DetectorError(f"the model cannot be stored in {target.parent} ({error}); {advice}") from error
