"""Tables whose format and numbers a data set itself defines: RAF-DB, ExpW and AffectNet.

Sources: their own descriptions. RAF-DB (Li et al. 2017) lists `train_00001.jpg 5`. ExpW (Zhang et al. 2018)
lists a face a line: image, number of the face, top, left, right and bottom of its box, a confidence, and a
label. AffectNet (Mollahosseini et al. 2019) has tables with a header whose `expression` is a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from landmarkfer.data.labels import FER2013_CLASSES, RAFDB_CLASSES
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tables.read import Table, decode_text

if TYPE_CHECKING:
    pass

RAFDB_TABLE = "list_patition_label.txt"  # spelt so in the data set
EXPW_ENDING = ".lst"

AFFECTNET_MEANING: dict[str, str | None] = {
    **{
        str(number): name
        for number, name in enumerate(
            ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
        )
    },
    **dict.fromkeys(("8", "9", "10")),  # none, uncertain, no face
}
"""AffectNet's numbers; those of no class are None."""

_EXPW_COLUMNS = (
    *("path", "face", "face_box_top", "face_box_left", "face_box_right", "face_box_bottom"),
    *("confidence", "label"),
)
_AFFECTNET_COLUMNS = ("subdirectory_filepath", "face_x", "expression", "valence")


@dataclass(frozen=True)
class OfficialTable:
    """A table with the columns `path` and `label`, and what its numbers mean."""

    table: Table
    meaning: Mapping[str, str | None]
    title: str
    path_column: str = "path"
    label_column: str = "label"
    remarks: list[str] = field(default_factory=list)


def is_official_file(path: Path) -> bool:
    """Whether a file is named like a table without header that a data set defines."""
    return path.name == RAFDB_TABLE or path.suffix.lower() == EXPW_ENDING


def read_official_file(path: Path, ids: Sequence[str]) -> OfficialTable:
    """Read RAF-DB's or ExpW's list.

    Args:
        path: The list.
        ids: The images that it may name.

    Raises:
        SourceError: A line is none of such a list.
    """
    return _read_rafdb(path, ids) if path.name == RAFDB_TABLE else _read_expw(path)


def as_affectnet(table: Table) -> OfficialTable | None:
    """A table of AffectNet, as its columns show; None for any other."""
    columns = table.columns
    if not set(_AFFECTNET_COLUMNS) <= set(columns):
        return None
    return OfficialTable(
        table, AFFECTNET_MEANING, "AffectNet", columns["subdirectory_filepath"], columns["expression"]
    )


def _read_rafdb(path: Path, ids: Sequence[str]) -> OfficialTable:
    """`train_00001.jpg 5`; the file may be `train_00001_aligned.jpg` in any folder."""
    by_name = {PurePosixPath(image_id).name: image_id for image_id in ids}
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or cells[1] not in "1234567":
            raise SourceError(
                f"line {number} of {path} is {line!r}, and not a file name and a class from 1 to 7."
            )
        stem, suffix = PurePosixPath(cells[0]).stem, PurePosixPath(cells[0]).suffix
        name = by_name.get(cells[0]) or by_name.get(f"{stem}_aligned{suffix}") or cells[0]
        rows.append((name, cells[1], stem.split("_")[0]))
    meaning: dict[str, str | None] = {str(number): name for number, name in enumerate(RAFDB_CLASSES, start=1)}
    return OfficialTable(_table(path, rows, ("path", "label", "split")), meaning, "RAF-DB")


def _read_expw(path: Path) -> OfficialTable:
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        cells = line.split()
        if not cells or cells[0] == "image_name":
            continue
        if len(cells) != len(_EXPW_COLUMNS):
            raise SourceError(
                f"line {number} of {path} has {len(cells)} fields, and a line of ExpW has "
                f"{len(_EXPW_COLUMNS)}: "
                "image, face, top, left, right, bottom, confidence, label."
            )
        rows.append(tuple(cells))
    meaning: dict[str, str | None] = {str(number): name for number, name in enumerate(FER2013_CLASSES)}
    return OfficialTable(_table(path, rows, _EXPW_COLUMNS), meaning, "ExpW")


def _lines(path: Path) -> list[str]:
    try:
        return decode_text(path.read_bytes())[0].splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error


def _table(path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Table:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(list(rows), columns=list(columns), dtype=str)
    return Table(path, frame)
