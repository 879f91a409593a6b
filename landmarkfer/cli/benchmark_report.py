"""What `landmarkfer benchmark --dry-run` shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from landmarkfer.evaluation.benchmark.plan import Planned


def plan_table(planned: "Sequence[Planned]") -> Table:
    """A row for each run, and the time that remains in all."""
    known = [one.seconds for one in planned if one.seconds is not None]
    more = "" if len(known) == len(planned) else ", and the runs of unknown length"
    table = Table(
        caption=f"remaining in all: {_duration(sum(known))}{more}, one run after the other on this machine",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("run", no_wrap=True)
    table.add_column("state")
    table.add_column("remaining", justify="right")
    for one in planned:
        remaining = "?" if one.seconds is None else "–" if not one.seconds else _duration(one.seconds)
        table.add_row(one.run.name, one.state, remaining)
    return table


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
