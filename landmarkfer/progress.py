"""How far long work is: what every function that takes a while reports to, and how that is shown.

Numbers, rates and durations in words are at the end.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 10.0
START_SECONDS = 1.0


class Progress:
    """Where work reports to; this one shows nothing. Functions take one and call it as they go on."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report where a task stands.

        Args:
            task: What is being done; a new name starts a new task.
            done: Units done. What the first call of a task says was there before, and counts for no rate.
            total: Units in all.
            note: What else is worth showing, for example counts of what came of them.
        """

    def waiting(self, task: str, seconds: float, note: str = "", *, ended: bool = False) -> None:
        """Report for how long a task has run of which nothing can be counted; see `wait_for`.

        Args:
            task: What is being done.
            seconds: Since when.
            note: What is known of it.
            ended: Whether it is done.
        """

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def track(self, items: Iterable[T], task: str, total: int) -> Iterator[T]:
        """Yield the items of a loop, and report how many are done."""
        self(task, 0, total)
        for number, item in enumerate(items, start=1):
            yield item
            self(task, number, total)


SILENT = Progress()


class Patient(Progress):
    """Passes on what takes longer than some seconds, so that short work shows nothing.

    Args:
        progress: Where to.
        seconds: From when on a task is shown.
    """

    def __init__(self, progress: Progress, seconds: float = 2.0) -> None:
        self._progress = progress
        self._seconds = seconds
        self._began: dict[str, float] = {}

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Report where a task stands; see `Progress`."""
        if time.monotonic() - self._began.setdefault(task, time.monotonic()) >= self._seconds:
            self._progress(task, done, total, note)

    def waiting(self, task: str, seconds: float, note: str = "", *, ended: bool = False) -> None:
        """Report how long a task has run; see `Progress`."""
        if seconds >= self._seconds:
            self._progress.waiting(task, seconds, note, ended=ended)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._progress.say(text)


@contextmanager
def every_second(report: Callable[[float], None], seconds: float = 1.0) -> Iterator[None]:
    """Call a function from a thread while the block runs, for work that a library does in one call.

    The thread ends with the block, also on an error or Ctrl-C.

    Args:
        report: Called with the seconds since the block began, and nothing that it raises reaches the block.
        seconds: How often.
    """
    began, done = time.monotonic(), threading.Event()

    def watch() -> None:
        while not done.wait(seconds):
            report(time.monotonic() - began)

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def wait_for(progress: Progress, task: str, note: str = "") -> Iterator[None]:
    """Report every second for how long the block has run.

    Args:
        progress: Where to.
        task: What the block does.
        note: What is known of it.
    """
    began = time.monotonic()
    with every_second(lambda seconds: progress.waiting(task, seconds, note)):
        yield
    progress.waiting(task, time.monotonic() - began, note, ended=True)


@contextmanager
def show_progress(console: "Console | None" = None) -> Iterator[Progress]:
    """Show bars with rate and time left on a terminal; elsewhere a line every ten seconds, and at the end.

    Args:
        console: Where to; the standard error if None.

    Yields:
        What functions report to.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Counts(MofNCompleteColumn):
        """Nothing where nothing can be counted."""

        def render(self, task: Task) -> Text:
            return Text() if task.total is None else super().render(task)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        Counts(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


@contextmanager
def shown(progress: Progress | bool) -> Iterator[Progress]:
    """What an argument `progress` of a public function means.

    Args:
        progress: True opens `show_progress`, False shows nothing, anything else is reported to.
    """
    if progress is True:
        with show_progress() as report:
            yield report
    else:
        yield progress or SILENT


class _Clock:
    """Units per second of a task, its start-up aside; 0 until it can be known.

    What comes before the first unit is start-up (loading libraries, starting processes), and what comes
    within a second of it may be one batch: a rate that counted either would be a wild guess.
    """

    def __init__(self, done: int) -> None:
        self._first = done
        self._began: float | None = None
        self._started = 0.0

    def rate(self, done: int) -> float:
        now = time.monotonic()
        if self._began is None and done > self._first:
            self._began = now
        if self._began is None or now - self._began < START_SECONDS:
            self._first, self._started = done, now
            return 0.0
        return (done - self._first) / (now - self._started)


class _Bars(Progress):
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._clocks: dict[str, _Clock] = {}

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        from rich.markup import escape

        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(
                escape(task), total=total, completed=done, rate="", note=""
            )
            self._clocks[task] = _Clock(done)
        rate = self._clocks[task].rate(done)
        self._bars.update(
            self._tasks[task],
            completed=done,
            total=total,
            rate=f"{rate_text(rate)}/s" if rate else "",
            note=escape(note),
        )
        if done >= total:
            self._bars.remove_task(self._tasks.pop(task))

    def waiting(self, task: str, seconds: float, note: str = "", *, ended: bool = False) -> None:
        from rich.markup import escape

        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(escape(task), total=None, rate="", note="")
        self._bars.update(self._tasks[task], rate=duration(seconds), note=escape(note))
        if ended:
            self._bars.remove_task(self._tasks.pop(task))

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Lines(Progress):
    def __init__(self, console: "Console") -> None:
        self._console = console
        self._clocks: dict[str, _Clock] = {}
        self._last: dict[str, float] = {}

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        rate = self._clocks.setdefault(task, _Clock(done)).rate(done)
        if done < total and now - self._last.setdefault(task, now) < SECONDS_BETWEEN_LINES:
            return
        self._last[task] = now
        parts = [f"{task}: {done:,} of {total:,}"]
        if rate:
            parts.append(f"{rate_text(rate)}/s")
        if rate and done < total:
            parts.append(f"{duration((total - done) / rate)} left")
        self.say(", ".join(parts) + (f"; {note}" if note else ""))
        if done >= total:
            del self._clocks[task], self._last[task]

    def waiting(self, task: str, seconds: float, note: str = "", *, ended: bool = False) -> None:
        now = time.monotonic()
        if not ended and now - self._last.setdefault(task, now) < SECONDS_BETWEEN_LINES:
            return
        self._last[task] = now
        self.say(f"{task}: {'done in ' if ended else ''}{duration(seconds)}" + (f"; {note}" if note else ""))
        if ended:
            del self._last[task]

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def rate_text(rate: float) -> str:
    """Units per second with two digits or more: `0.42`, `8.1`, `215`."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def counted(number: int, noun: str) -> str:
    """A number of things in words: `1 image`, `1,200 images`, `2 classes`."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x", "ch", "sh")) else "s"
    return f"{number:,} {noun}{ending}"


def duration(seconds: float) -> str:
    """A duration as people say it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
