"""Pictures of an evaluation: confusions, calibration, and risk over coverage.

Drawn on matplotlib's `Figure` directly, not through pyplot, so that no global state or display is touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.metrics.calibration import BINS, FEWEST, expected_calibration_error, reliability_points
from landmarkfer.metrics.classification import normalised_confusion
from landmarkfer.metrics.few import FEW_IMAGES, is_few
from landmarkfer.metrics.selective import (
    accuracy_at_coverage,
    least_risk,
    risk_intervals,
    risk_over_coverage,
)
from landmarkfer.progress import counted
from landmarkfer.reporting.figures import BLUE, GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RED, DARK = "#c05621", "#1a202c"
BINS_OF_HISTOGRAM = 20
_VISIBLE = 0.1
"""Coverage from which on an interval of the risk is all inside the axes."""


def draw_confusion(path: Path, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Two panels: counts `[C, C]`, and percent of the true class, by which both are shaded.

    Each class has its number of images; classes of few images are marked.
    """
    from matplotlib.figure import Figure

    size = max(4.2, 0.72 * len(classes) + 0.9)
    figure = Figure(figsize=(2 * size + 1.2, size), layout="constrained")
    left, right = figure.subplots(1, 2)
    share, images = normalised_confusion(counts), counts.sum(axis=1)
    accuracy = np.trace(counts) / counts.sum()
    marks = ["*" if is_few(n) else "" for n in images]
    rows = [f"{name}\nn = {n:,}{mark}" for name, n, mark in zip(classes, images, marks, strict=True)]
    percents = [
        ["–" if np.isnan(s) else f"{100 * s:.1f}{mark}" for s in row]
        for row, mark in zip(share, marks, strict=True)
    ]
    _draw_matrix(left, [[f"{n:,}" for n in row] for row in counts], share, rows, classes)
    _draw_matrix(right, percents, share, rows, classes)
    left.set_title(f"Images: {counts.sum():,}, {100 * accuracy:.2f} % correct")
    right.set_title("Percent of the true class")
    if any(marks):
        figure.supxlabel(
            f"* fewer than {FEW_IMAGES} images of the class: percentages are rough", fontsize="medium", x=0.5
        )
    _save(figure, path)


def _draw_matrix(
    axes: "Axes",
    texts: list[list[str]],
    share: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
) -> None:
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.nan_to_num(share[i, j]) > 0.55
            axes.text(j, i, text, ha="center", va="center", color="white" if dark else DARK)
    ticks = range(len(rows))
    axes.set_xticks(ticks, labels=list(columns), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels=list(rows))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    # White lines between the cells.
    axes.set_xticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color(GREY)


def draw_reliability(
    path: Path,
    confidence: ArrayLike,
    correct: ArrayLike,
    before: ArrayLike | None = None,
    groups: NDArray[np.int64] | None = None,
) -> "Figure":
    """Accuracy over mean confidence, a point for each bin, and how many images have which confidence.

    Args:
        path: PNG.
        confidence: `[N]`, the probability of the predicted class.
        correct: Bool `[N]`.
        before: `[N]`, the confidence before calibration.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`: intervals are then
            over groups.

    Returns:
        What was drawn.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 6.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    points = reliability_points(confidence, correct, groups)
    errors = np.stack([points["accuracy"] - points["low"], points["high"] - points["accuracy"]])
    images = len(np.asarray(confidence))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="perfectly calibrated")
    upper.errorbar(
        points["confidence"], points["accuracy"], np.maximum(errors, 0), fmt="o", color=BLUE, markersize=6,
        elinewidth=1.6, capsize=3, label=f"accuracy of a bin of confidence, 95 % interval{_over(groups)}",
    )  # fmt: skip
    title = f"Expected calibration error {100 * expected_calibration_error(confidence, correct):.2f} %"
    if before is not None:
        earlier = reliability_points(before, correct, groups)
        upper.plot(
            earlier["confidence"], earlier["accuracy"], "D", color=RED, markerfacecolor="none", markersize=7,
            markeredgewidth=1.4, label="before calibration",
        )  # fmt: skip
        title += f"; before calibration {100 * expected_calibration_error(before, correct):.2f} %"
    upper.set_ylabel("accuracy")
    upper.set_ylim(-0.02, 1.02)
    upper.set_xlim(0, 1.02)
    upper.set_title(title, fontsize="medium")
    lower.hist(
        np.asarray(confidence, float), np.linspace(0, 1, BINS_OF_HISTOGRAM + 1), color=GREY, edgecolor="white"
    )
    lower.yaxis.get_major_locator().set_params(integer=True, nbins=4)
    lower.set_ylabel("images")
    lower.set_xlabel(
        f"confidence of the predicted class (n = {images:,}; {BINS} bins of equal width,\n"
        f"those of fewer than {FEWEST} images joined with the next)"
    )
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", frameon=False, fontsize="small", handlelength=2.4)
    _save(figure, path)
    return figure


def draw_class_reliability(
    path: Path,
    probabilities: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    groups: NDArray[np.int64] | None = None,
) -> "Figure":
    """How frequent each class is over its probability, a panel for each class.

    Args:
        path: PNG.
        probabilities: `[N, C]`.
        labels: int `[N]`, below C.
        classes: C names.
        groups: See `draw_reliability`.

    Returns:
        What was drawn.
    """
    from matplotlib.figure import Figure

    p, y = np.asarray(probabilities, float), np.asarray(labels)
    columns = min(4, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(2.5 * columns, 2.75 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(panels.ravel()):
        if number >= len(classes):
            axes.set_visible(False)
            continue
        true = y == number
        points = reliability_points(np.minimum(p[:, number], 1), true, groups)
        errors = np.stack([points["accuracy"] - points["low"], points["high"] - points["accuracy"]])
        first = number == 0
        axes.plot(
            [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated" if first else None
        )
        axes.errorbar(
            points["confidence"], points["accuracy"], np.maximum(errors, 0), fmt="o", color=BLUE,
            markersize=4, elinewidth=1.2, capsize=2,
            label=f"a bin, 95 % interval{_over(groups)}" if first else None,
        )  # fmt: skip
        mark = "*" if is_few(int(true.sum())) else ""
        axes.set_title(f"{classes[number]}, n = {true.sum():,}{mark}", fontsize="medium")
        # In the corner that calibrated points leave free.
        axes.text(
            1.0, 0.02, f"share {100 * true.mean():.1f} %\nexpected {100 * p[:, number].mean():.1f} %",
            ha="right", va="bottom", fontsize="small", color=DARK, transform=axes.transAxes,
        )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xticks([0, 0.5, 1])
        axes.tick_params(labelbottom=number + columns >= len(classes))
        axes.spines[["top", "right"]].set_visible(False)
        if number % columns == 0:
            axes.set_ylabel("frequency of the class")
        if number + columns >= len(classes):
            axes.set_xlabel("probability of the class")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    _save(figure, path)
    return figure


def draw_risk_coverage(
    path: Path, confidence: ArrayLike, correct: ArrayLike, groups: NDArray[np.int64] | None = None
) -> "Figure":
    """Errors among the images that are answered, over how many are, the most confident first.

    The interval is of the risk at each coverage by itself.

    Args:
        path: PNG.
        confidence: `[N]`, the probability of the predicted class.
        correct: Bool `[N]`.
        groups: Int `[N]`, the number of each image's group, from `groups.group_numbers`: intervals are then
            over groups.

    Returns:
        What was drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    risk, best = 100 * risk_over_coverage(confidence, correct), 100 * least_risk(correct)
    images = len(risk)
    answered = 100 * np.arange(1, images + 1) / images
    steps, ends = risk_intervals(confidence, correct, groups)
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        100 * steps / images, *(100 * ends.T), color=BLUE, alpha=0.18, linewidth=0,
        label=f"95 % interval{_over(groups)}, at each coverage",
    )  # fmt: skip
    axes.axhline(risk[-1], color=GREY, linestyle="--", linewidth=1.2, label="in random order")
    axes.plot(answered, risk, color=BLUE, linewidth=2, label="highest confidence first")
    axes.plot(answered, best, color=DARK, linestyle=":", label="best possible: all errors last")
    for share in (0.5, 0.8, 1.0):
        error = 100 * (1 - accuracy_at_coverage(confidence, correct, share))
        # A share that is no whole number of images is that of the next higher one.
        place = answered[np.searchsorted(answered, 100 * share - 1e-6)]
        axes.plot(place, error, "o", color=BLUE, markersize=5)
        text = axes.annotate(
            f"{error:.1f} %", (place, error), (-4, 7), textcoords="offset points", ha="right", color=BLUE
        )
        text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    wide = 100 * ends[steps >= max(1, int(_VISIBLE * images))]
    top = max(1.12 * float(risk.max()), float(wide.max()), 1.0)
    axes.set_xlim(0, 102)
    axes.set_ylim(-0.02 * top, 1.04 * top)
    axes.set_xlabel(f"images answered, % (n = {images:,})")
    axes.set_ylabel("errors among those answered, %")
    axes.set_title(f"Area under the curve {risk.mean():.2f} %, best possible {best.mean():.2f} %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small", handlelength=2.4)
    _save(figure, path)
    return figure


def _over(groups: NDArray[np.int64] | None) -> str:
    """What intervals are over, where it is not images."""
    return "" if groups is None else f" over {counted(int(groups.max()) + 1, 'group')}"


def _save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15)
