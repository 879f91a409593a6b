import io

import pytest
from rich.console import Console

from landmarkfer.errors import RunError
from landmarkfer.recipes import load_settings
from landmarkfer.training.run import find_run
from landmarkfer.training.side_by_side import train_side_by_side


def wanted(cache, name, **overrides):
    content = {"model.name": "mlp", "model.hidden": [4], "fit.epochs": 1, "fit.batch_size": 16}
    return load_settings(None, content | {"cache": cache, "name": name} | overrides)


@pytest.mark.slow
def test_what_begins_with_another_run_waits_and_what_fails_stops_nothing_else(
    tiny_cache, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cache = tiny_cache.path.resolve().as_posix()
    told = io.StringIO()
    runs = [
        wanted(cache, "second", init="first"),
        wanted("nowhere", "lost"),
        wanted(cache, "first"),
        wanted(cache, "third", seed=1),
    ]
    with pytest.raises(RunError, match=r"run 'lost' failed: .*nowhere"):
        train_side_by_side(runs, 2, console=Console(file=told))
    for name in ("first", "second", "third"):
        assert find_run(name).finished
        assert f"{name}: trained" in told.getvalue()
        assert "epoch 1/1" in (tmp_path / f"experiments/runs/{name}.log").read_text()
    assert "lost: " in told.getvalue()
    before = find_run("first").weights_file.stat().st_mtime_ns
    train_side_by_side([runs[2]], 2)
    assert find_run("first").weights_file.stat().st_mtime_ns == before, "what is finished is kept"


def test_runs_that_begin_with_each_other(tiny_cache, tmp_path):
    runs = [wanted("any", "a", init="b"), wanted("any", "b", init="a")]
    with pytest.raises(RunError, match="run 'a' begins with one that begins with it"):
        train_side_by_side(runs, 2, runs_root=tmp_path)
