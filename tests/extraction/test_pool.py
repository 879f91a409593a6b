import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from landmarkfer.errors import DetectorError
from landmarkfer.extraction import pool
from landmarkfer.extraction.pool import DEPTH, WorkerPool, interrupts_held
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.worker import Job


@pytest.fixture
def run(odd_source, unused_model):
    """Give the keys to a pool and return the errors of the rows, by number."""

    def run(*keys, workers=2, batch=1):
        source = odd_source(*keys)
        rows = {}
        waiting = list(enumerate(source.entries))
        job = Job(source.reader, ExtractSettings(), "landmarker", unused_model)
        with WorkerPool(job, workers, batch) as crew:
            while len(rows) < len(keys):
                count = crew.room()
                crew.give(waiting[:count])
                del waiting[:count]
                rows.update(crew.take())
        assert [rows[n].id for n in range(len(keys))] == [entry.id for entry in source.entries]
        assert {row.label for row in rows.values()} == {"happy"}
        return [rows[n].error for n in range(len(keys))]

    return run


@pytest.mark.parametrize("batch", [1, 4])
def test_every_entry_comes_back_as_its_row(run, batch):
    keys = [f"key{n}" for n in range(4 * DEPTH * batch + 1)]
    assert run(*keys, batch=batch) == [f"read {key}" for key in keys]
    assert multiprocessing.active_children() == []


def test_entries_that_are_not_there_are_rows_too(run):
    assert run("a", None) == ["read a", "there is no such image in the source"]


@pytest.mark.parametrize("number", [11, 9])
def test_an_image_that_kills_the_worker_is_given_up_after_two_tries(run, odd_source, number, caplog):
    errors = run("a", "b", f"die:{number}", "c", "d", workers=1)
    name = {11: "SIGSEGV", 9: "SIGKILL"}[number]
    assert errors[2] == f"the detector crashed on it twice (signal {number}, {name})"
    assert [errors[n] for n in (0, 1, 3, 4)] == ["read a", "read b", "read c", "read d"]
    assert odd_source.read() == ["a", "b", f"die:{number}", f"die:{number}", "c", "d"], (
        "none other is repeated"
    )
    assert "ended by signal" in caplog.text


def test_a_batch_that_kills_is_tried_image_by_image(run, odd_source):
    errors = run("a", "b", "die:11", "c", "d", "e", workers=1, batch=4)
    assert "crashed" in errors[2]
    assert [errors[n] for n in (0, 1, 3, 4, 5)] == ["read a", "read b", "read c", "read d", "read e"]
    assert odd_source.read() == ["a", "b", "die:11", "a", "b", "die:11", "c", "d", "e"]


def test_a_worker_that_dies_once_loses_nothing(run):
    assert run("a", "once:9", "b", workers=1) == ["read a", "read once:9", "read b"]


def test_several_killers_among_several_workers(run):
    keys = ["die:11" if number in (3, 4) else f"key{number}" for number in range(12)]
    errors = run(*keys)
    assert [n for n, error in enumerate(errors) if "crashed" in error] == [3, 4]


def test_workers_that_always_die_stop_the_run_with_their_last_words(run, monkeypatch):
    monkeypatch.setattr(pool, "_MAX_DEATHS", 3)
    with pytest.raises(DetectorError, match=r"keep dying \(exit code 3, .*its last message: last words"):
        run(*["exit:3"] * 4, workers=1)
    assert multiprocessing.active_children() == []


def test_a_detector_that_does_not_start_stops_the_run(odd_source, tmp_path):
    source = odd_source("a")
    with WorkerPool(Job(source.reader, ExtractSettings(), "landmarker", tmp_path / "gone"), 1) as crew:
        crew.give([(0, source.entries[0])])
        with pytest.raises(DetectorError, match="not a file"):
            list(crew.take())


def test_leaving_the_pool_does_not_wait_for_a_slow_image(odd_source, unused_model):
    source = odd_source("wait:60")
    with WorkerPool(Job(source.reader, ExtractSettings(), "landmarker", unused_model), 1) as crew:
        crew.give([(0, source.entries[0])])
        deadline = time.monotonic() + 60
        while not odd_source.read():
            assert time.monotonic() < deadline, "the worker does not start"
            time.sleep(0.02)
        started = time.monotonic()
    assert time.monotonic() - started < 10
    assert multiprocessing.active_children() == []


def test_a_script_without_a_guard_for_its_main_part_works(tmp_path, unused_model):
    """Processes that are spawned usually run the script that spawns them, which would then spawn in turn."""
    script = tmp_path / "script.py"
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "a.jpg").write_text("no image")
    script.write_text(
        "from pathlib import Path\n"
        "from landmarkfer.extraction import ExtractSettings, extract\n"
        f"summary = extract({str(tmp_path / 'faces')!r}, {str(tmp_path / 'cache')!r},\n"
        f"    ExtractSettings(detector='landmarker'), landmarker=Path({str(unused_model)!r}), workers=1)\n"
        "print(summary.counts['unreadable'])\n"
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("1\n", "")


@pytest.fixture
def handled():
    """Tests that run in the background of a script inherit an ignored SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled")
def test_an_interrupt_waits_until_it_cannot_be_lost():
    class Careless:
        def __del__(self):  # where Python drops exceptions, as it does in the callbacks of its imports
            os.kill(os.getpid(), signal.SIGINT)

    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        Careless()
        done.append("the block")
    assert done == ["the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("handled")
def test_an_interrupt_comes_with_the_error_that_ended_the_block():
    with pytest.raises(KeyboardInterrupt) as caught, interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        raise OSError("the disk is full")
    assert isinstance(caught.value.__context__, OSError)


@pytest.mark.usefixtures("handled")
def test_ignored_interrupts_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_an_interrupted_start_leaves_no_worker(odd_source, unused_model, monkeypatch):
    source = odd_source("a")
    start = pool.WorkerPool._start

    def start_and_interrupt(self):
        start(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(pool.WorkerPool, "_start", start_and_interrupt)
    job = Job(source.reader, ExtractSettings(), "landmarker", unused_model)
    with pytest.raises(KeyboardInterrupt), WorkerPool(job, 2):
        pass
    assert multiprocessing.active_children() == []
