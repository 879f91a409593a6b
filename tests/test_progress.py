import io
import threading
from contextlib import nullcontext

import pytest
from rich.console import Console

from landmarkfer import progress
from landmarkfer.progress import (
    SILENT,
    Patient,
    Progress,
    counted,
    duration,
    every_second,
    rate_text,
    show_progress,
    wait_for,
)


def test_durations_are_said_as_people_do():
    said = ["0 s", "59 s", "1 min 1 s", "59 min 59 s", "2 h 5 min"]
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3599, 7500)] == said


def test_one_thing_is_not_said_as_several():
    said = ["0 images", "1 image", "1,200 test images", "1 class", "2 classes", "3 boxes", "2 branches"]
    nouns = ["image", "image", "test image", "class", "class", "box", "branch"]
    numbers = [0, 1, 1200, 1, 2, 3, 2]
    assert [counted(number, noun) for number, noun in zip(numbers, nouns, strict=True)] == said


def test_rates_have_two_digits_or_more():
    assert [rate_text(rate) for rate in (0.4231, 8.06, 215.3, 12345)] == ["0.42", "8.1", "215", "12,345"]


@pytest.fixture
def clock(monkeypatch):
    """The time, in a list: set by the test."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_silent_progress_shows_nothing_and_yields_every_item(capsys):
    SILENT.say("a word")
    assert list(SILENT.track("abc", "letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_drawn_on_a_terminal(clock):
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    with show_progress(console) as report:
        for second, done in ((0, 50), (30, 60), (40, 100)):
            clock[0] = 100 + second
            report("faces", done, 200, "90 found, 7 no face")
        report.say("[red]a line that stays[/red]")
    shown = console.file.getvalue()
    for part in ("faces", "100/200", "90 found, 7 no face", "4/s", "[red]a line that stays[/red]"):
        assert part in shown
    assert shown.endswith("\x1b[?25h") or "\x1b[?25h" in shown, "the cursor is given back"


@pytest.fixture
def lines(clock):
    """Lines as they are written where there is no terminal, by a clock that the test sets."""
    console = Console(file=io.StringIO(), width=100)
    with show_progress(console) as report:
        yield report, clock, lambda: console.file.getvalue().splitlines()


def test_a_line_every_ten_seconds_and_at_the_end_where_there_is_no_terminal(lines):
    report, clock, written = lines
    report("faces", 50, 200)
    for second, done in ((4, 60), (10, 90), (12, 120), (20, 140)):
        clock[0] = 100 + second
        report("faces", done, 200, "[b]")
    clock[0] = 125
    report("faces", 200, 200)
    assert written() == [
        "faces: 90 of 200, 5/s, 22 s left; [b]",
        "faces: 140 of 200, 5/s, 12 s left; [b]",
        "faces: 200 of 200, 6.7/s",
    ]


def test_a_task_that_begins_again_has_a_clock_of_its_own(lines):
    report, clock, written = lines
    for start in (100, 200):
        clock[0] = start
        list(report.track(range(1), "images", 1))
        report("decoding", 0, 10)
        clock[0] = start + 5
        report("decoding", 2, 10)
        clock[0] = start + 9
        report("decoding", 10, 10)
    assert [line for line in written() if line.startswith("decoding")] == ["decoding: 10 of 10, 2/s"] * 2


def test_start_up_and_the_first_batch_count_for_no_rate(lines):
    report, clock, written = lines
    report("faces", 0, 208)
    for second, done in ((30, 1), (30.5, 8), (32.5, 16), (40.5, 48), (60, 48)):
        clock[0] = 100 + second
        report("faces", done, 208)
    assert written() == [
        "faces: 1 of 208",
        "faces: 48 of 208, 4/s, 40 s left",
        "faces: 48 of 208, 1.4/s, 1 min 58 s left",
    ]


def test_what_cannot_be_counted_shows_how_long_it_takes(lines):
    report, clock, written = lines
    for second in (1, 9, 11, 15, 22):
        clock[0] = 100 + second
        report.waiting("fitting", second, "[b]120 faces")
    report.waiting("fitting", 63, "[b]120 faces", ended=True)
    assert written() == [
        "fitting: 11 s; [b]120 faces",
        "fitting: 22 s; [b]120 faces",
        "fitting: done in 1 min 3 s; [b]120 faces",
    ]


def test_what_cannot_be_counted_has_a_bar_without_numbers():
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    with show_progress(console) as report:
        report.waiting("fitting", 42.2, "[b]120 faces")
        report._bars.refresh()
        report.waiting("fitting", 43, "[b]120 faces", ended=True)
    shown = console.file.getvalue()
    assert "fitting" in shown and "42 s" in shown and "[b]120 faces" in shown
    assert "0/?" not in shown


def test_short_waiting_is_not_shown(waited):
    progress = Patient(waited, seconds=2.0)
    for second in (0.5, 1.5, 2.5):
        progress.waiting("fitting", second, "faces")
    progress.waiting("fitting", 3.0, "faces", ended=True)
    assert waited.waits == [("fitting", 2.5, False), ("fitting", 3.0, True)]


@pytest.fixture
def waited():
    class Waits(Progress):
        def __init__(self):
            self.waits = []

        def waiting(self, task, seconds, note="", *, ended=False):
            self.waits.append((task, seconds, ended))

    return Waits()


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_thread_that_watches_ends_with_what_it_watches(error):
    seen, before = [], set(threading.enumerate())
    reported = threading.Event()

    def report(seconds):
        seen.append(seconds)
        reported.set()

    with pytest.raises(error) if error else nullcontext():
        with every_second(report, 0.001):
            assert reported.wait(10), "it is called while the block runs"
            (watcher,) = set(threading.enumerate()) - before
            if error:
                raise error
    assert not watcher.is_alive()
    assert seen == sorted(seen) and seen[0] > 0


def test_waiting_ends_with_the_work_and_not_with_an_error(waited):
    with wait_for(waited, "fitting"):
        pass
    assert [(task, ended) for task, _, ended in waited.waits] == [("fitting", True)]
    with pytest.raises(ValueError), wait_for(waited, "failing"):
        raise ValueError
    assert len(waited.waits) == 1, "it is not said to be done"


def test_short_work_is_not_shown(recorder, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("landmarkfer.progress.time.monotonic", lambda: now[0])
    progress = Patient(recorder, seconds=2.0)
    for second in range(5):
        now[0] = float(second)
        progress("listing", second, 4)
    assert recorder.calls == [("listing", 2, 4), ("listing", 3, 4), ("listing", 4, 4)]
