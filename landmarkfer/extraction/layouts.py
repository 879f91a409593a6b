"""From the place of an image in a folder tree or archive: its class, its split, its subset.

Known are class folders with or without split folders above them (`happy/x.jpg`, `train/happy/x.jpg`), in any
case and under any number of enclosing folders (`archive/data/train/happy/x.jpg`), and FER2013's file names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from landmarkfer.data.labels import canonical_label, is_known_label
from landmarkfer.errors import SourceError

Layout = Literal["auto", "classes", "unlabelled"]

SPLITS: dict[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

# FER2013's `Usage`, also found as a prefix of file names: its subset, and the split that goes with it.
FER2013_USAGE: dict[str, tuple[str, str]] = {
    "training": ("train", "train"),
    "publictest": ("public", "test"),
    "privatetest": ("private", "test"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The class, split and subset of one image; None where they are unknown."""

    label: str | None
    split: str | None
    subset: str | None


def canonical_split(name: str) -> str | None:
    """Return `train`, `val` or `test` for the name of a split or of a FER2013 usage, None for any other."""
    lowered = name.strip().lower()
    usage = FER2013_USAGE.get(lowered)
    return usage[1] if usage else SPLITS.get(lowered)


def read_layout(paths: Sequence[str], layout: Layout = "auto") -> tuple[list[Place], str | None]:
    """Read each image's place from its path.

    Args:
        paths: Paths relative to the source, with forward slashes.
        layout: `classes` takes the folder below the split folders as the class, `unlabelled` takes none, and
            `auto` takes it if a folder is named like an expression or if there are split folders above it.

    Returns:
        One place per path, and a remark for the user if folder names were not taken as classes.

    Raises:
        SourceError: `layout` is `classes` and no image lies in a folder.
    """
    folders = [path.split("/")[:-1] for path in paths]
    start = _enclosing_depth(folders)
    splits: list[str | None] = []
    classes: list[str | None] = []
    for names in folders:
        split = canonical_split(names[start]) if len(names) > start else None
        splits.append(split)
        below = start + (split is not None)
        classes.append(names[below] if len(names) > below else None)

    named = sorted({name for name in classes if name is not None})
    remark = None
    if layout == "classes" and not named:
        raise SourceError(
            "no image lies in a class folder, so there are no labels; give --layout unlabelled."
        )
    labelled = bool(named) and layout != "unlabelled"
    if labelled and layout == "auto":
        labelled = any(map(is_known_label, named)) or any(splits)
        if not labelled:
            shown = ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")
            remark = (
                f"The folders {shown} are not named like expressions, so the images are taken as unlabelled; "
            )
            remark += "--layout classes makes the folder names labels."

    places = []
    for path, split, name in zip(paths, splits, classes, strict=True):
        usage = FER2013_USAGE.get(path.rsplit("/", 1)[-1].split("_", 1)[0].lower())
        label = canonical_label(name) if labelled and name is not None else None
        places.append(Place(label, split or (usage and usage[1]), usage and usage[0]))
    return places, remark


def _enclosing_depth(folders: Sequence[Sequence[str]]) -> int:
    """Count the folders around the whole data set, which are neither split nor class."""
    depth = 0
    while folders and all(len(names) > depth + 1 for names in folders):
        names = {names[depth] for names in folders}
        name = names.pop()
        if names or canonical_split(name) or is_known_label(name):
            break
        depth += 1
    return depth
