"""Votes of annotators, as FER+ gives them: ten columns of counts, and the published rule that reads them.

Source: Barsoum et al. 2016, https://arxiv.org/abs/1608.01041. An emotion with a single vote is dropped. The
majority label is the one with more than half of the votes that remain. Soft targets are the most voted
emotions until three quarters of the votes are covered, at most three of them; an image on which no half of
the votes agrees so, or of which most say `unknown` or `NF` (no face), has neither.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.data.labels import CLASS_ORDER, canonical_label
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tables.read import Table, column_key
from landmarkfer.progress import counted

VOTE_CLASSES: tuple[str, ...] = CLASS_ORDER
"""Classes of the votes that are stored, in this order."""

_EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
_NO_EMOTION = ("unknown", "nf")
_MOST = 3
_COVERED = 0.75


def is_vote_table(table: Table) -> bool:
    """Whether a table has the ten columns of FER+."""
    return set(map(column_key, (*_EMOTIONS, *_NO_EMOTION))) <= set(table.columns)


def read_votes(table: Table) -> tuple[list[str | None], list[tuple[float, ...] | None], int]:
    """The majority label and the soft targets of each row.

    Args:
        table: A table of FER+.

    Returns:
        Labels; targets as votes in the order of `VOTE_CLASSES`; and how many rows have neither.

    Raises:
        SourceError: A cell is no number of votes.
    """
    columns = [table.columns[column_key(name)] for name in (*_EMOTIONS, *_NO_EMOTION)]
    try:
        counts = np.array([[float(cell or 0) for cell in table.texts(column)] for column in columns]).T
    except ValueError as error:
        raise SourceError(f"{table.path} has a vote that is no number: {error}.") from error
    if counts.size and (counts.min() < 0 or not np.isfinite(counts).all()):
        raise SourceError(f"{table.path} has a number of votes that is negative or not finite.")
    order = [_EMOTIONS.index(name) for name in sorted(_EMOTIONS, key=_class_place)]
    labels = [majority(row) for row in counts]
    targets = [soft_targets(row) for row in counts]
    votes = [None if target is None else tuple(target[order].tolist()) for target in targets]
    neither = sum(label is None and target is None for label, target in zip(labels, votes, strict=True))
    return labels, votes, neither


def majority(counts: ArrayLike) -> str | None:
    """The label of an image.

    Args:
        counts: `[10]`, votes in FER+'s order: eight emotions, `unknown`, `NF`.

    Returns:
        The class that has more than half of the votes that are not single; None where there is none, or where
        it is `unknown` or `NF`.
    """
    votes = _several(counts)
    best = int(np.argmax(votes))
    if not votes.sum() or votes[best] <= 0.5 * votes.sum() or best >= len(_EMOTIONS):
        return None
    return canonical_label(_EMOTIONS[best])


def soft_targets(counts: ArrayLike) -> NDArray[np.float64] | None:
    """Votes for the emotions of an image that the published rule trains on.

    Args:
        counts: `[10]`, as in `majority`.

    Returns:
        `[8]` votes in FER+'s order, of one to three emotions; None where the image is left out.
    """
    rest = _several(counts)
    total = rest.sum()
    chosen = np.zeros(len(rest))
    number = 0
    valid = True
    while chosen.sum() < _COVERED * total and number < _MOST and valid:
        highest = rest.max()
        for place in np.flatnonzero(rest == highest):  # those of equal numbers of votes together
            chosen[place], rest[place] = highest, 0
            number += 1
            if place >= len(_EMOTIONS):
                valid = False
                if chosen.sum() > highest:  # emotions come before it
                    chosen[place] = 0
                    number -= 1
                break
    if not total or chosen.sum() <= 0.5 * total or number > _MOST or chosen[len(_EMOTIONS) :].any():
        return None
    return chosen[: len(_EMOTIONS)]


def _several(counts: ArrayLike) -> NDArray[np.float64]:
    """Votes without those that nobody shares."""
    votes = np.array(counts, float)
    votes[votes <= 1] = 0
    return votes


def _class_place(emotion: str) -> int:
    return VOTE_CLASSES.index(canonical_label(emotion))


def check_order(table: Table, rows: Sequence[object]) -> None:
    """Refuse votes for another number of rows than there are images.

    Raises:
        SourceError: The numbers differ.
    """
    if len(table.frame) != len(rows):
        raise SourceError(
            f"{table.path} has votes for {len(table.frame):,} rows, and there are {len(rows):,} images; "
            f"FER+'s "
            "votes go with fer2013.csv, row by row."
        )


def vote_remark(labels: Sequence[str | None], neither: int) -> str:
    """A remark on how votes became labels; `neither` is what `read_votes` gave."""
    without = sum(label is None for label in labels)
    return (
        f"Votes: the label is the majority's (Barsoum et al. 2016); {counted(without, 'image')} without one, "
        f"{neither:,} of them left out altogether (unknown, no face, or no agreement)."
    )
