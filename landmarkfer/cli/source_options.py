"""The options of `landmarkfer extract` that state how a source is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--layout",
        type=click.Choice(["auto", "classes", "unlabelled"]),
        default="auto",
        help="Whether folder names are labels. [auto]",
    ),
    click.option(
        "--labels",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A table of labels, also one inside SOURCE: CSV, JSON Lines, Excel, Parquet, RAF-DB's or ExpW's "
        "list, FER+'s votes. May be repeated.",
    ),
    click.option(
        "--label-names",
        multiple=True,
        metavar="VALUE=NAME|FILE",
        help="What a label or class folder means, such as 7=contempt; VALUE= is no class. May be repeated.",
    ),
    click.option(
        "--split-names",
        multiple=True,
        metavar="VALUE=SPLIT",
        help="What a folder or a value of a split column means: train, val, test, or nothing for none.",
    ),
    click.option("--path-column", metavar="NAME", help="The table's column of image paths."),
    click.option("--label-column", metavar="NAME", help="The table's column of labels."),
    click.option("--split-column", metavar="NAME", help="The table's column of splits."),
    click.option("--group-column", metavar="NAME", help="The table's column of people or sequences."),
    click.option(
        "--group-pattern",
        metavar="REGEX|SCHEME",
        help="What names the person or sequence in a path: a regular expression (its first group), or "
        "ck+, jaffe, kdef, oulu-casia, lfw, ravdess, crema-d.",
    ),
    click.option(
        "--boxes/--no-boxes", default=True, help="Whether a table's box columns are used. [--boxes]"
    ),
    click.option(
        "--fps", type=click.FloatRange(min=0, min_open=True), help="Frames a second to take of videos."
    ),
)

SOURCE_OPTIONS = (
    *("layout", "labels", "label_names", "split_names", "path_column", "label_column", "split_column"),
    *("group_column", "group_pattern", "boxes", "fps"),
)
"""Names of the parameters that `source_options` adds."""


def source_options(command: Command) -> Command:
    """Add the options that state how a source is read."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
