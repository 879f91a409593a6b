"""The class folder of each path of a tree: by its name, by those beside it, or by its place.

A folder that holds class folders or split folders is no class. What can be read in two ways is refused.
"""

import difflib
import re
from collections.abc import Mapping, Sequence

from landmarkfer.data.labels import ALIASES, CLASS_ORDER, canonical_label, is_known_label, label_key
from landmarkfer.data.split_names import class_in_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.options import Layout
from landmarkfer.extraction.sources.tree.folders import Folder, Folders, Tree, are, examples, some, wrappers
from landmarkfer.progress import counted

# Folders of these names beside class folders may hold anything.
_MEANINGLESS = frozenset(
    """
    annotation annotations augmented background bad blurry boxes debug deleted duplicate duplicates errors
    failed figure figures landmark landmarks label labels latest log logs mask masks noface noise old output
    outputs plot plots prediction predictions preview previews readme rejected result results skipped trash
    all any archive archives backup crop crops cropped data dataset datasets download downloads example
    examples face faces file files image images img imgs misc mixed new other others photo photos pic pics
    picture pictures raw rest sample samples temp thumbnails thumbs tmp unknown unlabeled unlabelled unsorted
    untitled various
    """.split()
)
_FOLD = re.compile(r"^(?:fold|split)[\s_-]*\d+$")
_HIGHEST_NUMBER = 10
"""Folders that are numbered up to this are taken for classes; higher numbers are years, people, albums."""


def class_folders(tree: Tree, layout: Layout) -> tuple[list[str | None], list[str]]:
    """The name of the class folder of each path, or None; and remarks.

    Raises:
        SourceError: The tree can be read in two ways.
    """
    named = {name for names in tree.folders for name in names if tree.is_class(name)}
    places: dict[Folders, str | None]
    if named and layout == "auto":
        places = {names: _by_name(tree, names) for names in set(tree.folders)}
    elif layout == "classes" or any(tree.state(name) for names in tree.folders for name in names):
        places = dict(_by_position(tree, layout))
    else:
        places = dict(_numbered(tree))
        if not places:
            return [None] * len(tree.paths), _albums(tree)
    found = [places.get(names) for names in tree.folders]
    if not any(found):
        if layout == "classes":
            raise SourceError(
                "no image lies in a class folder, so there are no labels; give --layout unlabelled."
            )
        return found, [] if named else _albums(tree)
    lacking = [path for path, name in zip(tree.paths, found, strict=True) if name is None]
    remarks = _beside_remarks(tree, found) if named and layout == "auto" else []
    if lacking:
        remarks.append(
            f"{counted(len(lacking), 'image')} {are(lacking)} in no class folder "
            f"({examples(lacking)}), stored without a label."
        )
    return found, remarks + _folds(tree)


def _folds(tree: Tree) -> list[str]:
    """A remark on folders that are named like folds, which state no split by themselves."""
    folds = {name for names in set(tree.folders) for name in names if _FOLD.match(label_key(name))}
    undecided = sorted(name for name in folds if label_key(name) not in tree.given_splits)
    if not undecided:
        return []
    return [
        f"The folders {some(undecided)} state no split; --split-names '{undecided[0]}=test' makes one of "
        f"them so."
    ]


def _by_name(tree: Tree, names: Folders) -> str | None:
    """The class folder on a path, where some folder of the tree is named like an expression."""
    known = [name for name in names if tree.is_class(name)]
    meant = dict.fromkeys(map(tree.label, known))
    if len(meant) > 1:
        raise SourceError(
            f"{'/'.join(names)} names two classes, {' and '.join(known[:2])}; say which is none with "
            f"--label-names '{known[0]}='."
        )
    if known:
        plain = [name for name in known if not tree.is_split(name)]
        return plain[-1] if plain else class_in_split(known[-1])
    return _beside(tree, names)


def _beside(tree: Tree, names: Folders) -> str | None:
    """The folder on a path that stands beside class folders and is one by that."""
    here = tree.root
    for name in names:
        folder = here.folders[name]
        if folder.split is None and _is_class_level(tree, here):
            if tree.given_labels.get(label_key(name), name) is None or folder.holds_anywhere("known"):
                return None
            if folder.holds_anywhere("split") and not _split_below(here):
                return None
            if label_key(name) in _MEANINGLESS:
                raise SourceError(
                    f"the folder {name} beside class folders may be a class or not; say so with "
                    f"--label-names '{name}={name}', or '{name}=' for no class."
                )
            return name
        here = folder
    return None


def _beside_remarks(tree: Tree, found: Sequence[str | None]) -> list[str]:
    """A remark on classes that are only so for where their folders stand.

    Raises:
        SourceError: One is named like another class with an addition, such as `happy(1)`.
    """
    names = dict.fromkeys(name for name in found if name is not None)
    others = [name for name in names if not tree.is_known(name) and not is_known_label(name)]
    known = {tree.label(name) for name in names}
    for name in others:
        words = {canonical_label(word) for word in re.findall(r"[^\W\d_]+", label_key(name))}
        same = words & known & set(CLASS_ORDER)
        if len(same) == 1 and label_key(name) not in tree.given_labels:
            (label,) = same
            raise SourceError(
                f"the folder {name} may hold images of '{label}' or be a class of its own; say so with "
                f"--label-names '{name}={label}', '{name}={name}', or '{name}=' for no class."
            )
    if not others:
        return []
    near = [f"'{name}' looks like '{near[0]}'" for name in others if (near := _similar(name))]
    hint = f" ({'; '.join(near)}: --label-names decides)" if near else ""
    return [
        f"Folders that are not named like expressions and stand beside such are classes: "
        f"{some(others)}{hint}."
    ]


def _similar(name: str) -> list[str]:
    """The expression that a misspelt name may mean."""
    key = label_key(name)
    return difflib.get_close_matches(key, ALIASES, n=1, cutoff=0.8) if len(key) > 3 else []


def _is_class_level(tree: Tree, folder: Folder) -> bool:
    """Whether a folder, or a split folder beside it, holds folders named like expressions."""
    if folder.holds("known"):
        return True
    return folder.split is not None and any(
        other.holds("known") for other in tree.split_siblings.get(id(folder), ())
    )


def _split_below(folder: Folder) -> bool:
    return any(one.holds("split") for one in folder.folders.values() if one.known)


def _by_position(tree: Tree, layout: Layout) -> dict[Folders, str]:
    """The class folder of each folder that has one: the first that is no split and no wrapper."""
    plain = {names: tuple(n for n in names if not tree.is_split(n)) for names in set(tree.folders)}
    depth = wrappers([names for names in plain.values() if names])
    found = {names: rest[depth] for names, rest in plain.items() if len(rest) > depth}
    if layout == "auto" and found:
        if len(set(found.values())) == 1:
            return {}  # a single folder distinguishes nothing, such as train/images and test/images
        _check_position(tree, plain, found, depth)
    return found


def _check_position(
    tree: Tree, plain: Mapping[Folders, Folders], found: Mapping[Folders, str], depth: int
) -> None:
    """Refuse what can be read in two ways: folders of folders, and folders that hold split folders."""
    if not any(len(plain[names]) == depth + 1 for names in found):
        deeper = next(names for names in found)
        raise SourceError(
            f"the classes may be {some({plain[n][depth] for n in found})}, or the folders in them, such "
            f"as {'/'.join(deeper)}; --layout classes takes the first, and the folder that holds the others "
            "may be given as the source instead."
        )
    holding = sorted(
        {
            name
            for names, name in found.items()
            if any(tree.is_split(n) for n in names[names.index(name) + 1 :])
        }
    )
    if holding:
        raise SourceError(
            f"the folders {some(holding)} hold split folders, so they may be classes or not; --layout "
            "classes takes them as classes, and --layout unlabelled does not."
        )


def _numbered(tree: Tree) -> dict[Folders, str]:
    """Folders of small numbers that stand alone, as classes."""
    depth = wrappers([names for names in set(tree.folders) if names])
    found = {names: names[depth] for names in set(tree.folders) if len(names) > depth}
    keys = {label_key(name) for name in found.values()}
    numbered = all(key.isdecimal() and int(key) <= _HIGHEST_NUMBER for key in keys)
    return found if numbered and len(keys) > 1 else {}


def _albums(tree: Tree) -> list[str]:
    """A remark on folders that were not taken for classes."""
    plain = [tuple(n for n in names if not tree.is_split(n)) for names in set(tree.folders)]
    depth = wrappers([names for names in plain if names])
    named = sorted({names[depth] for names in plain if len(names) > depth})
    if not named:
        return []
    if len(named) == 1:
        return [
            f"The folder {named[0]} is not named like an expression, so the images are taken as unlabelled."
        ]
    return [
        f"The folders {some(named)} are not named like expressions, so the images are taken as "
        "unlabelled; --layout classes makes the folder names labels."
    ]
