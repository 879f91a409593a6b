"""Tables that label the images of a folder or an archive: their rows are then the images."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from landmarkfer.data.labels import canonical_label, is_known_label
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.containers.listing import Listing, left_out
from landmarkfer.extraction.sources.entry import Entry, Key, Source
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.matching import PathIndex
from landmarkfer.extraction.sources.tables.rows import Rows, by_frame, joined, read_rows
from landmarkfer.extraction.sources.tree.folders import Tree
from landmarkfer.extraction.sources.tree.split_folders import path_splits
from landmarkfer.progress import counted


def apply_label_tables(listed: Listing, paths: Sequence[Path], options: SourceOptions) -> Source:
    """Take the rows of label tables as the images of a source.

    Args:
        listed: The folder or archive with the image files.
        paths: The tables: CSV, JSON Lines, Parquet, Excel (.xlsx), or the list of RAF-DB or ExpW.
        options: Names of columns, of splits and of labels.

    Returns:
        The source with one entry per path in the tables (per box, where they have boxes; per frame of a
        video), sorted by id. A path that is not there stays as an entry that cannot be read; a path with two
        different labels has neither.

    Raises:
        SourceError: A table cannot be read, lacks a column, has no rows, or can be read in two ways.
    """
    frames = _frames(listed)
    ids = [image_id for image_id, _ in listed.images if image_id not in set(chain(*frames.values()))]
    index = PathIndex([*ids, *frames])
    names: list[str] = []
    parts: list[Rows] = []
    for path in paths:
        rows = read_rows(path, listed, index, options)
        matched = _matched(rows, listed, index, path)
        names += [found or given for found, given in zip(matched, rows.paths, strict=True)]
        parts.append(rows)
    rows = joined(parts)
    if frames:
        names, rows = by_frame(names, rows, frames)
    table = " and ".join(path.name for path in paths)
    keys: dict[str, Key] = {**listed.others, **dict(listed.images)}
    remarks = _complete_splits(names, rows, options, table)
    entries, more = _entries(names, keys, rows, listed, table)
    remarks = rows.remarks + rows.labels.remarks + more + remarks
    remarks += _other_folders(names, rows.labels.labels, table)
    remarks += _unnamed([image_id for image_id, _ in listed.images], set(names), table)
    itself = [name for path in paths for name in _itself(listed, path)]
    ignored, more = left_out(listed, [*names, *frames, *itself])
    return Source(
        f"{listed.kind}+labels",
        listed.name,
        sorted(entries, key=lambda entry: entry.id),
        listed.reader,
        ignored,
        list(dict.fromkeys(remarks + more)),
        rows.labels.readings,
        rows.group_rule,
        rows.vote_classes,
        "; ".join(dict.fromkeys(rows.columns)),
    )


def _matched(rows: Rows, listed: Listing, index: PathIndex, path: Path) -> list[str | None]:
    """The image that each row means."""
    splits = [split.split if split else None for split in rows.splits]
    found = index.match(rows.paths, _folder_of(listed, path), splits)
    # Other files only by their whole path: `a` means a.jpg, and not the a.txt beside it.
    matched = [
        one or (name if name in listed.others else None) for one, name in zip(found, rows.paths, strict=True)
    ]
    if any(matched):
        return matched
    first = next((name for name in rows.paths if name), "")
    example = f", where one is {listed.images[0][0]}" if listed.images else ""
    raise SourceError(
        f"not one of {counted(len(set(rows.paths)), 'path')} in {path} is an image in {listed.name} "
        f"(the first is {first}){example}; paths are relative to the source, and --path-column names "
        "another column."
    )


def _frames(listed: Listing) -> dict[str, list[str]]:
    """The frames of each video whose frames are among the images."""
    frames: dict[str, list[str]] = defaultdict(list)
    for image_id, _ in listed.images:
        video = image_id.rpartition("#")[0]
        if video in listed.others:
            frames[video].append(image_id)
    return dict(frames)


def _folder_of(listed: Listing, path: Path) -> str:
    """The folder of a table that lies in the source, which its paths may be relative to; else empty."""
    name = next(iter(_itself(listed, path)), "")
    return name.rpartition("/")[0]


def _entries(
    names: Sequence[str], keys: Mapping[str, Key], rows: Rows, listed: Listing, table: str
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


def _complete_splits(names: Sequence[str], rows: Rows, options: SourceOptions, table: str) -> list[str]:
    """Take the splits that the paths state where the table states none.

    Raises:
        SourceError: The table would train on an image that its path calls test or validation.
    """
    try:
        by_path = path_splits(Tree(names, options))
        # The path as the table spells it, where the images lie flat.
        spelt = path_splits(Tree(rows.paths, options))
        by_path = [one or other for one, other in zip(by_path, spelt, strict=True)]
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
    """The table's own name in the listing, where it lies in the source: it is used, not left out."""
    here = path.resolve()
    root = getattr(listed.reader, "root", None)
    if root is None:  # of an archive, from which it was unpacked under its name
        return [name for name in listed.others if here.as_posix().endswith(f"/{name}")]
    return [name for name, key in listed.others.items() if (Path(root) / str(key)).resolve() == here]


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
