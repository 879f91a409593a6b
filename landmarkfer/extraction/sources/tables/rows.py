"""The rows of a label table: what each states of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from landmarkfer.data.split_names import StatedSplit, TwoSplits, stated_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.containers.listing import Listing
from landmarkfer.extraction.sources.entry import Box
from landmarkfer.extraction.sources.labels import MISSING, ReadLabels, read_labels
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.boxes import read_boxes
from landmarkfer.extraction.sources.tables.columns import (
    GROUP_COLUMNS,
    find_labels,
    find_paths,
    find_splits,
    labels_of_columns,
    used_columns,
)
from landmarkfer.extraction.sources.tables.matching import PathIndex, table_path
from landmarkfer.extraction.sources.tables.official import (
    OfficialTable,
    as_affectnet,
    is_official_file,
    read_official_file,
)
from landmarkfer.extraction.sources.tables.read import Table, read_table
from landmarkfer.extraction.sources.tables.splits import read_splits
from landmarkfer.extraction.sources.tables.votes import VOTE_CLASSES, is_vote_table, read_votes, vote_remark
from landmarkfer.progress import counted


@dataclass
class Rows:
    """What a table states, row by row."""

    paths: list[str]
    labels: ReadLabels
    splits: list[StatedSplit | None]
    groups: list[str | None]
    boxes: list[Box | str | None]
    votes: list[tuple[float, ...] | None]
    remarks: list[str] = field(default_factory=list)
    group_rule: str | None = None
    vote_classes: tuple[str, ...] = ()
    has_splits: bool = False
    columns: list[str] = field(default_factory=list)


def by_frame(names: Sequence[str], rows: Rows, frames: Mapping[str, list[str]]) -> tuple[list[str], Rows]:
    """A row for each frame, where a row names a video; its frames are a group, unless it names another."""
    place = [(row, one) for row, name in enumerate(names) for one in frames.get(name, [name])]
    chosen = [row for row, _ in place]
    groups = [rows.groups[row] or (names[row] if names[row] in frames else None) for row in chosen]
    labels = replace(rows.labels, labels=[rows.labels.labels[row] for row in chosen])
    taken = replace(
        rows,
        paths=[rows.paths[row] for row in chosen],
        labels=labels,
        splits=[rows.splits[row] for row in chosen],
        groups=groups,
        boxes=[rows.boxes[row] for row in chosen],
        votes=[rows.votes[row] for row in chosen],
        group_rule=rows.group_rule or "the video",
    )
    return [one for _, one in place], taken


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several tables."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        list(chain(*(part.paths for part in parts))),
        ReadLabels(
            list(chain(*(part.labels.labels for part in parts))),
            {spelt: name for part in parts for spelt, name in part.labels.readings.items()},
            list(chain(*(part.labels.remarks for part in parts))),
        ),
        list(chain(*(part.splits for part in parts))),
        list(chain(*(part.groups for part in parts))),
        list(chain(*(part.boxes for part in parts))),
        list(chain(*(part.votes for part in parts))),
        list(chain(*(part.remarks for part in parts))),
        next((part.group_rule for part in parts if part.group_rule), None),
        next((part.vote_classes for part in parts if part.vote_classes), ()),
        any(part.has_splits for part in parts),
        list(chain(*(part.columns for part in parts))),
    )


def read_rows(path: Path, listed: Listing, index: PathIndex, options: SourceOptions) -> Rows:
    """Read a table's rows, those without a path left out.

    Args:
        path: The table.
        listed: The folder or archive with the images.
        index: Its images and videos.
        options: Names of columns, of splits and of labels.

    Raises:
        SourceError: It cannot be read, lacks a column, has no rows, or can be read in two ways.
    """
    official: OfficialTable | None = None
    if is_official_file(path):
        official = read_official_file(path, [image_id for image_id, _ in listed.images])
        table = official.table
    else:
        table = read_table(path)
        official = None if options.label_column else as_affectnet(table)
    if not len(table.frame):
        raise SourceError(f"{path} has no rows.")
    path_column = official.path_column if official else None
    column = find_paths(table, options.path_column or path_column, index)
    paths = [table_path(value) for value in table.texts(column)]
    remarks = list(table.remarks)
    usable = [row for row, name in enumerate(paths) if name and name.lower() not in MISSING]
    if len(usable) < len(paths):
        remarks.append(f"{counted(len(paths) - len(usable), 'row')} of {path.name} without a path, left out.")
        table = Table(table.path, table.frame.iloc[usable], table.remarks)
        paths = [paths[row] for row in usable]
    votes: list[tuple[float, ...] | None] = [None] * len(paths)
    vote_classes: tuple[str, ...] = ()
    label_column: str | None = None
    if options.label_column is None and is_vote_table(table):
        majority, votes, neither = read_votes(table)
        labels, vote_classes = ReadLabels(majority), VOTE_CLASSES
        remarks.append(vote_remark(majority, neither))
    else:
        label_column = find_labels(
            table, options.label_column or (official.label_column if official else None)
        )
        labels = _labels(table, paths, label_column, official, options)
    split_column, more = find_splits(table, options.split_column)
    splits, about = _splits(table, split_column, options)
    groups, group_column = _groups(table, options)
    columns = used_columns(path=column, label=label_column, split=split_column, group=group_column)
    found = read_boxes(table) if options.boxes else None
    boxes: list[Box | str | None] = [None] * len(paths)
    if found is not None:
        boxes, box_columns = found
        remarks.append(
            f"Each row is a box ({box_columns}), cut out of its image with a margin; --no-boxes takes none."
        )
    stated = any(split is not None for split in splits)
    if not stated and (of_table := _split_of_table(path, options)) is not None:
        splits = [of_table] * len(paths)
        remarks.append(f"The split of {path.name} is {of_table.split}, as its name states.")
    rule = None if group_column is None else f"the column {group_column}"
    remarks += more + about
    return Rows(paths, labels, splits, groups, boxes, votes, remarks, rule, vote_classes, stated, [columns])


def _split_of_table(path: Path, options: SourceOptions) -> StatedSplit | None:
    """The split that the name of a table states, such as `test_labels.csv`."""
    try:
        return stated_split(path.stem, options.split_names)
    except TwoSplits:
        return None


def _labels(
    table: Table,
    paths: Sequence[str],
    column: str | None,
    official: OfficialTable | None,
    options: SourceOptions,
) -> ReadLabels:
    if column is None:
        spelt = labels_of_columns(table)
        where = f"the columns of {table.path.name}"
    else:
        spelt = table.texts(column)
        where = f"the column {column} of {table.path.name}"
    meaning: Mapping[str, str | None] = official.meaning if official else {}
    return read_labels(spelt, paths, options.label_names, meaning, where)


def _splits(
    table: Table, column: str | None, options: SourceOptions
) -> tuple[list[StatedSplit | None], list[str]]:
    if column is None:
        return [None] * len(table.frame), []
    where = f"the column {column} of {table.path.name}"
    return read_splits(table.texts(column), options.split_names, where, options.split_column is not None)


def _groups(table: Table, options: SourceOptions) -> tuple[list[str | None], str | None]:
    if options.group_column is None and (options.group_pattern or table.look_for(GROUP_COLUMNS) is None):
        return [None] * len(table.frame), None
    column = table.find(options.group_column, GROUP_COLUMNS, "--group-column")
    return [None if value.lower() in MISSING else value for value in table.texts(column)], column
