"""Pictures of evaluations, searches and comparisons.

Drawn on matplotlib's `Figure` directly, not through pyplot, so that no global state or display is touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from landmarkfer.metrics.calibration import calibration_error
from landmarkfer.metrics.classification import normalised_confusion
from landmarkfer.metrics.selective import accuracy_at_coverage, least_risk, risk_over_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, RED = "#2b6cb0", "#8a8f98", "#c05621"


def draw_confusion(path: Path, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Two panels: counts `[C, C]`, and percent of the true class, by which both are shaded."""
    from matplotlib.figure import Figure

    size = max(4.2, 0.72 * len(classes) + 0.9)
    figure = Figure(figsize=(2 * size + 0.8, size), layout="constrained")
    left, right = figure.subplots(1, 2)
    share = normalised_confusion(counts)
    accuracy = np.trace(counts) / counts.sum()
    _draw_matrix(left, [[f"{n:,}" for n in row] for row in counts], share, classes)
    _draw_matrix(
        right,
        [["–" if np.isnan(s) else f"{100 * s:.1f}" for s in row] for row in share],
        share,
        classes,
    )
    left.set_title(f"Images: {counts.sum():,}, {100 * accuracy:.2f} % right")
    right.set_title("Percent of the true class")
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)


def _draw_matrix(
    axes: "Axes", texts: list[list[str]], share: NDArray[np.float64], classes: Sequence[str]
) -> None:
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.nan_to_num(share[i, j]) > 0.55
            axes.text(j, i, text, ha="center", va="center", color="white" if dark else "#1a202c")
    ticks = range(len(classes))
    axes.set_xticks(ticks, labels=list(classes), rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, labels=list(classes))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    # White lines between the cells.
    axes.set_xticks(np.arange(1, len(classes)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(classes)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color(GREY)


def draw_reliability(path: Path, table: pd.DataFrame, before: pd.DataFrame | None = None) -> None:
    """Accuracy and frequency of each bin of confidence.

    Args:
        path: PNG.
        table: Of `calibration.reliability_table`.
        before: The same of the probabilities before they were tempered.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    used = table[table["count"] > 0]
    width = float(table["upper"].iloc[0] - table["lower"].iloc[0])
    middle = (used["lower"] + used["upper"]) / 2
    upper.bar(middle, used["accuracy"], width=0.92 * width, color=BLUE, alpha=0.75, label="accuracy")
    upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="perfectly calibrated")
    upper.plot(
        used["confidence"], used["accuracy"], "o", color="#1a202c", markersize=4, label="mean confidence"
    )
    title = f"Expected calibration error {100 * calibration_error(table):.2f} %"
    if before is not None:
        curve = before[before["count"] > 0]
        upper.plot(
            curve["confidence"], curve["accuracy"], "o-", color=RED, markersize=3, linewidth=1.2,
            label="before tempering",
        )  # fmt: skip
        title += f", before tempering {100 * calibration_error(before):.2f} %"
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    upper.legend(loc="upper left", frameon=False)
    upper.set_title(title, fontsize="medium")
    lower.bar(middle, 100 * used["count"] / used["count"].sum(), width=0.92 * width, color=GREY)
    lower.set_ylabel("% of images")
    lower.set_xlabel("confidence of the predicted class")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)


def draw_risk_coverage(path: Path, confidence: ArrayLike, correct: ArrayLike) -> None:
    """Errors among the images that are answered, over how many are, the most confident first.

    Args:
        path: PNG.
        confidence: `[N]`, the probability of the predicted class.
        correct: Bool `[N]`.
    """
    from matplotlib.figure import Figure

    risk, best = 100 * risk_over_coverage(confidence, correct), 100 * least_risk(correct)
    answered = 100 * np.arange(1, len(risk) + 1) / len(risk)
    figure = Figure(figsize=(6.2, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(risk[-1], color=GREY, linestyle="--", linewidth=1.2, label="leaving images out at random")
    axes.plot(answered, risk, color=BLUE, linewidth=2, label="leaving out those it is least sure of")
    axes.plot(
        answered, best, color="#1a202c", linestyle=":", label="the best possible: leaving out its errors"
    )
    for share in (0.5, 0.8, 1.0):
        error = 100 * (1 - accuracy_at_coverage(confidence, correct, share))
        axes.plot(100 * share, error, "o", color=BLUE, markersize=5)
        axes.annotate(
            f"{error:.1f} %",
            (100 * share, error),
            (-3, 6),
            textcoords="offset points",
            ha="right",
            color=BLUE,
        )
    axes.set_xlim(0, 102)
    axes.set_ylim(0, 1.45 * max(float(risk[-1]), 1.0))  # room for the legend
    axes.set_xlabel("images answered, %")
    axes.set_ylabel("errors among those answered, %")
    axes.set_title(f"Area under the curve {risk.mean():.2f} %, the best possible {best.mean():.2f} %")
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)


def draw_search(
    path: Path, trials: pd.DataFrame, metric: str, keys: Sequence[str], logarithmic: Sequence[str] = ()
) -> None:
    """The course of a search, and the metric over each setting that was searched.

    Args:
        path: PNG to write.
        trials: Columns `trial`, `state` (`complete`, `pruned`, `fail`), `value`, and one per key.
        metric: What `value` is.
        keys: The settings.
        logarithmic: Those whose axis is logarithmic.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(3.4 * max(columns, 2), 3 + 2.6 * rows), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(3, 2.6 * rows))[:, 0]
    ended = trials.dropna(subset=["value"])
    complete = ended[ended["state"] == "complete"]
    pruned = ended[ended["state"] == "pruned"]
    best = complete["value"].cummin() if metric.endswith("loss") else complete["value"].cummax()
    course = upper.subplots()
    course.step(complete["trial"], best, where="post", color=BLUE, linewidth=1.5, label="best so far")
    course.set_xlabel("trial")
    course.set_ylabel(metric)
    panels = lower.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, key in zip(panels, keys, strict=False):
        axes.set_xlabel(key)
        if key in logarithmic:
            axes.set_xscale("log")
    for axes in panels[len(keys) :]:
        axes.set_visible(False)
    for axes, key in ((course, "trial"), *zip(panels, keys, strict=False)):
        text = not pd.api.types.is_numeric_dtype(ended[key])
        for some, colour, label in ((pruned, GREY, "stopped early"), (complete, "#1a202c", "complete")):
            axes.plot(
                some[key].astype(str) if text else some[key],
                some["value"],
                "o",
                color=colour,
                markersize=4,
                alpha=0.7,
                label=label,
            )
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    course.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=130)


def draw_comparison(path: Path, results: pd.DataFrame, baseline: str) -> None:
    """Test accuracy of each system: a dot for each seed, a bar for their mean; a line at the baseline's mean.

    Args:
        path: PNG.
        results: Rows with `results.RESULT_COLUMNS`, of which the accuracy on all test images is drawn.
        baseline: The experiment whose mean is drawn through.
    """
    from matplotlib.figure import Figure

    drawn = results[(results["subset"] == "test") & (results["metric"] == "accuracy")]
    names = list(dict.fromkeys(drawn["experiment"]))[::-1]
    figure = Figure(figsize=(7.5, 0.9 + 0.34 * len(names)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        values = 100 * drawn.loc[drawn["experiment"] == name, "value"].to_numpy()
        axes.plot([values.mean()] * 2, [place - 0.28, place + 0.28], color=BLUE, linewidth=2.5)
        axes.plot(values, np.full(len(values), place), "o", color=BLUE, alpha=0.45, markersize=5, mew=0)
        spread = f" ± {values.std(ddof=1):.2f}" if len(values) > 1 else ""
        axes.text(
            1.02, place, f"{values.mean():.2f}{spread}", transform=axes.get_yaxis_transform(), va="center"
        )
        if name == baseline:
            axes.axvline(values.mean(), color=GREY, linewidth=1, linestyle="--", zorder=0)
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.margins(x=0.06)
    axes.set_xlabel("accuracy over all test images, %")
    axes.grid(axis="x", color="#e2e8f0", linewidth=0.8)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png", dpi=150)
