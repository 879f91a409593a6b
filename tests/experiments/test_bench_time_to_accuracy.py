"""The benchmark of time to accuracy: its clock, its marks and its curve."""

import importlib.util
import time
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS / "bench"))
    path = EXPERIMENTS / "bench" / "time_to_accuracy.py"
    spec = importlib.util.spec_from_file_location("bench_time", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_clock_stands_while_the_test_images_are_predicted(bench, monkeypatch, tiny_cache):
    predict = bench.predict_faces

    def slow(*arguments):
        time.sleep(2)
        return predict(*arguments)

    monkeypatch.setattr(bench, "RECIPES", EXPERIMENTS / "recipes")
    monkeypatch.setattr(bench, "predict_faces", slow)
    start = time.perf_counter()
    name, batch, points = bench.course("fer2013-mlp-whitened", 3, str(tiny_cache.path))
    total = time.perf_counter() - start
    assert (name, batch) == ("fer2013-mlp-whitened, 3 epochs", 256)
    seconds = [point[0] for point in points]
    assert len(seconds) == 3 and seconds == sorted(seconds)
    assert seconds[-1] < total - 5
    assert all(0 <= accuracy <= 100 for _, accuracy in points)


def test_marks_are_passed_once(bench, tmp_path):
    points = [(10.0, 40.0), (20.0, 55.0), (30.0, 53.0)]
    rows = {(variant, metric): value for _, variant, _, _, metric, value in bench.figures("x", 8, points)}
    assert rows["epoch 3", "seconds"] == 30
    assert rows["past 50.6 % (published GCN)", "seconds"] == 20
    assert rows["past 53.6 % (published transformer)", "test_accuracy"] == 55
    assert not any("58.2" in variant for variant, _ in rows)
    bench.draw(tmp_path / "curve.png", {"x": points})
    assert (tmp_path / "curve.png").stat().st_size > 5_000
