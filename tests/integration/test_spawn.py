"""Scripts under the start method "spawn", the only one of Windows and the default of macOS."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.runs.folder import RunFolder

pytestmark = pytest.mark.slow

SPAWN = """
import multiprocessing

multiprocessing.get_all_start_methods = lambda: ["spawn"]
multiprocessing.set_start_method("spawn", force=True)
"""


def run_script(folder: Path, text: str) -> None:
    """Run a script in a folder; a process that it starts runs what is not guarded in it again."""
    script = folder / "script.py"
    script.write_text(SPAWN + text)
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, str(script)],
        **{"cwd": folder, "env": os.environ | {"PYTHONPATH": paths}, "capture_output": True, "text": True},
    )
    assert result.returncode == 0, result.stderr


def test_an_extraction_in_a_script_without_a_guard(tmp_path, detector, synthetic_faces):
    for number, face in enumerate(synthetic_faces[:4]):
        path = tmp_path / f"photos/{face.label}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image).save(path)
    run_script(
        tmp_path,
        """
import landmarkfer.extraction

with open("times", "a") as file:
    file.write("run\\n")
landmarkfer.extraction.extract("photos", "cache/photos", workers=2)
""",
    )
    frame = LandmarkCache.open(tmp_path / "cache/photos").frame()
    assert frame["status"].tolist() == ["ok"] * 4
    assert (tmp_path / "times").read_text() == "run\n", "workers do not run the script"


def test_trainings_side_by_side(tmp_path, tiny_cache):
    run_script(
        tmp_path,
        f"""
from landmarkfer.config.recipes import load_settings
from landmarkfer.training.parallel import train_parallel

small = {{"model.name": "mlp", "model.hidden": [4], "model.features": "displacement"}}
small |= {{"fit.epochs": 2, "fit.batch_size": 16, "fit.device": "cpu", "cache": {str(tiny_cache.path)!r}}}
if __name__ == "__main__":
    names = [{{"name": f"mlp-s{{seed}}", "seed": seed}} for seed in (0, 1)]
    train_parallel([load_settings(None, small | name) for name in names], 2)
""",
    )
    for name in ("mlp-s0", "mlp-s1"):
        run = RunFolder(tmp_path / "experiments/runs" / name)
        assert run.finished
        assert pd.read_csv(run.metrics_file)["epoch"].tolist() == [1, 2]
