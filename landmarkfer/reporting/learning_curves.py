"""Learning curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landmarkfer.files import replacing
from landmarkfer.runs.metrics_table import lower_is_better

TRAINING, VALIDATION, MAJORITY = "#7a8ca5", "#c3202f", "#4a4a4a"


def draw_curves(
    epochs: pd.DataFrame,
    path: Path,
    title: str,
    monitor: str = "val_accuracy",
    class_counts: Sequence[int] | NDArray[np.int64] | None = None,
) -> None:
    """Loss and accuracy by epoch, training and validation, with the epoch marked whose weights are stored.

    Args:
        epochs: The table of `callbacks.EpochTable`.
        path: PNG to write.
        title: Above the picture.
        monitor: The column that chose the epoch: the lowest loss, or the highest of anything else.
        class_counts: Validation images of each class, `[C]`. The share of the most frequent class is then
            drawn: the accuracy of a model that predicts nothing else.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    loss, accuracy = figure.subplots(1, 2)
    for axes, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for part, label, colour in (("train", "training", TRAINING), ("val", "validation", VALIDATION)):
            _draw(axes, epochs, f"{part}_{name}", factor, label=label, color=colour)
        axes.set_xlabel("epoch")
        _whole_epochs(axes, epochs["epoch"])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy, %")
    label = "validation, balanced accuracy"
    _draw(accuracy, epochs, "val_balanced_accuracy", 100, label=label, color=VALIDATION, linewidth=0.8)
    if class_counts is not None and np.sum(class_counts) > 0:
        _draw_majority(accuracy, 100 * float(np.max(class_counts) / np.sum(class_counts)))
    values = epochs[monitor]
    best = epochs.iloc[int(values.argmin() if lower_is_better(monitor) else values.argmax())]
    loss.plot(best["epoch"], best["val_loss"], "o", color=VALIDATION)
    accuracy.plot(best["epoch"], 100 * best["val_accuracy"], "o", color=VALIDATION)
    # Above the axes: beside the point it would lie on a line.
    stored = f"stored: epoch {best['epoch']:.0f}, {best['val_accuracy']:.1%}"
    accuracy.set_title(stored, fontsize=9, color=VALIDATION, loc="right")
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=3, loc="outside lower center", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _draw(axes: Axes, epochs: pd.DataFrame, column: str, factor: float, **style: object) -> None:
    """A line, or a mark where there is one epoch, which makes no line."""
    marker = "_" if column == "val_balanced_accuracy" else "."
    style |= {"marker": marker, "markersize": 9} if len(epochs) == 1 else {}
    axes.plot(epochs["epoch"], factor * epochs[column], **style)  # type: ignore[arg-type]


def _draw_majority(axes: Axes, percent: float) -> None:
    """A level line, with its name beside the axes, where no curve goes."""
    axes.axhline(percent, color=MAJORITY, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    axes.annotate(
        f"most frequent\nclass alone:\n{percent:.1f} %",
        (1, percent),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=MAJORITY,
    )


def _whole_epochs(axes: Axes, epochs: pd.Series) -> None:
    """Ticks at whole epochs, also where there are one, two or three."""
    first, last = float(epochs.min()), float(epochs.max())
    margin = max(0.5, 0.02 * (last - first)) if last - first < 3 else 0.02 * (last - first)
    axes.set_xlim(max(first - margin, 0.5), last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
