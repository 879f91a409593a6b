"""Pictures of several runs: their learning curves, and their test figures side by side.

Runs that differ by seed or fold alone are one system and share a colour. Drawn on matplotlib's
`Figure` directly, so that no display is touched.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landmarkfer.errors import RunError
from landmarkfer.progress import counted
from landmarkfer.runs.groups import System, group_runs
from landmarkfer.runs.metrics_table import finite_figures, read_epochs
from landmarkfer.runs.records import RunRecord

# Okabe and Ito's colours, which every kind of colour vision tells apart, without yellow: too pale on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLES = ("-", (0, (5, 2)))
GREY = "#8a8f98"
LABELLED = len(COLOURS)
_WIDTH, _HEIGHT, _FONT = 10.5, 4.4, 8.5


def curves_figure(records: Sequence[RunRecord]) -> Figure:
    """Validation loss and accuracy by epoch.

    One curve per system; of several seeds, the mean of the finished runs over the epochs that all of
    them reached, with a band of one standard deviation. A run that has not finished is drawn thin, beside its
    system's mean. Systems beyond those that colours can distinguish (the best ones have them)
    are grey.

    Raises:
        RunError: No run has an epoch behind it.
    """
    rows = {record.path: _rows(record) for record in records}
    drawn = [record for record in records if any("val_accuracy" in row for row in rows[record.path])]
    if not drawn:
        raise RunError("none of these runs has an epoch behind it, so there is no curve to draw.")
    groups = sorted(group_runs(drawn), key=lambda group: -_best(group))
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    panels: tuple[Axes, Axes] = tuple(figure.subplots(1, 2))
    coloured = len(COLOURS) * len(STYLES)
    for number, group in enumerate(groups):
        known = number < coloured
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)] if known else GREY,
            "zorder": 3 if known else 1,
        }
        style |= {"linestyle": STYLES[number // len(COLOURS)] if known else "-", "alpha": 1 if known else 0.5}
        for axes, column, factor in zip(panels, ("val_loss", "val_accuracy"), (1, 100), strict=True):
            _draw_group(axes, group, rows, column, factor, style)
    for axes, title in zip(panels, ("validation loss", "validation accuracy, %"), strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("epoch")
        _tidy(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0, max(row["epoch"] for record in drawn for row in rows[record.path]))
        _round_limits(axes, "y")
        axes.grid(axis="y", alpha=0.25)
    if len(groups) <= LABELLED:
        _label_ends(panels[1], groups)
    else:
        _legend(figure, panels[1], groups, coloured)
    notes = []
    if any(len(group.runs) == 1 for group in groups):
        notes.append("Dots: the epoch whose weights are stored.")
    if any(len(group.runs) > 1 for group in groups):
        notes.append("Of several seeds: their mean, in a band of ± one standard deviation.")
    _caption(figure, " ".join(notes))
    return figure


def _title(system: System[RunRecord]) -> str:
    """The name, with the number of runs if there are several, or what a single one lacks."""
    runs = system.runs
    if len(runs) == 1:
        run = runs[0]
        unfinished = run.state not in ("finished", "evaluation", "damaged")
        return (
            f"{system.name} ({run.state}, {run.epochs}/{run.epochs_planned})" if unfinished else system.name
        )
    folds = len({run.fold for run in runs}) > 1
    return f"{system.name} ({len(runs)} {'folds' if folds else 'seeds'})"


def _rows(record: RunRecord) -> list[dict[str, float]]:
    if record.model is not None and record.epochs_planned is None:
        return []  # fitted in one go: a point, no curve
    try:
        epochs = finite_figures(read_epochs(Path(record.path) / "metrics.csv"))
    except (OSError, ValueError):
        return []
    return [{str(name): value for name, value in row.dropna().items()} for _, row in epochs.iterrows()]


def _best(group: System[RunRecord]) -> float:
    return fmean(run.val_accuracy or 0.0 for run in group.runs)


def _draw_group(
    axes: Axes,
    group: System[RunRecord],
    rows: Mapping[str, list[dict[str, float]]],
    column: str,
    factor: float,
    style: Mapping[str, Any],
) -> None:
    """The line of the system carries its title as label; what belongs to single seeds has none."""
    curves = {
        run.path: {row["epoch"]: factor * row[column] for row in rows[run.path] if column in row}
        for run in group.runs
    }
    whole = [run for run in group.runs if run.state == "finished"] or list(group.runs)
    epochs = sorted(set.intersection(*(set(curves[run.path]) for run in whole)))
    values = [[curves[run.path][epoch] for run in whole] for epoch in epochs]
    means = [fmean(each) for each in values]
    axes.plot(epochs, means, label=_title(group), linewidth=1.7, **style)
    if len(whole) > 1:
        spread = [stdev(each) for each in values]
        low = [mean - sd for mean, sd in zip(means, spread, strict=True)]
        high = [mean + sd for mean, sd in zip(means, spread, strict=True)]
        axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, linewidth=0, zorder=1)
    for run in group.runs:
        curve = curves[run.path]
        ends = [epoch for epoch in sorted(curve) if run not in whole or epoch >= max(epochs, default=0)]
        if len(group.runs) > 1 and len(ends) > 1:
            thin = {**style, "linewidth": 0.8, "alpha": 0.7}
            axes.plot(ends, [curve[epoch] for epoch in ends], **thin)
    if len(group.runs) == 1:
        best = next((row for row in rows[whole[0].path] if row["epoch"] == whole[0].best_epoch), {})
        if column in best:
            mark = {"markersize": 4.5, "color": style["color"], "zorder": 4, "clip_on": False}
            axes.plot(best["epoch"], factor * best[column], "o", **mark)


def _label_ends(axes: Axes, groups: Sequence[System[RunRecord]]) -> None:
    """Name each curve at the right, in the order of their ends, moved apart where they would overlap."""
    lines = {line.get_label(): line for line in axes.get_lines()}
    bottom, top = axes.get_ylim()
    # Height of a line of text in data units; the axes fill about 3/4 of the picture.
    gap = (top - bottom) * 1.35 * _FONT / (72 * 0.75 * _HEIGHT)
    ends = []
    for group in groups:
        x, y = (np.asarray(data, dtype=float)[-1] for data in lines[_title(group)].get_data())
        ends.append((y, x, _title(group)))
    ends.sort()
    heights: list[float] = []
    for y, _, _ in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    ceiling = top
    for number in reversed(range(len(heights))):
        heights[number] = min(heights[number], ceiling)
        ceiling = heights[number] - gap
    for (y, x, title), height in zip(ends, heights, strict=True):
        ended = x >= axes.get_xlim()[1]
        line = {
            "arrowstyle": "-",
            "color": lines[title].get_color(),
            # Dotted across the picture, where it must not be taken for a curve.
            "linewidth": 1.2 if ended else 0.8,
            "linestyle": "-" if ended else ":",
            "shrinkA": 0,
            "shrinkB": 2,
            "relpos": (0, 0.5),
        }
        axes.annotate(
            title,
            xy=(x, y),
            xytext=(1.06, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=_FONT,
            arrowprops=line,
        )


def _legend(figure: Figure, axes: Axes, groups: Sequence[System[RunRecord]], coloured: int) -> None:
    lines = {line.get_label(): line for line in axes.get_lines()}
    named = [lines[_title(group)] for group in groups[:coloured]]
    names = [_title(group) for group in groups[:coloured]]
    if len(groups) > coloured:
        named.append(lines[_title(groups[coloured])])
        names.append(f"{len(groups) - coloured} others")
    figure.legend(named, names, loc="outside right upper", frameon=False, fontsize=_FONT, handlelength=2.6)


def compare_figure(records: Sequence[RunRecord]) -> Figure:
    """Test accuracy and macro-F1 of each system, best on top, with 95 % intervals.

    Of several seeds: each as a small dot, their mean as a large one, and the mean of their intervals, which
    are over test images and tell nothing of the spread over seeds.

    Raises:
        RunError: No run is evaluated.
    """
    evaluated = [record for record in records if record.test_accuracy is not None]
    if not evaluated:
        first = next((record.name for record in records if record.state == "finished"), "RUN")
        raise RunError(f"none of these runs is evaluated; do so with `landmarkfer evaluate {first}`.")
    groups = sorted(group_runs(evaluated), key=lambda g: fmean(_figures(g, "test_accuracy")))
    mixed = len({(record.test_images, frozenset(record.classes)) for record in evaluated}) > 1
    mixed = mixed or len({record.cache_fingerprint for record in evaluated if record.cache_fingerprint}) > 1
    figure = Figure(figsize=(_WIDTH, 1.5 + (0.42 if mixed else 0.3) * len(groups)), layout="constrained")
    panels: tuple[Axes, Axes] = tuple(figure.subplots(1, 2, sharey=True))
    columns = {"test_accuracy": "test accuracy, %", "macro_f1": "macro-F1, %"}
    for axes, (column, title) in zip(panels, columns.items(), strict=True):
        for row, group in enumerate(groups):
            _draw_row(axes, row, group, column)
        axes.set_title(title, fontsize=10, loc="left")
        _tidy(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.25)
        axes.set_ylim(-0.6, len(groups) - 0.4)
        _round_limits(axes, "x")
    labels = [f"{_title(g)}\n{_test_set(g.runs[0])}" if mixed else _title(g) for g in groups]
    panels[0].set_yticks(range(len(groups)), labels=labels, fontsize=_FONT)
    notes = ["Lines: 95 % intervals"]
    if any(len(group.runs) > 1 for group in groups):
        notes[0] += "; of several seeds (small dots), the means"
    if mixed:
        notes.append("Not all on the same test images")
    left_out = len(records) - len(evaluated)
    if left_out:
        notes.append(f"{counted(left_out, 'run')} not evaluated yet")
    _caption(figure, ". ".join(notes) + ".")
    return figure


def _test_set(record: RunRecord) -> str:
    counts = (counted(record.test_images or 0, "image"), counted(len(record.classes), "class"))
    return ", ".join(filter(None, (record.cache, *counts)))


def _figures(group: System[RunRecord], column: str) -> list[float]:
    return [value for run in group.runs if (value := getattr(run, column)) is not None]


def _draw_row(axes: Axes, row: int, group: System[RunRecord], column: str) -> None:
    values = [100 * value for value in _figures(group, column)]
    if not values:
        return
    intervals = [ends for run in group.runs if (ends := getattr(run, f"{column}_interval")) is not None]
    mean = fmean(values)
    if intervals:
        low, high = (100 * fmean(ends) for ends in zip(*intervals, strict=True))
        axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=1.6, solid_capstyle="butt", zorder=2)
    text = f"{mean:.2f}"
    if len(values) > 1:
        axes.plot(values, [row - 0.27] * len(values), "o", color=GREY, markersize=3, zorder=2)
        text += f" ± {stdev(values):.2f}"
    axes.plot(mean, row, "o", color=COLOURS[0], markersize=6, zorder=3)
    axes.annotate(
        text,
        (1.01, row),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=_FONT,
        annotation_clip=False,
    )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_FONT)


def _round_limits(axes: Axes, which: str) -> None:
    """Let an axis begin and end at a tick; along x a little beyond, so that no interval's end is cut."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = getattr(axes.dataLim, f"interval{which}")
    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    ticks = axis.get_major_locator().tick_values(low, high)
    if which == "y":
        axes.set_ylim(ticks[0], ticks[-1])
    else:
        margin = 0.02 * (ticks[-1] - ticks[0])
        axes.set_xlim(ticks[0] - margin, ticks[-1] + margin)


def _caption(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=_FONT, color="#4a4f57", x=0.01, ha="left")
