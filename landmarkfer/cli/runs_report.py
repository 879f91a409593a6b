"""How `landmarkfer runs` shows runs: order, table and JSON."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from landmarkfer.progress import counted
from landmarkfer.runs.records import RUNS_ROOT, RunRecord

ABSENT = "–"
# Columns that are left out in turn where the terminal is too narrow; lineage then stands below the name.
_SPARE: tuple[set[str], ...] = (
    set(),
    {"lineage"},
    {"lineage", "seed"},
    {"lineage", "params", "time"},
    {"lineage", "params", "time", "seed"},
)
_STYLES = {"training": "cyan", "interrupted": "yellow", "damaged": "red"}
# Settings that have a column of their own, and so are not repeated among those that differ from the defaults.
_SHOWN = ("cache", "name", "seed", "init", "model.name", "model.graph", "model.backbone")

# By what each column sorts; figures go from the highest down.
_TEXTS: dict[str, Callable[[RunRecord], Any]] = {
    "name": lambda record: record.name,
    "model": lambda record: record.architecture,
    "data": lambda record: data_text(record),
    "seed": lambda record: record.seed,
    "state": lambda record: record.state,
    "lineage": lambda record: record.lineage or None,
    "created": lambda record: record.created,
}
_FIGURES: dict[str, Callable[[RunRecord], Any]] = {
    "epochs": lambda record: record.epochs,
    "val": lambda record: record.val_accuracy,
    "test": lambda record: record.test_accuracy,
    "f1": lambda record: record.macro_f1,
    "params": lambda record: record.parameters,
    "time": lambda record: record.train_seconds,
}


def sorted_records(records: Sequence[RunRecord], column: str, *, reverse: bool = False) -> list[RunRecord]:
    """Runs by a column, those without a value last in either direction, and equal ones by name."""
    value = _TEXTS.get(column) or _FIGURES[column]
    by_name = sorted(records, key=lambda record: record.name)
    known = [record for record in by_name if value(record) is not None]
    known.sort(key=value, reverse=reverse != (column in _FIGURES))
    return known + [record for record in by_name if value(record) is None]


def print_json(records: Sequence[RunRecord]) -> None:
    """All fields of each run, as one JSON list."""
    content = [asdict(record) | {"lineage": record.lineage} for record in records]
    click.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def print_runs(chosen: Sequence[RunRecord], every: Sequence[RunRecord], *, changed: bool) -> None:
    """The table of the chosen runs, what is wrong with any of them, and what to do where there is none."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 300  # a file or another program: one line per run
    if not every:
        console.print(f"There is no run under {RUNS_ROOT}; train one with `landmarkfer train --model mlp`.")
        return
    if not chosen:
        models = ", ".join(sorted({record.model for record in every if record.model}))
        caches = ", ".join(sorted({record.cache for record in every if record.cache}))
        console.print(
            f"None of the {counted(len(every), 'run')} fits; their models are {models or 'unknown'}, "
            f"their caches {caches or 'unknown'}.",
            highlight=False,
        )
        return
    data = {data_text(record) for record in chosen if record.cache}
    shared = data.pop() if len(data) == 1 and len(chosen) > 1 else None
    count = f"{len(chosen)} run{'s' if len(chosen) > 1 else ''}"
    console.print(f"[bold]{escape(count + (f' on {shared}' if shared else ''))}[/bold]\n", highlight=False)
    unbounded = console.options.update(max_width=10_000)
    for spare in _SPARE:
        table = _table(chosen, spare | ({"data"} if shared else set()))
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
    console.print(table)
    marked = "\n!: its training or evaluation warns" if any(record.warnings for record in chosen) else ""
    caption = f"val, test: accuracy; F1: macro-F1 over the test images; in percent{marked}"
    console.print(f"[dim]{caption}[/dim]\n", highlight=False)
    for record in chosen:
        if record.warnings:
            first, *others = record.warnings
            more = f" ({counted(len(others), 'more warning')}: --json)" if others else ""
            console.print(f"[yellow]{escape(record.name)}[/yellow]: {escape(first)}{more}", highlight=False)
        for problem in record.problems:
            console.print(f"[red]{escape(record.name)}[/red]: {escape(problem)}", highlight=False)
    stopped = [record.name for record in chosen if record.state == "interrupted"]
    if stopped:
        command = f"landmarkfer train --resume {escape(stopped[0])}"
        console.print(f"Interrupted: resume with `{command}`.", highlight=False)
    if changed:
        console.print("[bold]Settings that differ from the defaults[/bold]\n")
        console.print(_changed_table(chosen))


def _table(records: Sequence[RunRecord], left_out: set[str]) -> Table:
    """One row per run. Lineage has a column if any run has one and it is not left out."""
    if not any(record.lineage for record in records):
        left_out = left_out | {"lineage"}
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    # By heading: what a run shows, and whether the column is one of text that may be folded.
    columns: dict[str, tuple[Callable[[RunRecord], str | None], bool]] = {
        "run": (lambda r: r.name, True),
        "model": (lambda r: r.architecture, True),
        "data": (data_text, True),
        "seed": (lambda r: None if r.seed is None else str(r.seed), False),
        "epochs": (_epochs, False),
        "state": (lambda r: f"{r.state} !" if r.warnings else r.state, False),
        "val": (lambda r: _percent(r.val_accuracy), False),
        "test": (lambda r: _percent(r.test_accuracy), False),
        "F1": (lambda r: _percent(r.macro_f1), False),
        "params": (lambda r: _count(r.parameters), False),
        "time": (lambda r: _duration(r.train_seconds), False),
        "lineage": (lambda r: r.lineage, True),
    }
    shown = {heading: column for heading, column in columns.items() if heading not in left_out}
    for heading, (_, text) in shown.items():
        left = text or heading == "state"
        table.add_column(heading, justify="left" if left else "right", overflow="fold", no_wrap=not text)
    for record in records:
        cells = [Text(cell(record) or ABSENT) for cell, _ in shown.values()]
        cells[list(shown).index("state")].stylize(_STYLES.get(record.state, ""))
        if "lineage" in left_out and record.lineage:
            below = record.lineage.replace(", ", "\n  ")
            cells[0].append(f"\n  {below}", style="dim")
        table.add_row(*cells)
    return table


def _changed_table(records: Sequence[RunRecord]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=12)
    table.add_column("settings", overflow="fold")
    for record in records:
        changed = [f"{k}={_setting(v)}" for k, v in record.changed.items() if k not in _SHOWN]
        table.add_row(escape(record.name), escape(", ".join(changed)) or ABSENT)
    return table


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def data_text(record: RunRecord) -> str | None:
    """The cache with what was taken of it, and beside it: `fer2013 (3 classes, fold 2/5, and fer2013-7)`."""
    if record.cache is None:
        return None
    data = record.settings.get("data")
    chosen = data if isinstance(data, dict) else {}
    notes = [f"{len(record.classes)} classes"] if chosen.get("classes") or chosen.get("merge") else []
    if chosen.get("per_class"):
        notes.append(f"{chosen['per_class']} per class")
    if record.fold is not None:
        notes.append(f"fold {record.fold + 1}/{record.folds}")
    notes += [f"and {Path(cache).name}" for cache in chosen.get("also", ())]
    return f"{record.cache} ({', '.join(notes)})" if notes else record.cache


def _epochs(record: RunRecord) -> str | None:
    planned = record.epochs_planned  # None if unknown, or of a model that is not trained by epochs
    return None if planned is None else f"{record.epochs}/{planned}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f}"


def _count(value: int | None) -> str | None:
    """Three digits: 869k, 1.00M."""
    if value is None:
        return None
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + letter
    return str(value)


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
