"""How a source is to be read, where it does not say so itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from landmarkfer.data.label_names import make_label_names
from landmarkfer.data.split_names import make_split_names

Layout = Literal["auto", "classes", "unlabelled"]


@dataclass(frozen=True)
class SourceOptions:
    """What a user decides about a source.

    Attributes:
        layout: Whether folder names are labels: `classes` takes the folder below (or above) the split folders
            as the class, `unlabelled` takes none, and `auto` takes it where it can be read in one way only.
        split_names: Names of folders or values of a split column, and the split that each means; None for no
            split.
        label_names: Labels as the source spells them, and the class that each means; None for no class.
        labels: Tables of labels for the images; their rows are then the images.
        path_column: The table's column of paths; by default the first usual name there is.
        label_column: The table's column of labels.
        split_column: The table's column of splits.
        group_column: The table's column of people or sequences.
        group_pattern: A regular expression whose first group (or whole match), searched for in an image's id,
            names the person or the sequence; or the name of a scheme in `data.schemes.SCHEMES`.
        boxes: Whether box columns of a table are used.
        fps: Frames per second that are taken of videos; without it, videos are left out.
    """

    layout: Layout = "auto"
    split_names: Mapping[str, str | None] = field(default_factory=dict)
    label_names: Mapping[str, str | None] = field(default_factory=dict)
    labels: tuple[Path, ...] = ()
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    group_pattern: str | None = None
    boxes: bool = True
    fps: float | None = None


def make_options(**given: Any) -> SourceOptions:
    """Options as a user gives them: names also as `VALUE=NAME`, the table also as text.

    Args:
        **given: The attributes of `SourceOptions`.

    Raises:
        SettingsError: A name is not of the form that it needs.
    """
    labels = given.get("labels")
    if isinstance(labels, str | os.PathLike):
        labels = [labels]
    return SourceOptions(
        **{
            **given,
            "labels": tuple(map(Path, labels or ())),
            "label_names": make_label_names(given.get("label_names")),
            "split_names": make_split_names(given.get("split_names")),
        }
    )
