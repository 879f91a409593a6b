"""The folders of a source as a tree, and what their names state."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from landmarkfer.data.labels import canonical_label, is_known_label, label_key
from landmarkfer.data.split_names import StatedSplit, TwoSplits, class_in_split, stated_split
from landmarkfer.extraction.sources.options import SourceOptions

Folders = tuple[str, ...]
"""The folders of a path, from the source downward."""


@dataclass
class Folder:
    """A folder of the tree: what its name states, what it holds, and how many images lie directly in it."""

    name: str
    split: StatedSplit | None
    known: bool
    folders: dict[str, "Folder"] = field(default_factory=dict)
    images: int = 0

    def holds(self, what: str) -> bool:
        """Whether one of its folders is `known` as a class, or states a `split`."""
        return any(bool(getattr(folder, what)) for folder in self.folders.values())

    def holds_anywhere(self, what: str) -> bool:
        """As `holds`, at any depth."""
        return self.holds(what) or any(folder.holds_anywhere(what) for folder in self.folders.values())


class Tree:
    """The folders of a source, and what their names state.

    Args:
        paths: Paths relative to the source, with forward slashes.
        options: `split_names` and `label_names` decide what names do not.
    """

    def __init__(self, paths: Sequence[str], options: SourceOptions) -> None:
        self.paths = paths
        self.given_splits = options.split_names
        self.given_labels = options.label_names
        self.folders: list[Folders] = [tuple(path.split("/")[:-1]) for path in paths]
        self.root = Folder("", None, False)
        self._stated: dict[str, StatedSplit | TwoSplits | None] = {}
        self._known: dict[str, bool] = {}
        for names, number in Counter(self.folders).items():
            here = self.root
            for name in names:
                if name not in here.folders:
                    stated = self.state(name)
                    split = stated if isinstance(stated, StatedSplit) else None
                    here.folders[name] = Folder(name, split, split is None and self.is_known(name))
                here = here.folders[name]
            here.images += number

    def state(self, name: str) -> StatedSplit | TwoSplits | None:
        """What a folder's name states of the split; `TwoSplits` where it names two."""
        if name not in self._stated:
            try:
                self._stated[name] = stated_split(name, self.given_splits)
            except TwoSplits as error:
                self._stated[name] = error
        return self._stated[name]

    def is_known(self, name: str) -> bool:
        """Whether a folder is named like an expression, or the user named it."""
        if name not in self._known:
            key = label_key(name)
            given = self.given_labels.get(key, name)
            self._known[name] = given is not None and (key in self.given_labels or is_known_label(name))
        return self._known[name]

    def is_split(self, name: str) -> bool:
        """Whether a folder's name states a split, or two."""
        return isinstance(self.state(name), StatedSplit | TwoSplits)

    def is_class(self, name: str) -> bool:
        """Whether a folder is named like an expression and not like a split."""
        if isinstance(self.state(name), StatedSplit):
            return class_in_split(name) is not None
        return self.is_known(name)

    def label(self, name: str) -> str | None:
        """The class that a folder means; None where the user said that it is none."""
        plain = class_in_split(name) if isinstance(self.state(name), StatedSplit) else None
        meant = self.given_labels.get(label_key(name), plain or name)
        return None if meant is None else canonical_label(meant)

    @cached_property
    def split_siblings(self) -> Mapping[int, tuple[Folder, ...]]:
        """The split folders beside each split folder, itself included, by `id`."""
        found: dict[int, tuple[Folder, ...]] = {}
        waiting = [self.root]
        while waiting:
            here = waiting.pop()
            splits = tuple(folder for folder in here.folders.values() if folder.split)
            found |= {id(folder): splits for folder in splits}
            waiting += here.folders.values()
        return found


def wrappers(folders: Iterable[Folders]) -> int:
    """Count the folders around the whole data set, which are no class."""
    folders = list(folders)
    depth = 0
    while True:
        deep = [names for names in folders if len(names) > depth]
        below = {names[depth + 1] for names in deep if len(names) > depth + 1}
        inside = any(len(names) == depth + 1 for names in deep)
        # A folder that holds images and a single folder is no wrapper: what holds the images is a class.
        if len({names[depth] for names in deep}) != 1 or not below or (inside and len(below) == 1):
            return depth
        depth += 1


def are(things: Collection[str]) -> str:
    """The verb of so many things."""
    return "is" if len(things) == 1 else "are"


def examples(paths: Sequence[str]) -> str:
    """The first two of some paths, for a message."""
    return ", ".join(paths[:2]) + (", ..." if len(paths) > 2 else "")


def some(names: Iterable[str]) -> str:
    """The first three of some names, for a message."""
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (", ..." if len(ordered) > 3 else "")
