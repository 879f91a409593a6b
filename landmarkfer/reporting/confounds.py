"""A picture of the confounds of a cache: how much each feature explains, and the strongest ones by class.

Drawn on matplotlib's `Figure` directly, not through pyplot, so that no global state or display is touched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landmarkfer.data.confounds.report import ALPHA, FLOOR, Confound, Confounds
from landmarkfer.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 2
"""Features at most whose values are drawn by class."""
_VALUES = 6  # values of a feature at most that are drawn apart
# Of their own, since `reporting.figures` needs scikit-learn, which inspection does without.
_STRONG, _WEAK = "#2b6cb0", "#8a8f98"
_COLOURS = ("#2b6cb0", "#dd8a34", "#4c9f70", "#b83280", "#7f9cd8", "#a08030")
_RANGES = ("#1f3c66", "#2b6cb0", "#6ea8dc", "#e8b27a", "#dd8a34", "#a9561a")  # from low to high
_REST = "#d5d9df"
_LIGHT = (_REST, "#e8b27a")
_INK = "#1a202c"


def write_confounds(found: Confounds, path: Path, name: str) -> None:
    """Draw the confounds and write them as a picture; the suffix of `path` chooses the format.

    Args:
        found: What was found.
        path: File to write or replace.
        name: Of the cache, for the title.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    strongest = (found.strongest or found.found)[:SHOWN]
    classes = list(strongest[0].counts[strongest[0].fact.value]) if strongest else []
    heights = [0.9 + 0.34 * max(len(found.found), 1), *(1.5 + 0.3 * len(classes) for _ in strongest)]
    layout = ConstrainedLayoutEngine(h_pad=0.14)
    figure = Figure(figsize=(8.6, 0.5 + sum(heights)), layout=layout)
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_shares(panels[0], found)
    for axes, confound in zip(panels[1:], strongest, strict=True):
        _draw_values(axes, confound, classes)
    figure.suptitle(
        f"{name}: what besides the face is associated with the class", x=0.01, ha="left", weight="bold"
    )
    with replacing(path) as partial:
        figure.savefig(partial, dpi=130, bbox_inches="tight", pad_inches=0.15)


def _draw_shares(axes: "Axes", found: Confounds) -> None:
    """A bar for each feature, the strongest on top."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    if not found.found:
        axes.set_axis_off()
        axes.text(0, 0.5, found.reason or "", transform=axes.transAxes, va="center", color=_INK)
        return
    shares = [max(0.0, 100 * one.share) for one in found.found]
    places = np.arange(len(shares))[::-1]
    colours = [_STRONG if one.strong else _WEAK for one in found.found]
    axes.barh(places, shares, color=colours, height=0.62)
    for place, share, one in zip(places, shares, found.found, strict=True):
        text = f"{share:.1f} %" + ("" if one.strong else f"  (p = {one.p:.2g})")
        axes.annotate(text, (share, place), (4, 0), textcoords="offset points", va="center", color=_INK)
    axes.set_yticks(places, labels=[one.feature for one in found.found])
    axes.set_xlim(0, 1.2 * max(*shares, 5.0))
    axes.set_xlabel("share of the entropy of the labels that is explained beyond chance, %")
    axes.set_title(
        f"blue: p at most {ALPHA:g} and a share of {100 * FLOOR:g} % or more", loc="left", fontsize="medium"
    )


def _draw_values(axes: "Axes", confound: Confound, classes: Sequence[str]) -> None:
    """A bar for each class, the one of the fact on top, parted by the values of a feature."""
    first = confound.fact.label
    rows = [first, *(name for name in classes if name != first)]
    counts = np.array([[by_class[name] for name in rows] for by_class in confound.counts.values()])  # [V, C]
    names = list(confound.counts)
    own = min(_VALUES, len(names) if len(names) <= _VALUES else _VALUES - 1)
    drawn = [(name, row) for name, row in zip(names[:own], counts[:own], strict=True)]
    if len(names) > own:
        drawn.append((f"{len(names) - own} others", counts[own:].sum(axis=0)))
    total = counts.sum(axis=0)
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for number, (name, row) in enumerate(drawn):
        share = 100 * row / np.maximum(total, 1)
        rest = name == "another" or name.endswith(" others")
        palette = _RANGES if confound.ordered else _COLOURS
        colour = _REST if rest and number else palette[number % len(palette)]
        axes.barh(places, share, left=left, color=colour, height=0.72, label=name, edgecolor="white", lw=0.6)
        for place, start, width in zip(places, left, share, strict=True):
            if width >= 7:
                dark = colour not in _LIGHT
                axes.text(
                    start + width / 2,
                    place,
                    f"{width:.0f}",
                    ha="center",
                    va="center",
                    color="white" if dark else _INK,
                    fontsize="small",
                )
        left += share
    axes.set_yticks(places, labels=[f"{name} ({n:,})" for name, n in zip(rows, total, strict=True)])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the images of the class")
    axes.set_title(f"{confound.feature.capitalize()}. {confound.fact.text}", loc="left", fontsize="medium")
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small", title=confound.feature
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
