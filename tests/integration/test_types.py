"""A script that uses the public API has types, as a checker of its author's sees them."""

import subprocess
import sys
from pathlib import Path

import landmarkfer as lf

ROOT = Path(__file__).parents[2]

SCRIPT = """
from pathlib import Path

import landmarkfer as lf


def work(photos: Path) -> list[str]:
    cache: lf.LandmarkCache = lf.extract(photos, "faces", passes=2, workers=1, progress=True)
    run: lf.RunFolder = lf.train(model="gnn", cache=cache, epochs=3, settings={"augment.jitter": 0.1})
    evaluation: lf.Evaluation = lf.evaluate(run)
    accuracy: float = evaluation.subsets["test"].accuracy
    model: lf.Predictor = lf.load(run)
    faces: lf.Faces = model.predict([photos / "one.jpg", b"bytes"], least_confidence=0.5)
    first: lf.Face = faces[0]
    label: str | None = first.label
    part: lf.Faces = faces[1:]
    share: float = first.probabilities["happy"]
    edges: int = lf.build_graph("tesselation").statistics().edges
    faces.to_frame().to_csv(faces.save("out") / "again.csv")
    faces.plot().savefig("faces.png")
    return [face.source for face in part] + [str(label), f"{accuracy + share:.2f}", str(edges)]
"""


WRONG = """
import landmarkfer as lf

number: int = lf.load("run").predict("a.jpg")[0].label
"""


def test_a_script_that_uses_it_has_types(tmp_path):
    (tmp_path / "right.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(WRONG)
    # The cache of the gate's own check is used, without which all of torch would be read again.
    options = ["--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]
    command = [sys.executable, "-m", "mypy", *map(str, options), "right.py", "wrong.py"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    errors = [line for line in found.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1 and errors[0].startswith("wrong.py:4: error: Incompatible types in assignment")
    assert (Path(lf.__file__).parent / "py.typed").is_file()
