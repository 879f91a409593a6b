"""From the place of an image in a folder tree or archive: its class, its split, its subset.

Every folder of a path is read for what its name states: a split (at any level), an expression, or neither. A
class is a folder named like an expression, a folder beside such ones, or, where no folder is named so, the
folder below (or above) the split folders. A folder that holds class folders or split folders is no class.
What can be read in two ways is refused, with the option that decides.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from landmarkfer.data.labels import label_key
from landmarkfer.data.split_names import canonical_split
from landmarkfer.extraction.sources.labels import check_names
from landmarkfer.extraction.sources.options import Layout, SourceOptions
from landmarkfer.extraction.sources.tree.class_folders import class_folders
from landmarkfer.extraction.sources.tree.folders import Tree, are
from landmarkfer.extraction.sources.tree.split_folders import (
    check_lost_splits,
    file_word,
    outside_of_splits,
    path_splits,
    path_subset,
)
from landmarkfer.progress import counted

__all__ = ["Layout", "Place", "canonical_split", "read_layout"]


@dataclass(frozen=True, slots=True)
class Place:
    """The class, split and subset of one image; None where they are unknown. `folder` spells the class."""

    label: str | None
    split: str | None
    subset: str | None
    folder: str | None = field(default=None, compare=False)


def read_layout(paths: Sequence[str], options: SourceOptions | None = None) -> tuple[list[Place], list[str]]:
    """Read each image's place from its path.

    Args:
        paths: Paths relative to the source, with forward slashes.
        options: `layout`, `split_names` and `label_names` decide what names do not.

    Returns:
        One place per path, with the class as its folder spells it in lower case or as the alias table does;
        and remarks for the user.

    Raises:
        SourceError: The tree can be read in two ways, or `layout` is `classes` and no image lies in a folder.
    """
    options = options or SourceOptions()
    tree = Tree(paths, options)
    splits = path_splits(tree)
    folders = {label_key(name) for names in tree.folders for name in names}
    check_names(
        options.split_names, folders | {label_key(word) for word in map(file_word, paths)}, "--split-names"
    )
    if options.layout != "unlabelled":
        check_names(options.label_names, folders, "--label-names")
    remarks: list[str] = []
    if options.layout == "unlabelled":
        classes: list[str | None] = [None] * len(paths)
    else:
        classes, more = class_folders(tree, options.layout)
        remarks += more + (_copies(paths) if any(classes) else [])
    labels = [None if name is None else tree.label(name) for name in classes]
    check_lost_splits(tree, splits, labels)
    remarks += outside_of_splits(tree, splits, labels)
    places = [
        Place(label, stated.split if stated else None, path_subset(path, stated), name)
        for path, stated, name, label in zip(paths, splits, classes, labels, strict=True)
    ]
    return places, remarks


def _copies(paths: Sequence[str]) -> list[str]:
    """A remark on images that are there a second time, deeper, under the same path."""
    rest: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        names = path.split("/")
        again = next((n for n in range(1, len(names) - 1) if names[n] in names[:n]), None)
        if again is not None:
            rest["/".join(names[again:])].append(path)
            rest["/".join([*names[:again], *names[again + 1 :]])].append(path)
    there = set(paths)
    copies = {path for other, deeper in rest.items() if other in there for path in deeper}
    if not copies:
        return []
    return [
        f"{counted(len(copies), 'image')} {are(copies)} there twice, as {min(copies)} is; the folder "
        f"seems to "
        "hold a copy of itself. All are stored."
    ]
