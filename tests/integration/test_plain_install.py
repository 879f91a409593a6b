"""What works where only the base dependencies are installed: no torch, no scikit-learn, none of the extras.

The packages of all extras are hidden from a new interpreter and from every process that it starts.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import EXTRAS

# A finder, and no None in `sys.modules`, which SciPy takes for a package that was loaded.
HIDE = f"""
import sys
class Hidden:
    def find_spec(name, path=None, target=None):
        if name in {[module for modules in EXTRAS.values() for module in modules]!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden)
"""
COMMANDS = (
    *("extract", "inspect", "corrupt", "graph", "graph plot", "train", "tune", "evaluate", "compare"),
    *("benchmark", "robustness", "runs", "demo", "env"),
)
"""All of them, for their help."""

NEED_MORE = {
    **{"train": "", "demo": "", "tune": "x.toml", "evaluate": "x", "benchmark": "x.toml"},
    **{"compare": "a --with b", "robustness": "a=x"},
}
"""Commands that need the extra `train`, with arguments."""


@pytest.fixture
def plain(tmp_path):
    """Run the command line in `tmp_path` without the extras: `plain("graph list")`."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text(HIDE)
    paths = os.pathsep.join([str(tmp_path / "hidden"), str(Path(__file__).parents[2])])
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "120"}

    def run(*arguments: object, script: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *(["-c", script] if script else ["-m", "landmarkfer"]), *map(str, arguments)],
            **{"capture_output": True, "text": True, "cwd": tmp_path, "env": environment},
        )

    return run


def works(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_photos_are_extracted_inspected_and_drawn(plain, tmp_path, detector, synthetic_faces):
    from PIL import Image

    for number in range(2):
        path = tmp_path / f"photos/train/happy/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(synthetic_faces[number].image).save(path)
    assert "cache/photos is complete: 2 rows" in works(plain("extract", "photos", "--workers", 1))
    assert LandmarkCache.open(tmp_path / "cache/photos").frame()["status"].tolist() == ["ok", "ok"]
    assert "near-duplicate pairs" in works(plain("inspect", "photos"))
    assert (tmp_path / "cache/photos/contact-sheet.png").exists()
    assert "cache/photos-corrupted is complete: 2 rows" in works(plain("corrupt", "photos", "--workers", 1))
    works(plain("graph", "plot", "anatomical", "--image", path, "--out", "face.png"))
    assert (tmp_path / "face.png").exists()


@pytest.mark.slow
def test_graphs_and_corruptions_are_listed_and_drawn(plain, tmp_path):
    assert "anatomical" in works(plain("graph", "list"))
    works(plain("graph", "plot", "anatomical", "--html"))
    works(plain("graph", "export", "anatomical"))
    works(plain("corrupt", "--preview", "corruptions.png"))
    assert {"anatomical.html", "anatomical.graphml", "corruptions.png"} <= set(os.listdir(tmp_path))


EACH = """
import sys
from landmarkfer.cli import main

for command in sys.argv[1:]:
    sys.argv = ["landmarkfer", *command.split()]
    try:
        main()
    except SystemExit as end:
        print(f"{command}: {end.code}", file=sys.stderr)
"""
"""Calls commands one after the other in one process, as `landmarkfer COMMAND` does."""


def test_every_command_has_its_help(plain):
    result = plain(*(f"{command} --help" for command in COMMANDS), script=EACH)
    assert result.stderr.splitlines() == [f"{command} --help: 0" for command in COMMANDS]
    for command in COMMANDS:
        assert f"Usage: landmarkfer {command} " in result.stdout


def test_a_command_that_needs_more_says_what_to_install(plain, tmp_path):
    commands = [f"{name} {arguments}".strip() for name, arguments in NEED_MORE.items()]
    said = iter(plain(*commands, script=EACH).stderr.splitlines())
    for command in commands:
        assert re.fullmatch(
            r"Error: this needs [\w-]+, which is not installed; "
            r"install it with pip install 'landmarkfer\[train\]'\.",
            next(said),
        ), command
        assert next(said) == f"{command}: 1"
    assert os.listdir(tmp_path) == ["hidden"], "nothing was begun"


def test_the_estimator_says_what_to_install(plain):
    result = plain(script="from landmarkfer.estimator import ExpressionClassifier")
    assert result.returncode == 1
    assert "this needs torch, which is not installed" in result.stderr
    assert "pip install 'landmarkfer[train]'" in result.stderr
