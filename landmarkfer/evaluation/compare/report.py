"""The report of where two systems differ, in tables and pictures, rendered from its CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from landmarkfer.evaluation.compare.statistics import differences_in, points_text
from landmarkfer.reporting.markdown import Header, markdown_table, probability_text, write_page

SHOWN = 12
"""How many confusions a table lists; the CSV has them all."""
LEGEND = (
    "Percent of the images; of several seeds, the mean. Differences are in points, the first system minus "
    "the second. *95 % interval*: bootstrap over images. *p*: of a permutation test that exchanges both "
    "systems image by image, corrected after Holm for the rows of the table's kind."
)
_HEADINGS = ("images", "first", "second", "difference", "95 % interval", "p, Holm")
_RATE = "Share of the images, the largest difference first; a rate that falls is an error made less often. "


@dataclass(frozen=True)
class Pictures:
    """Files beside the page, by name; None where there is none."""

    differences: str
    slices: str | None = None
    won: str | None = None
    lost: str | None = None


def render_differences(
    csv: Path,
    rows: pd.DataFrame,
    disagreements: pd.DataFrame,
    names: Sequence[str],
    pictures: Pictures,
    header: Header,
) -> None:
    """Write the page beside `csv`, under its name with the ending `.md`.

    Args:
        csv: Where `rows` are written.
        rows: Rows with `differences.DIFFERENCE_COLUMNS`.
        disagreements: From `disagreements.image_disagreements`.
        names: What the first and the second system are called.
        pictures: Of `differences_figures` and of the images.
        header: Title, commands and date of the page.
    """
    first, second = names
    parts = [
        LEGEND,
        _table(_part(rows, "all"), ["metric"]),
        f"![Recall and confusions, {first} minus {second}]({pictures.differences})",
        "## By class",
        _table(_part(rows, "class"), ["name", "metric"], ["class", "metric"]),
        "## By confusion",
        _RATE + f"Of {len(_part(rows, 'predicted'))} ordered pairs:",
        _table(_part(rows, "predicted").head(SHOWN), ["name", "other"], ["true", "predicted"]),
        "Either way:",
        _table(_part(rows, "either").head(SHOWN), ["name", "other"], ["class", "class"]),
    ]
    if pictures.slices is not None:
        parts += [
            "## By slice",
            f"![Accuracy in slices]({pictures.slices})",
            _table(_part(rows, "slice"), ["name", "other"], ["measure", "slice"]),
            "How much higher the accuracy is in the last slice than in the first:",
            _table(_part(rows, "trend"), ["name", "other"], ["measure", "slices"]),
        ]
    parts += ["## By image", _disagreements(disagreements, names)]
    for name, heading in ((pictures.won, "Won by the first"), (pictures.lost, "Lost by the first")):
        if name is not None:
            parts.append(f"![{heading}]({name})")
    write_page(csv.with_suffix(".md"), csv, header, parts)


def disagreement_counts(disagreements: pd.DataFrame) -> pd.DataFrame:
    """Images won and lost by label, and all of them in the row `all`; columns `images`, `won`, `lost`."""
    labels = disagreements["label"].astype(str)
    counts = pd.crosstab(labels, disagreements["outcome"]).reindex(columns=["won", "lost"], fill_value=0)
    counts.insert(0, "images", labels.value_counts())
    counts = counts.reindex([name for name in disagreements["label"].cat.categories if name in counts.index])
    counts.loc["all"] = counts.sum()
    return counts


def _disagreements(disagreements: pd.DataFrame, names: Sequence[str]) -> str:
    counts = disagreement_counts(disagreements)
    cells = [[str(name), *(f"{count:,}" for count in row)] for name, *row in counts.itertuples(name=None)]
    note = (
        f"*Won*: more than half of the seeds of {names[0]} are right and less than half of those of "
        f"{names[1]}; *lost*: the reverse. `images.csv` has both predictions for each image."
    )
    return note + "\n\n" + markdown_table(["class", "images", "won", "lost"], cells, text_columns=1)


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
