"""Pictures of where two systems differ, from rows with `differences.DIFFERENCE_COLUMNS`.

What is the first system's is blue, what is the second's orange. Figures are in percent of the images, and
differences in points, the first system's minus the second's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landmarkfer.evaluation.compare.statistics import differences_in, points_text
from landmarkfer.reporting.figures import BLUE, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

ORANGE, INK, FAINT = "#c05621", "#1a202c", "#e2e8f0"
LEVEL = 0.05
"""Corrected p below which a difference is drawn full."""
_SYSTEMS = (("first", BLUE), ("second", ORANGE))
_SMALL = 8
_COLUMN = 32  # points, of figures beside the axes
_SMALLEST = 0.1  # share of the largest slice from which a slice has a say in where the axes end


def draw_differences(path: Path, rows: pd.DataFrame, names: Sequence[str], classes: Sequence[str]) -> None:
    """Differences of recall with intervals, and the change in the confusion matrix.

    Args:
        path: PNG.
        rows: All rows of `confusion_differences`.
        names: What the first and the second system are called.
        classes: In the order of the matrix.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    size = max(3.9, 0.56 * len(classes) + 1.0)
    figure = Figure(figsize=(2 * size + 2.6, size + 0.75), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    recalls = rows[(rows["part"] == "class") & (rows["metric"] == "recall")].sort_values("difference")
    whole = rows[(rows["part"] == "all") & (rows["metric"] == "accuracy")]
    drawn = pd.concat([whole.assign(name="all, accuracy"), recalls])
    places = [-0.5, *range(1, len(recalls) + 1)]  # all images stand apart
    _draw_intervals(left, drawn, places)
    left.axhline(0.25, color=GREY, linewidth=0.8)
    left.set_yticks(places, labels=_labels(drawn["name"], drawn["images"]))
    left.set_ylim(-1.1, len(recalls) + 0.6)
    _write_columns(left, drawn, places)
    _beside(left, len(recalls) + 0.75, 2 * _COLUMN, "recall, %", ha="right", color=GREY)
    left.set_title("recall, difference in points", fontsize=10, loc="left")

    matrix = pd.DataFrame(np.nan, index=list(classes), columns=list(classes))
    full = pd.DataFrame(False, index=list(classes), columns=list(classes))
    predicted = rows[rows["part"] == "predicted"]
    for one in differences_in(pd.concat([recalls.assign(other=recalls["name"]), predicted])):
        matrix.loc[one.name, one.other] = 100 * one.difference
        full.loc[one.name, one.other] = one.p_holm < LEVEL
    values = matrix.to_numpy()
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0)))
    colours = LinearSegmentedColormap.from_list("systems", [ORANGE, "white", BLUE])
    shown = right.imshow(values, cmap=colours, vmin=-limit, vmax=limit)
    for (i, j), value in np.ndenumerate(values):
        significant = bool(full.iloc[i, j])
        right.text(
            j,
            i,
            "–" if np.isnan(value) else _signed(value / 100),
            ha="center",
            va="center",
            fontsize=_SMALL + 0.5,
            fontweight="bold" if significant else "normal",
            color="white" if abs(value) > 0.7 * limit else INK,
        )
        if i == j:
            right.add_patch(_frame(j, i))
    ticks = range(len(classes))
    right.set_xticks(ticks, labels=list(classes), rotation=45, ha="right", rotation_mode="anchor")
    right.set_yticks(ticks, labels=list(classes))
    right.set_xlabel("predicted")
    right.set_ylabel("true")
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    right.set_title("confusion rate (share of the true class), difference in points", fontsize=10, loc="left")
    bar = figure.colorbar(shown, ax=right, shrink=0.75, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_SMALL)
    _name_systems(figure, names)
    _caption(
        figure,
        "Images in brackets. Lines: 95 % bootstrap intervals. Filled dots and bold numbers: "
        "p < 0.05 by permutation, after Holm's correction. Framed: correct predictions.",
    )
    figure.savefig(path, format="png", dpi=160)


def draw_slices(path: Path, rows: pd.DataFrame, names: Sequence[str]) -> None:
    """Accuracy of both systems, and its difference, in each slice.

    Args:
        path: PNG.
        rows: All rows of `slice_differences`, of one slice at least.
        names: What the first and the second system are called.
    """
    from matplotlib.figure import Figure

    slices, trends = (rows[rows["part"] == part] for part in ("slice", "trend"))
    places, heads = [], {}
    height = 0.0
    for name, group in slices.groupby("name", sort=False):
        heads[str(name)] = height
        places += [height + 0.95 + number for number in range(len(group))]
        height += len(group) + 1.45
    figure = Figure(figsize=(10.5, 1.25 + 0.235 * height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    large = slices[slices["images"] >= _SMALLEST * slices["images"].max()]
    ends = _ends(100 * large[["first", "second"]])
    for place, first, second in zip(places, slices["first"], slices["second"], strict=True):
        drawn = np.clip([100 * first, 100 * second], *ends)
        left.plot(drawn, [place] * 2, color=GREY, linewidth=1, zorder=1)
        for x, value, colour in ((drawn[1], second, ORANGE), (drawn[0], first, BLUE)):
            left.plot(x, place, _marker(100 * value, ends), color=colour, markersize=6, mew=0, clip_on=False)
    left.set_xlim(*ends)
    ends = _ends(100 * large[["low", "high"]].assign(zero=0.0))
    _draw_intervals(right, slices, places, ends)
    right.set_xlim(*ends)
    _write_columns(right, slices, places, differences=True)
    for axes in (left, right):
        _tidy(axes)
    left.set_yticks(places, labels=_labels(slices["other"].str.replace("-", "−"), slices["images"]))
    left.set_ylim(height - 0.4, -0.7)
    for name, head in heads.items():
        left.annotate(
            name,
            (-0.02, head),
            xycoords=left.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=9,
            fontweight="bold",
            annotation_clip=False,
        )
    for one in differences_in(trends):
        bold = "bold" if one.p_holm < LEVEL else "normal"
        change, low, high = (_signed(value) for value in (one.difference, one.low, one.high))
        text = f"last − first:\n{change} ({low} to {high})"
        _beside(right, heads[one.name] + 0.95, 3 * _COLUMN + 12, text, fontweight=bold)
    left.set_title("accuracy, %", fontsize=10, loc="left")
    right.set_title("difference, points", fontsize=10, loc="left")
    _name_systems(figure, names)
    _caption(
        figure,
        "Images in brackets. Lines: 95 % bootstrap intervals. Filled dots, bold text: p < 0.05 "
        "by permutation, after Holm's correction.\nTriangles: small slices beyond the axis. Last − first: "
        "how much the difference changes from the first slice to the last.",
    )
    figure.savefig(path, format="png", dpi=160)


def _draw_intervals(
    axes: "Axes", rows: pd.DataFrame, places: Sequence[float], ends: tuple[float, float] = (-np.inf, np.inf)
) -> None:
    """Dots with intervals in points, in the colour of the higher system; full where they do differ."""
    for place, one in zip(places, differences_in(rows), strict=True):
        colour = GREY if one.difference == 0 else BLUE if one.difference > 0 else ORANGE
        face = colour if one.p_holm < LEVEL else "white"
        middle, low, high = (100 * value for value in (one.difference, one.low, one.high))
        axes.plot(np.clip([low, high], *ends), [place] * 2, color=colour, linewidth=1.6, zorder=2)
        style: dict[str, Any] = {"mfc": face, "mec": colour, "mew": 1.5, "markersize": 6.5, "zorder": 3}
        axes.plot(np.clip(middle, *ends), place, _marker(middle, ends), clip_on=False, **style)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    axes.margins(x=0.06)
    _tidy(axes)


def _tidy(axes: "Axes") -> None:
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SMALL + 1)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _write_columns(
    axes: "Axes", rows: pd.DataFrame, places: Sequence[float], *, differences: bool = False
) -> None:
    """The figures of both systems, and their differences if wanted, at the right of the axes."""
    for place, one in zip(places, differences_in(rows), strict=True):
        texts = [(f"{100 * getattr(one, column):.1f}", colour) for column, colour in _SYSTEMS]
        if differences:
            texts.append((_signed(one.difference), INK))
        for number, (text, colour) in enumerate(texts):
            _beside(axes, place, _COLUMN * (number + 1), text, ha="right", color=colour)


def _beside(axes: "Axes", place: float, right: float, text: str, **style: Any) -> None:
    """Text beside the axes, `right` points from their right end."""
    axes.annotate(
        text,
        (1, place),
        xycoords=axes.get_yaxis_transform(),
        xytext=(right, 0),
        textcoords="offset points",
        **{"va": "center", "fontsize": _SMALL, "annotation_clip": False, **style},
    )


def _ends(values: pd.DataFrame) -> tuple[float, float]:
    """Ends of an axis that holds some percentages, with a margin."""
    low, high = float(values.to_numpy().min()), float(values.to_numpy().max())
    margin = 0.06 * max(high - low, 1.0)
    return low - margin, high + margin


def _marker(value: float, ends: tuple[float, float]) -> str:
    """A dot inside the axis, a triangle that points to what lies beyond it."""
    return "<" if value < ends[0] else ">" if value > ends[1] else "o"


def _signed(fraction: float) -> str:
    return points_text(fraction).replace("-", "−")


def _labels(names: pd.Series, images: pd.Series) -> list[str]:
    return [f"{name}  ({number:,})" for name, number in zip(names, images, strict=True)]


def _frame(x: int, y: int) -> "Rectangle":
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.8)


def _name_systems(figure: "Figure", names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    dots = [Line2D([], [], marker="o", linestyle="", color=colour) for _, colour in _SYSTEMS]
    figure.legend(
        dots, list(names), loc="outside upper left", ncols=2, frameon=False, fontsize=10, handletextpad=0.1
    )


def _caption(figure: "Figure", text: str) -> None:
    figure.supxlabel(text, fontsize=_SMALL, color="#4a4f57", x=0.01, ha="left")
