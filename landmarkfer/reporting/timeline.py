"""The timeline of a video as a picture: smoothed probabilities of each face over time, gaps and cuts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landmarkfer.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_TRACKS = 6
"""Faces that are drawn, those of the most frames."""
MOST_POINTS = 1500
"""Points in time; of more frames, means are drawn."""
# By Okabe and Ito, distinguishable without full colour vision; the last one for classes beyond them.
COLOURS = ("#d55e00", "#009e73", "#9b6bb3", "#e8b500", "#0072b2", "#f2a7c3", "#b8c0cc", "#56b4e9", "#333333")
_PREFIX = "smoothed_"


def write_timeline_figure(table: Path, picture: Path) -> None:
    """Draw a `timeline.csv`.

    Args:
        table: The file.
        picture: Where to.
    """
    columns = pd.read_csv(table, nrows=0).columns
    classes = [
        name.removeprefix(_PREFIX)
        for name in columns
        if name.startswith(_PREFIX) and name != "smoothed_label"
    ]
    wanted = ["time_s", "track", "cut", *(_PREFIX + name for name in classes)]
    frame = pd.read_csv(table, usecols=wanted)
    figure = timeline_figure(frame, classes)
    with replacing(picture) as path:
        figure.savefig(path, dpi=110, format="png")


def timeline_figure(frame: pd.DataFrame, classes: list[str]) -> "Figure":
    """The probabilities of each track over time, one above the other, as a Matplotlib figure.

    Args:
        frame: Rows of a timeline: `time_s`, `track`, `cut`, and `smoothed_<class>` for each class.
        classes: Names, in the order in which they are stacked.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    counts = frame["track"].value_counts()
    tracks = sorted(counts.index[:MOST_TRACKS].astype(int))
    figure = Figure(figsize=(11, 1.1 + 1.5 * max(1, len(tracks))), layout="constrained")
    rows: Any = figure.subplots(max(1, len(tracks)), 1, sharex=True, squeeze=False)[:, 0]
    times = frame["time_s"].to_numpy()
    step = float(np.median(np.diff(np.unique(times)))) if len(np.unique(times)) > 1 else 1.0
    cuts = frame.loc[frame["cut"].astype(bool), "time_s"].unique()
    for axes, track in zip(rows, tracks, strict=False):
        own = _binned(frame[frame["track"] == track], classes, times)
        apart = max(1.6 * step, 1.6 * (times.max() - times.min()) / MOST_POINTS)
        for part in _stretches(own, apart):
            left, right = part["time_s"].to_numpy() - step / 2, part["time_s"].to_numpy() + step / 2
            edges = np.append(left, right[-1])  # a lone frame has a width too
            values = part[[_PREFIX + name for name in classes]].to_numpy().T
            axes.stackplot(
                edges, np.column_stack([values, values[:, -1]]), step="post", colors=_colours(classes), lw=0
            )
        axes.set_ylabel(f"face {track}", rotation=0, ha="right", va="center")
        axes.set(ylim=(0, 1), yticks=(0, 0.5, 1), yticklabels=("0", "", "1"))
    for axes in rows:
        axes.set_xlim(times.min() - step / 2, times.max() + step / 2)
        axes.set_facecolor("#f1f3f6")
        for cut in cuts:
            axes.axvline(cut - step / 2, color="#1a202c", lw=0.9, ls=(0, (3, 2)))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if not tracks:
        rows[0].text(0.5, 0.5, "no face was found", transform=rows[0].transAxes, ha="center", va="center")
        rows[0].set_yticks([])
    rows[-1].set_xlabel("seconds" + (", dashed: cuts" if len(cuts) else ""))
    more = len(counts) - len(tracks)
    if more > 0:
        rows[0].set_title(
            f"{len(tracks)} of {len(counts)} faces, those of the most frames", loc="left", size=9
        )
    handles = [
        Patch(color=colour, label=name) for name, colour in zip(classes, _colours(classes), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(classes), frameon=False, fontsize=9)
    return figure


def _binned(own: pd.DataFrame, classes: list[str], times: np.ndarray) -> pd.DataFrame:
    """A track's rows, or their means over stretches of time where there are very many."""
    if len(own) <= MOST_POINTS:
        return own
    width = (times.max() - times.min()) / MOST_POINTS
    number = ((own["time_s"] - times.min()) // width).astype(int)
    return own[["time_s", *(_PREFIX + name for name in classes)]].groupby(number).mean()


def _stretches(own: pd.DataFrame, apart: float) -> list[pd.DataFrame]:
    """Parts of a track between which it has no face for longer than frames are apart."""
    starts = np.flatnonzero(np.diff(own["time_s"].to_numpy()) > apart) + 1
    return [own.iloc[start:stop] for start, stop in zip([0, *starts], [*starts, len(own)], strict=True)]


def _colours(classes: list[str]) -> list[str]:
    return [COLOURS[min(number, len(COLOURS) - 1)] for number in range(len(classes))]
