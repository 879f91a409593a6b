"""What the arguments and options of `landmarkfer predict` mean."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from landmarkfer.cli.prior_option import read_prior
from landmarkfer.errors import SourceError
from landmarkfer.progress import counted

if TYPE_CHECKING:
    from landmarkfer.extraction.detect import Box
    from landmarkfer.extraction.sources.entry import Source

STANDARD_INPUT = "-"
_BOX_COLUMNS = ["source", "x0", "y0", "x1", "y1"]
_WORTH_A_WORKER = 48
"""Images that a worker process must have to be worth its start."""


def listed(inputs: Sequence[str]) -> list[Any]:
    """The inputs of a command, with what the standard input brings in the place of `-`."""
    return [item for text in inputs for item in (_standard_input() if text == STANDARD_INPUT else [text])]


def _standard_input() -> list[Any]:
    """Paths, one a line or with NUL behind each, as `find -print0` writes; or the bytes of one image file."""
    content = sys.stdin.buffer.read()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [content]
    if "\0" in text:
        names = text.removesuffix("\0").split("\0")
        # Of image files, only uncompressed ones can be such a text, and they hold one NUL after another.
        return names if all(names) else [content]
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise SourceError("the standard input is empty; pipe a list of paths or an image into it.")
    return names


def workers_for(wanted: int | None, images: int) -> int:
    """How many processes find faces: as wanted, or as many as there are cores and images for."""
    return wanted or max(1, min(os.cpu_count() or 1, images // _WORTH_A_WORKER))


def prediction_options(
    source: "Source",
    *,
    faces: str,
    boxes: Path | None,
    abstain: float | None,
    coverage: float | None,
    prior: Sequence[str],
    batch_size: int,
) -> dict[str, Any]:
    """Keywords of `Predictor.stream` from the options of the command.

    Raises:
        SettingsError: A prior is not readable.
        SourceError: The table of boxes is not readable or fits none of the images.
    """
    return {
        "faces": faces,
        "boxes": None if boxes is None else read_boxes(boxes, [entry.id for entry in source.entries]),
        "accuracy": abstain,
        "coverage": coverage,
        "prior": read_prior(prior),
        "batch_size": batch_size,
    }


def read_boxes(path: Path, sources: Sequence[str]) -> dict[str, list["Box"]]:
    """Boxes of faces by image, from a CSV with the columns `source,x0,y0,x1,y1` in pixels.

    Raises:
        SourceError: It cannot be read, lacks a column, holds what is no box, or names none of the images.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SourceError(f"the boxes {path} cannot be read: {error}.") from error
    lacking = [name for name in _BOX_COLUMNS if name not in table]
    if lacking:
        raise SourceError(
            f"{path} has no column {lacking[0]}; it needs {', '.join(_BOX_COLUMNS)}, and has "
            f"{', '.join(map(str, table))}."
        )
    # An image without a face has a row without a box in the tables that `predict` itself writes.
    table = table[table[_BOX_COLUMNS[1:]].notna().any(axis=1)]
    corners = table[_BOX_COLUMNS[1:]].apply(pd.to_numeric, errors="coerce")
    wrong = corners.isna().any(axis=1) | (corners.x1 <= corners.x0) | (corners.y1 <= corners.y0)
    if wrong.any():
        line = int(table.index[wrong][0]) + 2
        raise SourceError(f"{path}, line {line}: a box needs numbers x0 < x1 and y0 < y1, in pixels.")
    boxes: dict[str, list[Box]] = {}
    for name, (x0, y0, x1, y1) in zip(table["source"], corners.to_numpy(float).tolist(), strict=True):
        boxes.setdefault(str(name), []).append((x0, y0, x1, y1))
    known = set(sources)
    unknown = [name for name in boxes if name not in known]
    if len(unknown) == len(boxes):
        raise SourceError(
            f"{path} names none of the images; its first source is '{next(iter(boxes), '')}', and the first "
            f"image is '{next(iter(sources), '')}'."
        )
    if unknown:
        click.echo(
            f"{path} also has boxes of {counted(len(unknown), 'image')} that are not among the inputs, the "
            f"first '{unknown[0]}'.",
            err=True,
        )
    return boxes
