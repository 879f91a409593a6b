"""Where the files of an evaluation on another cache lie."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.elsewhere import APPLIED_FILE, Applied, elsewhere_folder, write_elsewhere
from landmarkfer.evaluation.label_mapping import AS_IT_IS, LabelMapping
from landmarkfer.metrics.predictions import UNKNOWN, Predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.runs.folder import RunFolder

NAMED = LabelMapping({"1": "happy", "2": None})
MERGED = replace(NAMED, merge={"any": ["happy", "sad"]})
# Without figures, so that nothing is drawn.
EVALUATION = Evaluation(classes=["happy", "sad"], bootstrap=0, seed=0, level=0.95, subsets={})


@pytest.fixture
def run(made_run):
    return RunFolder(made_run("mlp-s0", test=0.5))


@pytest.fixture
def caches(make_rows, tmp_path):
    """Two caches of one name in different folders, and a third one."""
    rows = make_rows(train=3, test=3)
    return [write_cache(tmp_path / place, rows).path for place in ("here/raf", "there/raf", "here/affect")]


def predictions(*ids):
    return Predictions(
        ids=np.array(ids, dtype=object),
        labels=np.full(len(ids), UNKNOWN),
        predicted=np.zeros(len(ids), int),
        probabilities=np.full((len(ids), 2), 0.5),
        classes=("happy", "sad"),
        status=np.full(len(ids), "ok", dtype=object),
    )


def write(run, cache, *ids, also=(), mapping=AS_IT_IS, prior=None):
    applied = Applied(cache, also, mapping, prior)
    return write_elsewhere(run, applied, EVALUATION, predictions(*ids)).name


def ids_in(run, folder):
    return pd.read_parquet(run.path / folder / "predictions.parquet")["id"].tolist()


def test_each_evaluation_has_a_folder_and_replaces_itself_alone(run, caches):
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    raf, namesake, affect = caches
    assert write(run, raf, "a") == "on-raf"
    assert write(run, affect, "b") == "on-affect"
    assert write(run, namesake, "c") == "on-raf-2"
    assert write(run, raf, "d", mapping=NAMED) == "on-raf-3"
    assert write(run, raf, "e", mapping=MERGED) == "on-raf-4"
    assert write(run, raf, "f", also=[affect]) == "on-raf-5"
    assert write(run, raf, "g", mapping=NAMED) == "on-raf-3", "the same evaluation again"
    assert write(run, raf, "h", prior="uniform") == "on-raf-6"
    assert write(run, raf, "i", prior={"happy": 0.9, "sad": 0.1}) == "on-raf-7"
    found = [ids_in(run, f"on-raf{suffix}") for suffix in ("", "-2", "-3", "-4", "-5", "-6", "-7")]
    assert found == [["a"], ["c"], ["g"], ["e"], ["f"], ["h"], ["i"]]
    assert {path: path.read_bytes() for path in before} == before, "the run's own files stay"


def test_it_is_found_again(run, caches, monkeypatch):
    raf = caches[0]
    write(run, raf, "a", mapping=NAMED)
    assert elsewhere_folder(run, Applied(raf, (), NAMED)) == run.path / "on-raf"
    assert elsewhere_folder(run, Applied(raf)) == run.path / "on-raf-2"
    monkeypatch.chdir(raf.parent)
    assert elsewhere_folder(run, Applied("raf", (), NAMED)) == run.path / "on-raf", "by another path"


def test_what_it_was_made_of(run, caches):
    write(run, caches[0], "a", mapping=MERGED)
    assert json.loads((run.path / "on-raf" / APPLIED_FILE).read_text()) == {
        "cache": caches[0].as_posix(),
        "also": [],
        "label_names": {"1": "happy", "2": None},
        "merge": {"any": ["happy", "sad"]},
    }


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_of_other_things_is_left_alone(run, caches, content):
    (run.path / "on-raf").mkdir()
    if content is not None:
        (run.path / "on-raf" / APPLIED_FILE).write_text(content)
    assert write(run, caches[0], "a") == "on-raf-2"
    assert not (run.path / "on-raf" / "predictions.parquet").exists()


def test_a_cache_that_is_not_there(run):
    with pytest.raises(CacheError, match="gone is no landmark cache"):
        elsewhere_folder(run, Applied("gone"))
