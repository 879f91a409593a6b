"""From the place of an image in a folder tree or archive: its class, its split, its subset.

Every folder of a path is read for what its name states: a split (at any level), an expression, or neither. A
class is a folder named like an expression, a folder beside such ones, or, where no folder is named so, the
folder below (or above) the split folders. A folder that holds class folders or split folders is no class.
What can be read in two ways is refused, with the option that decides.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from landmarkfer.data.labels import canonical_label, is_known_label, label_key
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.options import Layout, SourceOptions
from landmarkfer.extraction.sources.tree.splits import (
    StatedSplit,
    TwoSplits,
    canonical_split,
    file_split,
    looks_like_a_split,
    stated_split,
)
from landmarkfer.progress import counted

__all__ = ["Layout", "Place", "canonical_split", "read_layout"]

# Folders of these names beside class folders may hold anything.
_MEANINGLESS = frozenset(
    """
    all any backup crop crops cropped data dataset datasets download downloads example examples face faces
    file files image images img imgs misc mixed new other others photo photos pic pics picture pictures raw
    rest sample samples temp thumbnails thumbs tmp unknown unlabeled unlabelled unsorted untitled various
    """.split()
)
_HIGHEST_NUMBER = 10
"""Folders that are numbered up to this are taken for classes; higher numbers are years, people, albums."""

_Folders = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The class, split and subset of one image; None where they are unknown. `folder` spells the class."""

    label: str | None
    split: str | None
    subset: str | None
    folder: str | None = field(default=None, compare=False)


@dataclass
class _Folder:
    """A folder of the tree: what its name states, what it holds, and how many images lie directly in it."""

    name: str
    split: StatedSplit | None
    known: bool
    folders: dict[str, "_Folder"] = field(default_factory=dict)
    images: int = 0

    def holds(self, what: str) -> bool:
        """Whether one of its folders is `known` as a class, or states a `split`."""
        return any(bool(getattr(folder, what)) for folder in self.folders.values())

    def holds_anywhere(self, what: str) -> bool:
        """As `holds`, at any depth."""
        return self.holds(what) or any(folder.holds_anywhere(what) for folder in self.folders.values())


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
    tree = _Tree(paths, options)
    splits = tree.splits()
    remarks = tree.outside_of_splits(splits)
    if options.layout == "unlabelled":
        classes: list[str | None] = [None] * len(paths)
    else:
        classes, more = tree.classes()
        remarks += more
    labels = [None if name is None else tree.label(name) for name in classes]
    tree.check_lost_splits(splits, labels)
    places = [
        Place(label, stated.split if stated else None, tree.subset(path, stated), name)
        for path, stated, name, label in zip(paths, splits, classes, labels, strict=True)
    ]
    return places, remarks


class _Tree:
    """The folders of a source, and what their names state."""

    def __init__(self, paths: Sequence[str], options: SourceOptions) -> None:
        self.paths = paths
        self.given_splits = options.split_names
        self.given_labels = options.label_names
        self.layout = options.layout
        self.folders: list[_Folders] = [tuple(path.split("/")[:-1]) for path in paths]
        self.root = _Folder("", None, False)
        self._stated: dict[str, StatedSplit | TwoSplits | None] = {}
        self._known: dict[str, bool] = {}
        for names, number in Counter(self.folders).items():
            here = self.root
            for name in names:
                if name not in here.folders:
                    stated = self.state(name)
                    split = stated if isinstance(stated, StatedSplit) else None
                    here.folders[name] = _Folder(name, split, split is None and self.is_known(name))
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

    def splits(self) -> list[StatedSplit | None]:
        """What each path states of its split.

        Raises:
            SourceError: A path states two.
        """
        by_folder = {names: self._split_of(names) for names in set(self.folders)}
        found: list[StatedSplit | None] = []
        for path, names in zip(self.paths, self.folders, strict=True):
            by_name = file_split(path, self.given_splits)
            above = by_folder[names]
            if above is None:
                found.append(by_name)
                continue
            if by_name is not None and above.split == "train" and by_name.split != "train":
                raise SourceError(
                    f"{path} is in {_quoted(names, self)} and its name says {by_name.split}: it would be "
                    f"trained "
                    f"on; decide with --split-names, such as --split-names "
                    f"{_file_word(path)}=train."
                )
            found.append(above)
        return found

    def subset(self, path: str, stated: StatedSplit | None) -> str | None:
        """The data set's own name for the part that an image is of."""
        by_name = file_split(path)
        return by_name.subset if by_name and by_name.subset else stated.subset if stated else None

    def _split_of(self, names: _Folders) -> StatedSplit | None:
        stated = {name: self.state(name) for name in names}
        clear = {name: one for name, one in stated.items() if isinstance(one, StatedSplit)}
        kinds = {one.split for one in clear.values()}
        if len(kinds) > 1:
            first, second = list(clear)[:2]
            raise SourceError(
                f"{'/'.join(names)} names two splits; say which of the two holds with --split-names "
                f"'{first}=' or --split-names '{second}=' for the one that is no split."
            )
        twice = [name for name, one in stated.items() if isinstance(one, TwoSplits)]
        if twice and not kinds:
            raise SourceError(
                f"the folder {twice[0]} names two splits, and its images lie in no other split folder; say "
                f"which it is with --split-names '{twice[0]}=train', or '{twice[0]}=' for none."
            )
        if not clear:
            return None
        return next((one for one in clear.values() if one.subset), next(iter(clear.values())))

    def outside_of_splits(self, splits: Sequence[StatedSplit | None]) -> list[str]:
        """A remark on images without a split where others have one."""
        lacking = [path for path, stated in zip(self.paths, splits, strict=True) if stated is None]
        if not lacking or len(lacking) == len(splits):
            return []
        return [
            f"{counted(len(lacking), 'image')} {_are(lacking)} in no split folder ({_examples(lacking)}); "
            f"what has a class there is trained on."
        ]

    def classes(self) -> tuple[list[str | None], list[str]]:
        """The name of the class folder of each path, or None; and remarks.

        Raises:
            SourceError: The tree can be read in two ways.
        """
        named = {name for names in self.folders for name in names if self._counts(name)}
        places: dict[_Folders, str | None]
        if named and self.layout == "auto":
            places = {names: self._by_name(names) for names in set(self.folders)}
        elif self.layout == "classes" or any(self.state(name) for names in self.folders for name in names):
            places = dict(self._by_position())
        else:
            places = dict(self._numbered())
            if not places:
                return [None] * len(self.paths), self._albums()
        found = [places.get(names) for names in self.folders]
        if not any(found):
            if self.layout == "classes":
                raise SourceError(
                    "no image lies in a class folder, so there are no labels; give --layout unlabelled."
                )
            return found, [] if named else self._albums()
        lacking = [path for path, name in zip(self.paths, found, strict=True) if name is None]
        remarks = []
        if lacking:
            remarks.append(
                f"{counted(len(lacking), 'image')} {_are(lacking)} in no class folder "
                f"({_examples(lacking)}), "
                "stored without a label."
            )
        return found, remarks + self._copies()

    def _counts(self, name: str) -> bool:
        return self.is_known(name) and not isinstance(self.state(name), StatedSplit)

    def label(self, name: str) -> str | None:
        """The class that a folder means; None where the user said that it is none."""
        meant = self.given_labels.get(label_key(name), name)
        return None if meant is None else canonical_label(meant)

    # Folders named like expressions.

    def _by_name(self, names: _Folders) -> str | None:
        """The class folder on a path, where some folder of the tree is named like an expression."""
        known = [name for name in names if self._counts(name)]
        meant = dict.fromkeys(map(self.label, known))
        if len(meant) > 1:
            raise SourceError(
                f"{'/'.join(names)} names two classes, {' and '.join(known[:2])}; say which is none with "
                f"--label-names '{known[0]}='."
            )
        if known:
            return known[-1]
        return self._beside(names)

    def _beside(self, names: _Folders) -> str | None:
        """The folder on a path that stands beside class folders and is one by that."""
        here = self.root
        for name in names:
            folder = here.folders[name]
            if folder.split is None and self._is_class_level(here):
                if self.given_labels.get(label_key(name), name) is None or folder.holds_anywhere("known"):
                    return None
                if folder.holds_anywhere("split") and not self._split_below(here):
                    return None
                if label_key(name) in _MEANINGLESS:
                    raise SourceError(
                        f"the folder {name} beside class folders may be a class or not; say so with "
                        f"--label-names '{name}={name}', or '{name}=' for no class."
                    )
                return name
            here = folder
        return None

    def _is_class_level(self, folder: _Folder) -> bool:
        """Whether a folder, or a split folder beside it, holds folders named like expressions."""
        if folder.holds("known"):
            return True
        return folder.split is not None and any(
            other.holds("known") for other in self._siblings_of.get(id(folder), ())
        )

    @property
    def _siblings_of(self) -> Mapping[int, tuple[_Folder, ...]]:
        """The split folders beside each split folder."""
        if not hasattr(self, "_siblings"):
            self._siblings: dict[int, tuple[_Folder, ...]] = {}
            waiting = [self.root]
            while waiting:
                here = waiting.pop()
                splits = tuple(folder for folder in here.folders.values() if folder.split)
                self._siblings |= {id(folder): splits for folder in splits}
                waiting += here.folders.values()
        return self._siblings

    def _split_below(self, folder: _Folder) -> bool:
        return any(one.holds("split") for one in folder.folders.values() if one.known)

    # Folders that stand where classes stand.

    def _by_position(self) -> dict[_Folders, str]:
        """The class folder of each folder that has one: the first that is no split and no wrapper."""
        plain = {names: tuple(n for n in names if not self._is_split(n)) for names in set(self.folders)}
        depth = _wrappers([names for names in plain.values() if names])
        found = {names: rest[depth] for names, rest in plain.items() if len(rest) > depth}
        if self.layout == "auto" and found:
            if len(set(found.values())) == 1:
                return {}  # a single folder tells nothing apart, such as train/images and test/images
            self._check_position(plain, found, depth)
        return found

    def _is_split(self, name: str) -> bool:
        return isinstance(self.state(name), StatedSplit | TwoSplits)

    def _check_position(
        self, plain: Mapping[_Folders, _Folders], found: Mapping[_Folders, str], depth: int
    ) -> None:
        """Refuse what can be read in two ways: folders of folders, and folders that hold split folders."""
        if not any(len(plain[names]) == depth + 1 for names in found):
            deeper = next(names for names in found)
            raise SourceError(
                f"the classes may be {_some({plain[n][depth] for n in found})}, or the folders in them, such "
                f"as "
                f"{'/'.join(deeper)}; --layout classes takes the first, and the folder that holds the others "
                "may be given as the source instead."
            )
        holding = sorted(
            {
                name
                for names, name in found.items()
                if any(self._is_split(n) for n in names[names.index(name) + 1 :])
            }
        )
        if holding:
            raise SourceError(
                f"the folders {_some(holding)} hold split folders, so they may be classes or not; --layout "
                "classes takes them as classes, and --layout unlabelled does not."
            )

    def _numbered(self) -> dict[_Folders, str]:
        """Folders of small numbers that stand alone, as classes."""
        depth = _wrappers([names for names in set(self.folders) if names])
        found = {names: names[depth] for names in set(self.folders) if len(names) > depth}
        keys = {label_key(name) for name in found.values()}
        numbered = all(key.isdecimal() and int(key) <= _HIGHEST_NUMBER for key in keys)
        return found if numbered and len(keys) > 1 else {}

    def _albums(self) -> list[str]:
        """A remark on folders that were not taken for classes."""
        plain = [tuple(n for n in names if not self._is_split(n)) for names in set(self.folders)]
        depth = _wrappers([names for names in plain if names])
        named = sorted({names[depth] for names in plain if len(names) > depth})
        if not named:
            return []
        return [
            f"The folders {_some(named)} are not named like expressions, so the images are taken as "
            f"unlabelled; "
            "--layout classes makes the folder names labels."
        ]

    def check_lost_splits(self, splits: Sequence[StatedSplit | None], classes: Sequence[str | None]) -> None:
        """Refuse folders that may be splits without being named so that it is clear.

        Raises:
            SourceError: An image with a class and without a split lies in a folder such as `mytest`.
        """
        for names, stated, label in zip(self.folders, splits, classes, strict=True):
            if label is None or stated is not None:
                continue
            for name in names:
                if canonical_label(name) != label and self.state(name) is None and looks_like_a_split(name):
                    if label_key(name) not in self.given_splits:
                        raise SourceError(
                            f"the folder {name} may be a split; say so with --split-names '{name}=test' (or "
                            f"train, "
                            f"val), or '{name}=' for none."
                        )

    def _copies(self) -> list[str]:
        """A remark on images that are there a second time, deeper, under the same path."""
        rest: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            names = path.split("/")
            again = next((n for n in range(1, len(names) - 1) if names[n] in names[:n]), None)
            if again is not None:
                rest["/".join(names[again:])].append(path)
                rest["/".join([*names[:again], *names[again + 1 :]])].append(path)
        there = set(self.paths)
        copies = {path for other, deeper in rest.items() if other in there for path in deeper}
        if not copies:
            return []
        return [
            f"{counted(len(copies), 'image')} {_are(copies)} there twice, as {min(copies)} is; the folder "
            f"seems to "
            "hold a copy of itself. All are stored."
        ]


def _wrappers(folders: Iterable[_Folders]) -> int:
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


def _quoted(names: _Folders, tree: _Tree) -> str:
    return next((name for name in names if isinstance(tree.state(name), StatedSplit)), "/".join(names))


def _file_word(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return "".join(
        sign for sign in name[: next((i for i, s in enumerate(name) if s.isdigit()), None)]
    ).rstrip(" _.-")


def _are(things: Iterable[str]) -> str:
    return "is" if len(list(things)) == 1 else "are"


def _examples(paths: Sequence[str]) -> str:
    return ", ".join(paths[:2]) + (", ..." if len(paths) > 2 else "")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (", ..." if len(ordered) > 3 else "")
