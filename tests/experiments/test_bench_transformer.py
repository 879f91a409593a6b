"""The benchmark of the transformer: what it compares can be built and is what its names say."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.models import check_keywords

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS / "bench"))
    spec = importlib.util.spec_from_file_location(
        "bench_transformer", EXPERIMENTS / "bench" / "transformer.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variant_can_be_built(bench):
    for keywords in (*bench.TOKENS.values(), *bench.ATTENTION.values()):
        check_keywords("transformer", bench.GEOMETRY | keywords)


def test_the_geometry_is_the_published_one(bench):
    recipe = load_settings(EXPERIMENTS / "recipes" / "fer2013-transformer-published.toml").model.keywords
    assert bench.GEOMETRY == {key: recipe[key] for key in bench.GEOMETRY}
    fused = bench.ATTENTION["fused"]
    assert fused == bench.TOKENS["landmark tokens"] == {"tokens": recipe["tokens"]}
    assert (recipe["graph"], recipe["attention_dropout"]) == ("none", 0.0)


HOLD = """
import os
from _bench import memory_mb
before = memory_mb(os.getpid())
held = bytearray(b"1" * 60_000_000)
print(before, memory_mb(os.getpid()), memory_mb(os.getpid(), "VmHWM"))
"""


@pytest.mark.slow
def test_memory_grows_with_what_is_held():
    # In a process of its own: this one may have as much at hand from earlier tests.
    done = subprocess.run(
        [sys.executable, "-c", HOLD], cwd=EXPERIMENTS / "bench", capture_output=True, text=True, check=True
    )
    before, now, most = (float(figure) for figure in done.stdout.split())
    assert 60 * 0.8 < now - before < 60 * 2.5
    assert most >= now - 1
