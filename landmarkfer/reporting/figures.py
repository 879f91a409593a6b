"""Pictures of searches and comparisons.

Drawn on matplotlib's `Figure` directly, not through pyplot, so that no global state or display is touched.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from landmarkfer.runs.metrics_table import lower_is_better

BLUE, GREY = "#2b6cb0", "#8a8f98"


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
    best = complete["value"].cummin() if lower_is_better(metric) else complete["value"].cummax()
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
