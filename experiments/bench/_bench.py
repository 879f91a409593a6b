"""What the benchmarks share: the machine, the memory of a process, a process for each, the report.

Linux only (`/proc`).
"""

import multiprocessing
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Literal

import click
import pandas as pd

from landmarkfer.reporting.markdown import Header, package_versions, render_bench
from landmarkfer.reporting.results import BENCH_COLUMNS, append_bench

Rows = list[tuple[str, str, str, int, str, float]]


def machine() -> str:
    """Cores and clock, as far as the system tells."""
    info = Path("/proc/cpuinfo").read_text()
    clocks = [float(line.split(":")[1]) for line in info.splitlines() if line.startswith("cpu MHz")]
    clock = f" of {max(clocks) / 1000:.1f} GHz" if clocks else ""
    return f"{os.cpu_count()} CPU cores{clock}"


def memory_mb(pid: int, which: Literal["VmRSS", "VmHWM"] = "VmRSS") -> float:
    """Resident memory of a process in MB: now, or the most that it had (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1000


def measure_apart(measure: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """What `measure(*arguments)` returns in a process of its own.

    Raises:
        ClickException: The process failed.
    """
    context = multiprocessing.get_context("spawn")
    answers: SimpleQueue[dict[str, float]] = context.SimpleQueue()
    process = context.Process(target=_answer, args=(answers, measure, arguments))
    process.start()
    process.join()
    if process.exitcode:
        raise click.ClickException(f"the process of {arguments[0]} ended with {process.exitcode}.")
    return answers.get()


def _answer(
    answers: "SimpleQueue[dict[str, float]]",
    measure: Callable[..., dict[str, float]],
    arguments: Sequence[Any],
) -> None:
    answers.put(measure(*arguments))


def write_page(
    results: Path,
    rows: Rows,
    *,
    title: str,
    introduction: str,
    packages: Sequence[str],
    threads: str = "",
    arguments: Sequence[str] | None = None,
) -> None:
    """Put figures into a CSV and write the report beside it.

    Args:
        results: The CSV.
        rows: Of `BENCH_COLUMNS`.
        title: Of the report.
        introduction: Markdown before the tables.
        packages: Whose versions count.
        threads: What else there is to say of the machine.
        arguments: Of the command, as they are to be shown; those it was called with by default.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    append_bench(results, pd.DataFrame(rows, columns=list(BENCH_COLUMNS)))
    script = f"experiments/bench/{Path(sys.argv[0]).name}"
    header = Header(
        title=title,
        commands=[shlex.join(["python", script, *(sys.argv[1:] if arguments is None else arguments)])],
        versions=package_versions(("landmarkfer", *packages)),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=", ".join(filter(None, [machine(), threads])),
        introduction=introduction,
    )
    render_bench(results, results.with_suffix(".md"), header)
    click.echo(f"{results} and {results.with_suffix('.md')} are written.")
