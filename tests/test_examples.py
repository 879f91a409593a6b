"""What `examples/` holds, each used as a reader uses it: scripts, a web service and a container file."""

import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.data.synthetic import make_face, make_faceless

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "examples" / "serve_predictions.py"
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {SERVICE})

# What each prints, and what it leaves in its folder.
EXPECTED = {
    "extract_and_inspect": (["30 images, 2 without a face", "differ by"], ["contact-sheet.png"]),
    "own_graph": (["mirrored", "contours", "test accuracy"], ["mirrored.csv"]),
    "predict_photos": (["<Predictor mlp-s0: mlp", "no_face"], ["faces.png", "predictions/predictions.csv"]),
    "scikit_learn": (["accuracy over 3 folds", "best learning rate", "macro avg"], []),
    "train_and_evaluate": (["macro-F1", "95 % interval", "surprise  recall"], ["runs"]),
}


def test_there_are_five_scripts():
    assert [path.stem for path in EXAMPLES] == sorted(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path, detector):
    texts, files = EXPECTED[path.stem]
    arguments = [] if path.stem == "scikit_learn" else [str(tmp_path)]
    found = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert found.returncode == 0, found.stdout + found.stderr
    for text in texts:
        assert text in found.stdout
    for name in files:
        assert (tmp_path / name).exists()
    assert "Traceback" not in found.stderr


@pytest.fixture(scope="module")
def service(detector):
    """The module of the web service."""
    spec = importlib.util.spec_from_file_location(SERVICE.stem, SERVICE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.threads.shutdown()


@pytest.fixture(scope="module")
def client(service):
    from fastapi.testclient import TestClient

    with TestClient(service.app) as client:
        yield client


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class TestService:
    def test_a_photo_has_the_rows_of_the_model(self, service, client):
        photo = encoded(make_face("happy", 1, 220).image)
        answer = client.post("/predict", files={"photo": ("photo.png", photo)})
        assert answer.status_code == 200
        assert answer.json() == service.model.predict(photo).to_dict()
        assert answer.json()[0]["label"] == "happy" and answer.json()[0]["status"] == "ok"

    @pytest.mark.parametrize(
        ("photo", "status", "error"),
        [
            (encoded(make_faceless(0, 160)), "no_face", None),
            (b"", "unreadable", "the file is empty"),
            (b"/etc/passwd", "unreadable", "not an image of a known format"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "unreadable", "an EPS"),
        ],
        ids=["no face", "empty", "no image", "a program"],
    )
    def test_what_has_no_label_says_why(self, client, photo, status, error):
        answer = client.post("/predict", files={"photo": ("../photo.png", photo)})
        [row] = answer.json()
        assert answer.status_code == 200
        assert row["status"] == status and row["label"] is None and row["source"] == "image-0"
        assert (row["error"] or "").startswith(error or "")

    @pytest.mark.parametrize("stated", [True, False], ids=["of a stated length", "in pieces"])
    def test_too_much_is_refused(self, service, client, stated, monkeypatch):
        monkeypatch.setattr(service, "rows", lambda data: pytest.fail("it was read"))
        head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        pieces = [head, *[bytes(2**20)] * (service.MAX_BYTES // 2**20), b"\r\n--x--\r\n"]
        headers = {"content-type": "multipart/form-data; boundary=x"}
        content = b"".join(pieces) if stated else iter(pieces)
        answer = client.post("/predict", content=content, headers=headers)
        assert answer.status_code == 413 and "Content Too Large" in answer.text

    def test_what_is_no_upload_is_refused(self, client):
        assert client.post("/predict", data={"photo": "/etc/passwd"}).status_code == 422
        assert client.post("/predict").status_code == 422

    def test_pages_that_load_scripts_are_off(self, client):
        assert {client.get(page).status_code for page in ("/docs", "/redoc")} == {404}

    def test_requests_at_once_share_the_model(self, service, client, monkeypatch):
        photo, used = encoded(make_face("surprise", 2, 200).image), set()
        expected, plain = service.model.predict(photo).to_dict(), service.rows

        def rows(data):
            used.add(threading.current_thread().name)
            return plain(data)

        monkeypatch.setattr(service, "rows", rows)
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(lambda _: client.post("/predict", files={"photo": photo}).json(), range(6))
            )
        assert answers == [expected] * 6
        assert len(used) <= service.THREADS and "MainThread" not in used


@pytest.fixture(scope="module")
def steps():
    """Instructions of the container file and their arguments, in order."""
    lines = (ROOT / "examples" / "Containerfile").read_text().replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_service_in_the_docs_is_the_file():
    assert f"```python\n{SERVICE.read_text()}```" in (ROOT / "docs" / "deploying.md").read_text()


class TestContainerfile:
    """It is not built here; what it names has to be there."""

    def test_its_instructions(self, steps, project):
        words = [word for word, _ in steps]
        known = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
        assert words[0] == "FROM" and set(words) <= known
        version = re.fullmatch(r"python:(\d\.\d+)-slim-\w+", steps[0][1])
        assert (
            version and f"Programming Language :: Python :: {version[1]}" in project["project"]["classifiers"]
        )
        [user] = [rest for word, rest in steps if word == "USER"]
        assert user != "root" and ("RUN", f"useradd --create-home {user}") in steps
        assert words.index("USER") < words.index("ENTRYPOINT")

    def test_what_it_copies_is_what_the_wheel_needs(self, steps, project):
        copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
        assert all((ROOT / name).exists() for name in copied)
        wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
        tops = {pattern.strip("/").split("/")[0] for pattern in wheel}
        own = project["project"]
        licences = {name for name in own["license-files"] if name.split("/")[0] not in tops}
        assert copied == {"pyproject.toml", own["readme"], *licences, *tops}

    def test_it_installs_the_small_installation(self, steps, project):
        [line] = [rest for word, rest in steps if word == "RUN" and " pip " in rest]
        program, *arguments = shlex.split(line)
        assert program == "python" and arguments[:3] == ["-m", "pip", "install"]
        given = [argument for argument in arguments[3:] if not argument.startswith("--")]
        assert given[0] == "."  # without an extra, so without torch
        limits = [Requirement(text) for text in project["tool"]["uv"]["constraint-dependencies"]]
        on_it = {str(limit).partition(";")[0].strip() for limit in limits if _applies(limit, steps[0][1])}
        assert set(given[1:]) == on_it
        names = {Requirement(text).name for text in project["project"]["dependencies"]}
        assert {Requirement(text).name for text in given[1:]} <= names
        assert "torch" not in names

    def test_its_entry_point_is_a_command(self, steps, project):
        [entry] = [rest for word, rest in steps if word == "ENTRYPOINT"]
        program, *arguments = [text.strip('"') for text in entry.strip("[]").split(", ")]
        assert program in project["project"]["scripts"]
        [more] = [rest for word, rest in steps if word == "CMD"]
        result = CliRunner().invoke(cli, [*arguments, *re.findall('"(.+?)"', more)])
        assert result.exit_code == 0 and "INPUT" in result.output

    def test_its_example_is_that_of_the_docs_and_a_call(self, tmp_path, monkeypatch, detector):
        text = (ROOT / "examples" / "Containerfile").read_text()
        quoted = re.findall(r"^#     (.*)", text, re.MULTILINE)
        assert "\n".join(quoted) in (ROOT / "docs" / "deploying.md").read_text()
        _, call = " ".join(line.rstrip("\\") for line in quoted).split(" landmarkfer /photos")
        (tmp_path / "photos").mkdir()
        Image.fromarray(make_face("happy", 1, 220).image).save(tmp_path / "photos" / "happy.png")
        monkeypatch.chdir(tmp_path)
        arguments = shlex.split(f"predict /photos{call}".replace(" /", f" {tmp_path}/"))
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "out" / "predictions.csv").exists()


def _applies(requirement: Requirement, image: str) -> bool:
    version = image.removeprefix("python:").partition("-")[0]
    return requirement.marker is None or requirement.marker.evaluate({"python_version": version})
