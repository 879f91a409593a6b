"""The public API: three lines from photos to predictions, lazy, typed, and with nothing in its way."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import landmarkfer as lf
from landmarkfer.errors import RunError, SettingsError, SourceError
from landmarkfer.metrics.report import Evaluation
from landmarkfer.runs.folder import RunFolder

ROOT = Path(__file__).parents[1]


def python(code: str, **keywords) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **keywords
    ).stdout


def test_every_public_name_is_there_and_listed():
    assert {name for name in dir(lf) if not name.startswith("_")} == set(lf.__all__) - {"__version__"}
    assert {"__version__", "__doc__"} <= set(dir(lf))
    for name in lf.__all__:
        assert getattr(lf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = lf.nonsense


def test_no_module_takes_the_place_of_a_public_name():
    # Importing a submodule sets an attribute of its package.
    assert not {module.name for module in pkgutil.iter_modules(lf.__path__)} & set(lf.__all__)
    assert callable(lf.extract) and lf.extract.__module__ == "landmarkfer"


def test_plain_use_loads_no_torch():
    code = "import sys, landmarkfer as lf; lf.build_graph('contours'); lf.LandmarkCache.open"
    code += "; print('torch' in sys.modules)"
    assert python(code).strip() == "False"


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", ["import landmarkfer.models.gnn", "import landmarkfer as lf; lf.build_graph('contours').to_pyg()"]
)
def test_a_deprecation_within_pytorch_geometric_is_not_shown(code):
    shown = python(f"import warnings; warnings.showwarning = lambda *w: print(w[0]); {code}")
    assert "torch.jit.script" not in shown


@pytest.fixture(scope="module")
def work(tmp_path_factory, synthetic_dataset, detector):
    """A working directory in which everything lies where it lies by default."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "photos").symlink_to(synthetic_dataset)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def cache(work):
    return lf.extract("photos", workers=1)


@pytest.fixture(scope="module")
def run(cache):
    settings = {
        "model.hidden": [8],
        "model.features": "displacement",
        "split.validation": 0.4,
        "fit.device": "cpu",
    }
    return lf.train("mlp", cache, epochs=1, batch_size=8, lr=0.01, seed=3, settings=settings)


def test_a_cache_lies_where_the_command_puts_it(work, cache):
    assert isinstance(cache, lf.LandmarkCache)
    assert cache.path == Path("cache") / (work / "photos").resolve().name and cache.complete
    assert repr(cache).startswith(f"<LandmarkCache {cache.path}: 30 images, 2 without a face; ")
    assert len(lf.extract("photos", cache.path)) == 30, "a finished one is opened"


def test_a_run_has_its_settings(cache, run):
    assert isinstance(run, RunFolder) and run.path == Path("experiments/runs/mlp-s3")
    settings = run.read_config().settings
    assert (settings.fit.epochs, settings.fit.batch_size, settings.optimiser.lr) == (1, 8, 0.01)
    assert settings.seed == 3 and settings.cache == str(cache.path)
    assert repr(run) == "<RunFolder experiments/runs/mlp-s3: finished>"


@pytest.mark.parametrize("named", [lambda run: run, lambda run: run.name, lambda run: run.path])
def test_an_evaluation_is_written_and_returned(run, named):
    evaluation = lf.evaluate(named(run))
    assert isinstance(evaluation, Evaluation)
    assert (run.path / "metrics.json").is_file() and (run.path / "confusion.png").is_file()
    first, heading, test, *_ = repr(evaluation).splitlines()
    assert first == f"Evaluation over 7 classes: {', '.join(evaluation.classes)}"
    assert heading.split() == ["subset", "images", "accuracy", "balanced", "macro-F1", "ECE"]
    report = evaluation.subsets["test"]
    assert test.split()[:3] == ["test", str(report.n), f"{100 * report.accuracy:.2f}"]


def test_the_three_lines(run):
    faces = lf.load("mlp-s3").predict("photos/test")
    assert faces.statuses.count("ok") >= 5 and set(faces.labels) - {None} <= set(faces.classes)


def test_mistakes(cache):
    with pytest.raises(SettingsError, match="train has no option 'epoch'; it has name, seed"):
        lf.train("mlp", cache, epoch=5)
    with pytest.raises(SettingsError, match=r"no setting 'fit\.epoch'"):
        lf.train("mlp", cache, settings={"fit.epoch": 5})
    with pytest.raises(SettingsError, match="there is no extraction setting 'pass'"):
        lf.extract("photos", **{"pass": 3})
    with pytest.raises(SourceError, match="gone does not exist"):
        lf.extract("gone")
    with pytest.raises(RunError, match="'gone' is no run"):
        lf.evaluate("gone")
    for use in (lf.load, lf.evaluate):
        with pytest.raises(RunError, match="its name or a RunFolder, not by list"):
            use(["mlp-s3"])
