"""Learning curves as a picture."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

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
        axes.plot(epochs["epoch"], factor * epochs[f"train_{name}"], label="training", color="#7a8ca5")
        axes.plot(epochs["epoch"], factor * epochs[f"val_{name}"], label="validation", color="#c3202f")
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    loss.set_ylabel("loss")
    accuracy.set_ylabel("accuracy, %")
    values = epochs[monitor]
    best = epochs.iloc[int(values.argmin() if monitor.endswith("loss") else values.argmax())]
    accuracy.plot(best["epoch"], 100 * best["val_accuracy"], "o", color="#c3202f")
    accuracy.annotate(
        f"{best['val_accuracy']:.1%}",
        (best["epoch"], 100 * best["val_accuracy"]),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=9,
    )
    accuracy.margins(y=0.15)
    loss.legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)
