"""How far a long piece of work is: what every function that takes a while calls, and how it is shown."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Called as work goes on."""

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Show where a task stands.

        Args:
            task: What is being done; a new name starts a new task.
            done: Units done. The first call of a task may say more than 0: what was there already counts for
                no rate.
            total: Units in all.
            note: What else is worth showing, for example counts of what came of it.
        """


def no_progress(task: str, done: int, total: int, note: str = "") -> None:
    """Shows nothing: the `Progress` of functions that are called without one."""


def track(items: Iterable[T], task: str, total: int, progress: Progress) -> Iterator[T]:
    """Yield the items of a loop and report how many are done."""
    progress(task, 0, total)
    for number, item in enumerate(items, start=1):
        yield item
        progress(task, number, total)


@contextmanager
def show_progress(console: "Console | None" = None) -> Iterator[Progress]:
    """Bars with rate and time left on a terminal; elsewhere a line every ten seconds and at the end.

    Args:
        console: Where to show them; the standard error if None.

    Yields:
        What to call.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        tasks = {}
        clocks: dict[str, _Clock] = {}

        def update(task: str, done: int, total: int, note: str = "") -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(escape(task), total=total, completed=done, rate="", note="")
                clocks[task] = _Clock(done)
            rate = clocks[task].rate(done)
            bars.update(
                tasks[task],
                completed=done,
                total=total,
                rate=f"{rate:,.0f}/s" if rate else "",
                note=escape(note),
            )

        yield update


class _Clock:
    """Units per second since the first call of a task."""

    def __init__(self, done: int) -> None:
        self._first = done
        self._started = time.monotonic()

    def rate(self, done: int) -> float:
        return (done - self._first) / max(1e-9, time.monotonic() - self._started)


class _Lines:
    def __init__(self, console: "Console") -> None:
        self._console = console
        self._clocks: dict[str, _Clock] = {}
        self._last: dict[str, float] = {}

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        clock = self._clocks.setdefault(task, _Clock(done))
        last = self._last.setdefault(task, now)
        started_now = last == now and done < total
        if started_now or (now - last < _SECONDS_BETWEEN_LINES and done < total):
            return
        self._last[task] = now
        rate = clock.rate(done)
        parts = [f"{task}: {done:,} of {total:,}"]
        if rate:
            parts.append(f"{rate:,.0f}/s")
        if rate and done < total:
            parts.append(f"{duration((total - done) / rate)} left")
        line = ", ".join(parts) + (f"; {note}" if note else "")
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """A duration as people say it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
