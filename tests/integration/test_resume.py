"""An interrupted and resumed run ends as an uninterrupted one, bit by bit."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

from landmarkfer.errors import RunError
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import resume, train
from landmarkfer.training.task import ExpressionTask

# 94 training faces and 16 per batch: 5 steps an epoch. The validation loss is best in the second epoch.
SMALL = {"fit.epochs": 3, "fit.monitor": "val_loss", "optimiser.lr": 0.02, "split.validation": 0.2}
STEPS = 15


class Cut(BaseException):
    """As sudden as a kill, but inside the process."""


@pytest.fixture(autouse=True, scope="module")
def no_curves():
    """The picture takes as long as the training, and is no matter here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landmarkfer.training.network.draw_curves", lambda *_: None)
        yield


@pytest.fixture
def cut_at(monkeypatch):
    """Make every training stop before a step, or in the validation after it."""

    def cut(stage, step):
        original = getattr(ExpressionTask, f"{stage}_step")

        def stopping(self, batch, batch_idx):
            if self.global_step == step:
                raise Cut
            return original(self, batch, batch_idx)

        monkeypatch.setattr(ExpressionTask, f"{stage}_step", stopping)

    return cut


def outcome(run):
    """All that a run leaves behind but the wall time."""
    return run.weights_file.read_bytes(), pd.read_csv(run.metrics_file).drop(columns="seconds").to_csv()


@pytest.fixture(scope="module")
def unbroken(tiny_cache, tmp_path_factory):
    """The outcome of a whole run for given settings, trained once for all tests."""
    found = {}

    def whole(settings):
        key = settings.model_copy(update={"name": None}).model_dump_json()
        if key not in found:
            run = train(settings, runs_root=tmp_path_factory.mktemp("unbroken"))
            table = pd.read_csv(run.metrics_file)
            assert table["step"].tolist() == [5, 10, 15]
            found[key] = outcome(run)
        return found[key]

    return whole


CUTS = [
    ("training", 0, 2),  # before anything was saved
    ("training", 1, 0),
    ("training", 2, 2),  # right after a checkpoint within an epoch
    ("training", 3, 2),
    ("validation", 5, 5),  # every step of the epoch is done, its validation is not
    ("training", 5, 0),  # between two epochs
    ("training", 6, 0),
    ("training", 10, 5),
    ("training", 13, 1),
    ("validation", 15, 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "step", "every"), CUTS)
@pytest.mark.parametrize("ema", [0.0, 0.6], ids=["plain", "ema"])
def test_wherever_it_is_cut(tiny_settings, unbroken, cut_at, monkeypatch, tmp_path, stage, step, every, ema):
    settings = tiny_settings(**SMALL | {"fit.checkpoint_every": every, "fit.ema": ema, "name": "cut"})
    expected = unbroken(settings)
    with pytest.raises(Cut):
        cut_at(stage, step)
        train(settings, runs_root=tmp_path)
    monkeypatch.undo()
    run = RunFolder(tmp_path / "cut")
    assert not run.weights_file.exists()
    resume(run)
    assert outcome(run) == expected
    assert pd.read_csv(run.metrics_file)["seconds"].max() < 600


KILLED = """
import os, signal, sys
from pathlib import Path
from landmarkfer.config.recipes import parse_settings
from landmarkfer.training.fit import train
from landmarkfer.training.task import ExpressionTask
import json

original = ExpressionTask.training_step

def dying(self, batch, batch_idx):
    if self.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, batch, batch_idx)

ExpressionTask.training_step = dying
for content in json.loads(sys.stdin.read()):
    child = os.fork()
    if child == 0:
        train(parse_settings(content, "stdin"), runs_root=Path(sys.argv[1]))
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_real_processes_killed_in_the_middle_of_an_epoch(tiny_settings, unbroken, tmp_path):
    variants = {
        "killed-mlp": tiny_settings(**SMALL | {"fit.checkpoint_every": 3, "name": "killed-mlp"}),
        "killed-gnn-ema": tiny_settings(
            "gnn",
            **SMALL
            | {"fit.checkpoint_every": 3, "fit.ema": 0.9, "model.graph": "regions", "name": "killed-gnn-ema"},
        ),
    }
    content = "[" + ",".join(settings.model_dump_json() for settings in variants.values()) + "]"
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        input=content, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert finished.stdout.split() == [str(int(signal.SIGKILL))] * 2
    for name, settings in variants.items():
        run = RunFolder(tmp_path / name)
        assert run.read_checkpoint(run.last_checkpoint)["global_step"] == 6, "in the middle of an epoch"
        assert not list(run.checkpoints.glob(".*")), "no half file is left"
        resume(run)
        assert outcome(run) == unbroken(settings)


@pytest.mark.slow
def test_a_run_that_is_cut_twice(tiny_settings, unbroken, cut_at, monkeypatch, tmp_path):
    settings = tiny_settings(**SMALL | {"fit.checkpoint_every": 2, "fit.ema": 0.6, "name": "cut"})
    run = RunFolder(tmp_path / "cut")
    for step, go in ((4, lambda: train(settings, runs_root=tmp_path)), (9, lambda: resume(run))):
        with pytest.raises(Cut):
            cut_at("training", step)
            go()
        monkeypatch.undo()
    resume(run)
    assert outcome(run) == unbroken(settings)


def test_a_run_whose_folder_was_moved_keeps_its_best_epoch(
    tiny_settings, unbroken, cut_at, monkeypatch, tmp_path
):
    settings = tiny_settings(**SMALL | {"fit.checkpoint_every": 1, "name": "cut"})
    with pytest.raises(Cut):
        cut_at("training", 14)
        train(settings, runs_root=tmp_path)
    monkeypatch.undo()
    best = RunFolder(tmp_path / "cut").best_checkpoint.read_bytes()
    shutil.move(tmp_path / "cut", tmp_path / "elsewhere")
    run = resume(RunFolder(tmp_path / "elsewhere"))
    assert run.best_checkpoint.read_bytes() == best, "the last epoch is worse than the second"
    assert outcome(run) == unbroken(settings)


def test_a_run_cut_after_its_last_epoch_only_finishes(tiny_settings, unbroken, monkeypatch, tmp_path):
    settings = tiny_settings(**SMALL | {"name": "cut"})
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(RunFolder, "write_model", lambda *_: (_ for _ in ()).throw(Cut))
        train(settings, runs_root=tmp_path)
    run = RunFolder(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(ExpressionTask, "training_step", lambda *_: pytest.fail("nothing is left to train"))
        resume(run)
    assert outcome(run) == unbroken(settings)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["end", "middle"])
def test_early_stopping_survives(tiny_settings, cut_at, monkeypatch, tmp_path, where):
    """Also where the run was cut between the epoch that stopped it and its end."""
    keywords = SMALL | {"fit.epochs": 30, "fit.patience": 2, "optimiser.schedule": "constant"}
    whole = train(tiny_settings(**keywords), runs_root=tmp_path)
    epochs = len(pd.read_csv(whole.metrics_file))
    assert 3 <= epochs < 30
    with monkeypatch.context() as patch, pytest.raises(Cut):
        if where == "end":
            patch.setattr(RunFolder, "write_model", lambda *_: (_ for _ in ()).throw(Cut))
        else:
            cut_at("training", 5 * (epochs - 1) + 1)
        train(tiny_settings(**keywords | {"name": "cut"}), runs_root=tmp_path)
    monkeypatch.undo()
    assert outcome(resume(RunFolder(tmp_path / "cut"))) == outcome(whole)


def test_only_one_process_trains_a_run(tiny_settings, tmp_path, cut_at):
    cut_at("training", 7)
    with pytest.raises(Cut):
        train(tiny_settings(name="run", **SMALL), runs_root=tmp_path)
    run = RunFolder(tmp_path / "run")
    hold = "import sys; from filelock import FileLock\nwith FileLock(sys.argv[1]): print(flush=True); input()"
    words = [sys.executable, "-c", hold, str(run.path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(RunError, match="another process is training"):
            resume(run)
        other.communicate(b"\n")
