"""The split of each path of a tree, from the names of its folders and of the file."""

from collections.abc import Sequence

from landmarkfer.data.labels import canonical_label, label_key
from landmarkfer.data.split_names import (
    StatedSplit,
    TwoSplits,
    file_split,
    looks_like_a_split,
)
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tree.folders import Folders, Tree, are, examples
from landmarkfer.progress import counted


def path_splits(tree: Tree) -> list[StatedSplit | None]:
    """What each path states of its split.

    Raises:
        SourceError: A path states two.
    """
    by_folder = {names: _split_of(tree, names) for names in set(tree.folders)}
    found: list[StatedSplit | None] = []
    for path, names in zip(tree.paths, tree.folders, strict=True):
        by_name = file_split(path, tree.given_splits)
        above = by_folder[names]
        if above is None:
            found.append(by_name)
            continue
        if by_name is not None and above.split == "train" and by_name.split != "train":
            raise SourceError(
                f"{path} is in {_split_folder(names, tree)} and its name says {by_name.split}: it would be "
                f"trained on; decide with --split-names, such as --split-names "
                f"{file_word(path)}=train."
            )
        found.append(above)
    return found


def path_subset(path: str, stated: StatedSplit | None) -> str | None:
    """The data set's own name for the part that an image is of."""
    by_name = file_split(path)
    return by_name.subset if by_name and by_name.subset else stated.subset if stated else None


def outside_of_splits(
    tree: Tree, splits: Sequence[StatedSplit | None], labels: Sequence[str | None]
) -> list[str]:
    """A remark on images with a class and without a split, where others have one."""
    labelled = [place for place, label in enumerate(labels) if label is not None]
    lacking = [tree.paths[place] for place in labelled if splits[place] is None]
    if not lacking or len(lacking) == len(labelled):
        return []
    return [
        f"{counted(len(lacking), 'image')} {are(lacking)} in no split folder ({examples(lacking)}), and "
        f"trained on."
    ]


def check_lost_splits(
    tree: Tree, splits: Sequence[StatedSplit | None], classes: Sequence[str | None]
) -> None:
    """Refuse folders that may be splits without being named so that it is clear.

    Raises:
        SourceError: An image with a class and without a split lies in a folder such as `mytest`.
    """
    for names, stated, label in zip(tree.folders, splits, classes, strict=True):
        if label is None or stated is not None:
            continue
        for name in names:
            if canonical_label(name) != label and tree.state(name) is None and looks_like_a_split(name):
                if label_key(name) not in tree.given_splits:
                    raise SourceError(
                        f"the folder {name} may be a split; say so with --split-names '{name}=test' (or "
                        f"train, "
                        f"val), or '{name}=' for none."
                    )


def _split_of(tree: Tree, names: Folders) -> StatedSplit | None:
    stated = {name: tree.state(name) for name in names}
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


def _split_folder(names: Folders, tree: Tree) -> str:
    return next((name for name in names if isinstance(tree.state(name), StatedSplit)), "/".join(names))


def file_word(path: str) -> str:
    """What a file name starts with, before its first number."""
    name = path.rsplit("/", 1)[-1]
    return "".join(
        sign for sign in name[: next((i for i, s in enumerate(name) if s.isdigit()), None)]
    ).rstrip(" _.-")
