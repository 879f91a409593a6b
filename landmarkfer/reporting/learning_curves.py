"""Learning curves as a picture."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landmarkfer.files import replacing


def draw_curves(epochs: pd.DataFrame, path: Path, title: str, monitor: str = "val_accuracy") -> None:
    """Loss and accuracy by epoch, training and validation, with the epoch marked whose weights are stored.

    Args:
        epochs: The table of `callbacks.EpochTable`.
        path: PNG to write.
        title: Above the picture.
        monitor: The column that chose the epoch: the lowest loss, or the highest of anything else.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    loss, accuracy = figure.subplots(1, 2)
    for axes, name, factor in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for part, label, colour in (("train", "training", "#7a8ca5"), ("val", "validation", "#c3202f")):
            values = factor * epochs[f"{part}_{name}"]
            # One epoch makes no line.
            axes.plot(epochs["epoch"], values, "." if len(epochs) == 1 else "-", label=label, color=colour)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy, %")
    values = epochs[monitor]
    best = epochs.iloc[int(values.argmin() if monitor.endswith("loss") else values.argmax())]
    accuracy.plot(best["epoch"], 100 * best["val_accuracy"], "o", color="#c3202f")
    # Above the axes: beside the point it would lie on a line.
    stored = f"stored: epoch {best['epoch']:.0f}, {best['val_accuracy']:.1%}"
    accuracy.set_title(stored, fontsize=9, color="#c3202f", loc="right")
    loss.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
