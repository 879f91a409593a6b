"""The scripts of `examples/`, each run as a reader runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What each prints, and what it leaves in its folder.
EXPECTED = {
    "extract_and_inspect": (["30 images, 2 without a face", "differ by"], ["contact-sheet.png"]),
    "own_graph": (["mirrored", "contours", "test accuracy"], ["mirrored.csv"]),
    "predict_photos": (["<Predictor mlp-s0: mlp", "no_face"], ["faces.png", "predictions/predictions.csv"]),
    "scikit_learn": (["accuracy over 3 folds", "best learning rate", "macro avg"], []),
    "train_and_evaluate": (["macro-F1", "95 % interval", "surprise  recall"], ["runs"]),
}


def test_there_are_five():
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
