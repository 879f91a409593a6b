import multiprocessing
import threading
import time

import pandas as pd
import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.errors import RunError
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder, find_run
from landmarkfer.training import parallel as side_by_side
from landmarkfer.training.parallel import train_parallel


def wanted(cache, name, **overrides):
    content = {
        "model.name": "mlp",
        "model.hidden": [4],
        "model.features": "displacement",
        "fit.epochs": 1,
        "fit.batch_size": 16,
    }
    return load_settings(None, content | {"cache": cache, "name": name} | overrides)


@pytest.mark.slow
def test_what_begins_with_another_run_waits_and_what_fails_stops_nothing_else(
    tiny_cache, tmp_path, monkeypatch, recorder
):
    monkeypatch.chdir(tmp_path)
    cache = tiny_cache.path.resolve().as_posix()
    runs = [
        wanted(cache, "second", init="first"),
        wanted("nowhere", "lost"),
        wanted(cache, "first"),
        wanted(cache, "third", seed=1),
    ]
    with pytest.raises(RunError, match=r"run 'lost' failed: .*nowhere"):
        train_parallel(runs, 2, progress=recorder)
    for name in ("first", "second", "third"):
        assert find_run(name).finished
        assert f"{name}: trained" in recorder.said
        assert "epoch 1/1" in (tmp_path / f"experiments/runs/{name}.log").read_text()
    assert any(line.startswith("lost: ") for line in recorder.said)
    assert recorder.ends["runs"] == (4, 4)
    before = find_run("first").weights_file.stat().st_mtime_ns
    train_parallel([runs[2]], 2)
    assert find_run("first").weights_file.stat().st_mtime_ns == before, "what is finished is kept"


@pytest.mark.slow
def test_a_process_that_is_killed_stops_nothing_else(tiny_cache, tmp_path, monkeypatch):
    """As the kernel does where memory ends, in the middle of an epoch; the run then goes on where it was."""
    monkeypatch.chdir(tmp_path)
    cache = tiny_cache.path.resolve().as_posix()
    long = wanted(cache, "long", **{"fit.epochs": 100_000})
    runs = [long, wanted(cache, "short"), wanted(cache, "after", init="short")]

    def kill():
        while not (RUNS_ROOT / "long/checkpoints/last.ckpt").exists():
            time.sleep(0.05)
        (child,) = [one for one in multiprocessing.active_children() if one.name == "long"]
        child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RunError, match=r"run 'long' failed: its process was ended by SIGKILL; .*long\.log"):
        train_parallel(runs, 2)
    killer.join()
    assert find_run("after").finished
    assert not find_run("long").finished


@pytest.mark.slow
def test_trainings_end_with_the_process_that_began_them(tiny_cache, tmp_path):
    """Killed as a whole and started again, an interrupted run resumes."""
    cache = tiny_cache.path.resolve().as_posix()
    settings = wanted(cache, "long", **{"fit.epochs": 40})
    run = RunFolder(tmp_path / "long")
    parent = multiprocessing.get_context("forkserver").Process(
        target=train_parallel, args=([settings], 2), kwargs={"runs_root": tmp_path}
    )
    parent.start()
    while not run.last_checkpoint.exists():
        time.sleep(0.02)
    parent.kill()
    parent.join()
    assert not run.finished
    begun = time.monotonic()
    while time.monotonic() < begun + 10:  # the child has to notice
        try:
            train_parallel([settings], 2, runs_root=tmp_path)
            break
        except RunError as error:
            assert "another process is training" in str(error)
            time.sleep(0.1)
    assert run.finished
    assert run.resumes_file.read_text().count("\n") == 1
    assert pd.read_csv(run.metrics_file)["epoch"].tolist() == list(range(1, 41))


@pytest.mark.slow
def test_what_a_training_in_another_process_warns_of_is_said_here(tiny_cache, tmp_path, caplog):
    cache = tiny_cache.path.resolve().as_posix()
    settings = wanted(cache, "averaged", **{"fit.ema": 0.999})
    train_parallel([settings], 2, runs_root=tmp_path)
    (sentence,) = RunFolder(tmp_path / "averaged").read_warnings()[-1:]
    assert sentence.startswith("fit.ema=0.999 averages over about 1,000 steps, and the training had 5: ")
    assert f"run 'averaged': {sentence}" in caplog.text
    assert sentence in (tmp_path / "averaged.log").read_text()


def test_runs_that_begin_with_each_other(tiny_cache, tmp_path):
    runs = [wanted("any", "a", init="b"), wanted("any", "b", init="a")]
    with pytest.raises(RunError, match="run 'a' is initialised from one"):
        train_parallel(runs, 2, runs_root=tmp_path)


@pytest.mark.parametrize("gpu", [False, True])
def test_where_there_is_a_gpu_no_process_is_a_fork(monkeypatch, gpu):
    """What was forked from a process that has looked for a GPU cannot use it."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    forks = "forkserver" in multiprocessing.get_all_start_methods() and not gpu
    assert side_by_side._context().get_start_method() == ("forkserver" if forks else "spawn")
