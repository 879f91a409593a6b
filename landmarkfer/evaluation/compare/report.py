"""The report of where two systems differ, in tables and pictures, rendered from its CSV."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from landmarkfer.errors import LandmarkferError
from landmarkfer.evaluation.compare.figures import draw_differences, draw_slices
from landmarkfer.evaluation.compare.statistics import (
    DIFFERENCE_COLUMNS,
    Difference,
    corrected,
    differences_in,
    points_text,
)
from landmarkfer.files import replacing
from landmarkfer.reporting.markdown import Header, markdown_table, probability_text, write_page

DIFFERENCES_PICTURE, SLICES_PICTURE = "differences.png", "slices.png"
SHOWN = 12
"""How many confusions a table lists; the CSV has them all."""
LEGEND = (
    "Percent of the images; of several seeds, the mean. Differences are in points, the first system minus "
    "the second. *95 % interval*: bootstrap over {units}. *p*: of a permutation test that exchanges both "
    "systems {unit} by {unit}, corrected after Holm for the rows of the table's kind."
)
_NUMBERS = DIFFERENCE_COLUMNS[4:]
_HEADINGS = ("images", "first", "second", "difference", "95 % interval", "p, Holm")
_RATE = "Share of the images, the largest difference first; a rate that falls is an error made less often. "


def write_rows(csv: Path, rows: pd.DataFrame) -> None:
    """Write rows with `statistics.DIFFERENCE_COLUMNS`."""
    with replacing(csv) as path:
        rows.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def read_rows(csv: Path) -> pd.DataFrame:
    """The rows that `write_rows` wrote.

    Raises:
        LandmarkferError: The CSV is missing or has other columns.
    """
    try:
        # A class may be called "none" or "nan".
        rows = pd.read_csv(csv, keep_default_na=False, na_values={name: [""] for name in _NUMBERS})
    except (OSError, ValueError) as error:
        raise LandmarkferError(f"{csv} cannot be read ({error}); compare again.") from error
    if tuple(rows.columns) != DIFFERENCE_COLUMNS:
        raise LandmarkferError(
            f"{csv} has columns {', '.join(rows.columns)}; expected {', '.join(DIFFERENCE_COLUMNS)}."
        )
    # p, a count over a power of ten, is exact in the CSV; what follows from it has lost digits there.
    return rows.assign(p_holm=corrected(rows))


def render_differences(csv: Path, names: Sequence[str], header: Header, groups: int | None = None) -> Path:
    """Write the report and its pictures beside `csv`, whose figures they show.

    Args:
        csv: From `write_rows`.
        names: What the first and the second system are called.
        header: Introduction, commands, versions and date.
        groups: How many groups of images intervals and tests are over; None where they are over images.

    Returns:
        The report.

    Raises:
        LandmarkferError: The CSV is missing or has other columns.
    """
    rows = read_rows(csv)
    _draw(csv, rows, names)
    slices = _part(rows, "slice")
    first, second = names
    units = "images" if groups is None else f"{groups:,} groups (people or sequences)"
    parts = [
        LEGEND.format(units=units, unit="image" if groups is None else "group"),
        _table(_part(rows, "all"), ["metric"]),
        f"![Recall and confusions, {first} minus {second}]({DIFFERENCES_PICTURE})",
        "## By class",
        _table(_part(rows, "class"), ["name", "metric"], ["class", "metric"]),
        "## By confusion",
        _RATE + f"Of {len(_part(rows, 'predicted'))} ordered pairs:",
        _table(_part(rows, "predicted").head(SHOWN), ["name", "other"], ["true", "predicted"]),
        "Either way:",
        _table(_part(rows, "either").head(SHOWN), ["name", "other"], ["class", "class"]),
    ]
    if len(slices):
        parts += [
            "## By slice",
            f"![Accuracy in slices]({SLICES_PICTURE})",
            _table(slices, ["name", "other"], ["measure", "slice"]),
            "How much higher the accuracy is in the last slice than in the first:",
            _table(_part(rows, "trend"), ["name", "other"], ["measure", "slices"]),
        ]
    parts += ["## By image", _disagreements(_part(rows, "image"), names)]
    for name, heading in (("won.png", "Won by the first"), ("lost.png", "Lost by the first")):
        if csv.with_name(name).exists():
            parts.append(f"![{heading}]({name})")
    page = csv.with_suffix(".md")
    write_page(page, csv, replace(header, title=f"Where {first} and {second} differ"), parts)
    return page


def _draw(csv: Path, rows: pd.DataFrame, names: Sequence[str]) -> None:
    """The pictures beside the CSV; that of slices goes where there are none."""
    classes = list(dict.fromkeys(_part(rows, "class")["name"]))
    with replacing(csv.with_name(DIFFERENCES_PICTURE)) as path:
        draw_differences(path, rows, names, classes)
    slices = rows[rows["part"].isin(["slice", "trend"])]
    if slices.empty:
        csv.with_name(SLICES_PICTURE).unlink(missing_ok=True)  # of an earlier comparison
        return
    with replacing(csv.with_name(SLICES_PICTURE)) as path:
        draw_slices(path, slices, names)


def _disagreements(rows: pd.DataFrame, names: Sequence[str]) -> str:
    total, *classes = differences_in(rows)
    cells = [
        [one.name or "all", *(f"{count:,}" for count in (one.images, *won_and_lost(one)))]
        for one in (*classes, total)
    ]
    note = (
        f"*Won*: more than half of the seeds of {names[0]} are right and less than half of those of "
        f"{names[1]}; *lost*: the reverse. `images.csv` has both predictions for each image."
    )
    return note + "\n\n" + markdown_table(["class", "images", "won", "lost"], cells, text_columns=1)


def won_and_lost(one: Difference) -> tuple[int, int]:
    """How many images are won and lost, from a row of the part `image`."""
    return round(one.first * one.images), round(one.second * one.images)


def _part(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    return rows[rows["part"] == part]


def _table(rows: pd.DataFrame, keys: Sequence[str], headings: Sequence[str] = ("",)) -> str:
    cells = [
        [
            *(str(getattr(one, key)).replace("_", " ") for key in keys),
            f"{one.images:,}",
            f"{100 * one.first:.1f}",
            f"{100 * one.second:.1f}",
            points_text(one.difference),
            f"{points_text(one.low)} to {points_text(one.high)}",
            probability_text(one.p_holm),
        ]
        for one in differences_in(rows)
    ]
    return markdown_table([*headings, *_HEADINGS], cells, text_columns=len(keys))
