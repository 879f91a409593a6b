"""Tables that label the images of a folder or an archive: their rows are then the images."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from landmarkfer.data.labels import canonical_label, is_known_label
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.containers.listing import Listing, left_out
from landmarkfer.extraction.sources.entry import Box, Entry, Key, Source
from landmarkfer.extraction.sources.labels import MISSING, ReadLabels, read_labels
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.boxes import read_boxes
from landmarkfer.extraction.sources.tables.matching import PathIndex, table_path
from landmarkfer.extraction.sources.tables.official import (
    OfficialTable,
    as_affectnet,
    is_official_file,
    read_official_file,
)
from landmarkfer.extraction.sources.tables.read import Table, read_table
from landmarkfer.extraction.sources.tables.splits import read_splits
from landmarkfer.extraction.sources.tables.votes import VOTE_CLASSES, is_vote_table, read_votes
from landmarkfer.extraction.sources.tree.folders import Tree
from landmarkfer.extraction.sources.tree.split_folders import path_splits
from landmarkfer.extraction.sources.tree.splits import StatedSplit
from landmarkfer.progress import counted

# Column names that are recognised, in this order.
PATH_COLUMNS = (
    *("path", "image", "file", "filename", "file_name", "filepath", "image_path", "name", "id"),
    *("image_name", "img", "img_path", "image_file", "img_name", "pth", "file_path"),
    "subdirectory_filepath",
)
LABEL_COLUMNS = (
    *("label", "emotion", "expression", "class"),
    *("labels", "emotions", "expression_label", "emotion_label", "facial_expression", "category", "target"),
)
SPLIT_COLUMNS = ("split", "usage", "subset", "set", "partition")
GROUP_COLUMNS = (
    *("group", "person", "person_id", "subject", "subject_id", "identity", "actor", "participant"),
    *("participant_id", "sequence", "sequence_id", "video", "video_id"),
)


@dataclass
class _Rows:
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


def apply_label_table(listed: Listing, path: Path, options: SourceOptions) -> Source:
    """Take the rows of a label table as the images of a source.

    Args:
        listed: The folder or archive with the image files.
        path: The table: CSV, JSON Lines, Parquet, Excel (.xlsx), or the list of RAF-DB or ExpW.
        options: Names of columns, of splits and of labels.

    Returns:
        The source with one entry per path in the table (per box, where it has boxes), sorted by id. A path
        that is not there stays as an entry that cannot be read; a path with two different labels has neither.

    Raises:
        SourceError: The table cannot be read, lacks a column, has no rows, or can be read in two ways.
    """
    ids = [image_id for image_id, _ in listed.images]
    rows = _read(path, ids, options)
    keys: dict[str, Key] = {**listed.others, **dict(listed.images)}
    found = PathIndex(ids).match(rows.paths)
    # Other files only by their whole path: `a` means a.jpg, and not the a.txt beside it.
    matched = [
        one or (path if path in listed.others else None) for one, path in zip(found, rows.paths, strict=True)
    ]
    if not any(matched):
        first = next((p for p in rows.paths if p), "")
        example = f", where one is {ids[0]}" if ids else ""
        raise SourceError(
            f"not one of {counted(len(set(rows.paths)), 'path')} in {path} is an image in {listed.name} "
            f"(the first is {first}){example}; paths are relative to the source, and --path-column names "
            "another column."
        )
    names = [found or given for found, given in zip(matched, rows.paths, strict=True)]
    about_splits = _complete_splits(names, rows, options, path.name)
    entries, remarks = _entries(names, keys, rows, listed, path.name)
    remarks += about_splits + _other_folders(names, rows.labels.labels, path.name)
    remarks = rows.remarks + rows.labels.remarks + remarks + _unnamed(ids, set(names), path.name)
    ignored, more = left_out(listed, [*names, *_itself(listed, path)])
    return Source(
        f"{listed.kind}+labels",
        listed.name,
        sorted(entries, key=lambda entry: entry.id),
        listed.reader,
        ignored,
        remarks + more,
        rows.labels.readings,
        rows.group_rule,
        rows.vote_classes,
    )


def _read(path: Path, ids: Sequence[str], options: SourceOptions) -> _Rows:
    """Read a table's rows, those without a path left out."""
    official: OfficialTable | None = None
    if is_official_file(path):
        official = read_official_file(path, ids)
        table = official.table
    else:
        table = read_table(path)
        official = None if options.label_column else as_affectnet(table)
    if not len(table.frame):
        raise SourceError(f"{path} has no rows.")
    path_column = official.path_column if official else None
    column = table.find(options.path_column or path_column, PATH_COLUMNS, "--path-column")
    paths = [table_path(value) for value in table.texts(column)]
    remarks = list(table.remarks)
    kept = [row for row, name in enumerate(paths) if name and name.lower() not in MISSING]
    if len(kept) < len(paths):
        remarks.append(f"{counted(len(paths) - len(kept), 'row')} of {path.name} without a path, left out.")
        table = Table(table.path, table.frame.iloc[kept], table.remarks)
        paths = [paths[row] for row in kept]
    votes: list[tuple[float, ...] | None] = [None] * len(paths)
    vote_classes: tuple[str, ...] = ()
    if options.label_column is None and is_vote_table(table):
        majority, votes, neither = read_votes(table)
        labels, vote_classes = ReadLabels(majority), VOTE_CLASSES
        remarks.append(_vote_remark(majority, neither))
    else:
        labels = _labels(table, paths, official, options)
    splits, more = _splits(table, path, options)
    groups, rule = _groups(table, options)
    found = read_boxes(table) if options.boxes else None
    boxes: list[Box | str | None] = [None] * len(paths)
    if found is not None:
        boxes, columns = found
        remarks.append(
            f"Each row is a box ({columns}), cut out of its image with a margin; --no-boxes takes none."
        )
    stated = any(split is not None for split in splits)
    return _Rows(paths, labels, splits, groups, boxes, votes, remarks + more, rule, vote_classes, stated)


def _labels(
    table: Table, paths: Sequence[str], official: OfficialTable | None, options: SourceOptions
) -> ReadLabels:
    wanted = options.label_column or (official.label_column if official else None)
    column = table.find(wanted, LABEL_COLUMNS, "--label-column")
    meaning: Mapping[str, str | None] = official.meaning if official else {}
    return read_labels(
        table.texts(column), paths, options.label_names, meaning, f"the column {column} of {table.path.name}"
    )


def _splits(table: Table, path: Path, options: SourceOptions) -> tuple[list[StatedSplit | None], list[str]]:
    if options.split_column is None and table.look_for(SPLIT_COLUMNS) is None:
        return [None] * len(table.frame), []
    column = table.find(options.split_column, SPLIT_COLUMNS, "--split-column")
    where = f"the column {column} of {path.name}"
    return read_splits(table.texts(column), options.split_names, where, options.split_column is not None)


def _groups(table: Table, options: SourceOptions) -> tuple[list[str | None], str | None]:
    if options.group_column is None and (options.group_pattern or table.look_for(GROUP_COLUMNS) is None):
        return [None] * len(table.frame), None
    column = table.find(options.group_column, GROUP_COLUMNS, "--group-column")
    groups = [None if value.lower() in MISSING else value for value in table.texts(column)]
    return groups, f"the column {column}"


def _vote_remark(labels: Sequence[str | None], neither: int) -> str:
    without = sum(label is None for label in labels)
    return (
        f"Votes: the label is the majority's (Barsoum et al. 2016); {counted(without, 'image')} without one, "
        f"{neither:,} of them left out altogether (unknown, no face, or no agreement)."
    )


def _entries(
    names: Sequence[str], keys: Mapping[str, Key], rows: _Rows, listed: Listing, table: str
) -> tuple[list[Entry], list[str]]:
    """An entry for each image, or for each box; and remarks on rows that contradict each other."""
    by_image: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        by_image[name].append(row)
    labels = rows.labels.labels
    entries = []
    two_labels: list[str] = []
    two_splits: list[str] = []
    for name, members in by_image.items():
        # A folder may hold the file under a name that does not look like an image's; reading it will show.
        key = keys.get(name, name if listed.kind == "folder" and _is_inside(name) else None)
        boxes = list(dict.fromkeys(rows.boxes[row] for row in members))
        for number, box in enumerate(boxes):
            same = [row for row in members if rows.boxes[row] == box]
            image_id = name if len(boxes) == 1 else f"{name}#{number}"
            stated = dict.fromkeys(labels[row] for row in same if labels[row] is not None)
            if len(stated) > 1:
                two_labels.append(f"{image_id}: {', '.join(map(str, stated))}")
            splits = dict.fromkeys(one for row in same if (one := rows.splits[row]) is not None)
            if len({one.split for one in splits}) > 1:
                two_splits.append(image_id)
            split = min(splits, key=lambda one: ("test", "val", "train").index(one.split), default=None)
            entries.append(
                Entry(
                    image_id,
                    key,
                    next(iter(stated)) if len(stated) == 1 else None,
                    split.split if split else None,
                    split.subset if split else None,
                    next((rows.groups[row] for row in same if rows.groups[row] is not None), None),
                    next((rows.votes[row] for row in same if rows.votes[row] is not None), None),
                    None if isinstance(box, str) else box,
                    box if isinstance(box, str) else None,
                )
            )
    remarks = []
    if two_labels:
        remarks.append(
            f"{counted(len(two_labels), 'image')} with two different labels in {table}, stored without any "
            f"({'; '.join(two_labels[:5])}{'; ...' if len(two_labels) > 5 else ''})."
        )
    if two_splits:
        remarks.append(
            f"{counted(len(two_splits), 'image')} in two splits in {table} ({', '.join(two_splits[:5])}"
            f"{', ...' if len(two_splits) > 5 else ''}); test goes before val and val before train."
        )
    missing = [name for name in by_image if name not in keys]
    if missing:
        remarks.append(
            f"{counted(len(missing), 'image')} of {table} not in {listed.name} ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}), stored as unreadable."
        )
    return entries, remarks


def _complete_splits(names: Sequence[str], rows: _Rows, options: SourceOptions, table: str) -> list[str]:
    """Take the splits that the paths state where the table states none.

    Raises:
        SourceError: The table would train on an image that its path calls test or validation.
    """
    try:
        by_path = path_splits(Tree(names, options))
    except SourceError:
        if rows.has_splits:
            return []
        raise
    if not any(by_path):
        return []
    for name, stated, path_split in zip(names, rows.splits, by_path, strict=True):
        if stated is not None and path_split is not None and stated.split == "train" != path_split.split:
            raise SourceError(
                f"{table} has {name} in train, and its path says {path_split.split}; where the table is "
                f"right, name "
                "the folder with --split-names FOLDER= (no split)."
            )
    taken = sum(a is None and b is not None for a, b in zip(rows.splits, by_path, strict=True))
    rows.splits = [stated or other for stated, other in zip(rows.splits, by_path, strict=True)]
    return [f"{counted(taken, 'image')} of {table} without a split, taken from the path."] if taken else []


def _other_folders(names: Sequence[str], labels: Sequence[str | None], table: str) -> list[str]:
    """A remark on images whose folder is named like another expression than the table's label."""
    other = []
    for name, label in zip(names, labels, strict=True):
        classes = {canonical_label(folder) for folder in name.split("/")[:-1] if is_known_label(folder)}
        if label is not None and classes and label not in classes:
            other.append(f"{name}: {label}")
    if not other:
        return []
    return [
        f"{counted(len(other), 'image')} with another label in {table} than their folder is named; the "
        f"table's holds "
        f"({'; '.join(other[:3])}{'; ...' if len(other) > 3 else ''})."
    ]


def _unnamed(ids: Sequence[str], named: set[str], table: str) -> list[str]:
    rest = [image_id for image_id in ids if image_id not in named]
    if not rest:
        return []
    return [
        f"{counted(len(rest), 'image')} that {table} does not name, left out ({', '.join(rest[:3])}"
        f"{', ...' if len(rest) > 3 else ''})."
    ]


def _itself(listed: Listing, path: Path) -> list[str]:
    """The table's own name in the listing, where it lies in the folder: it is used, not left out."""
    root = getattr(listed.reader, "root", None)
    if root is None:
        return []
    here = path.resolve()
    return [name for name, key in listed.others.items() if (Path(root) / str(key)).resolve() == here]


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
