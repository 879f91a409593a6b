"""The published rule of FER+, on votes that were worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tables.read import Table
from landmarkfer.extraction.sources.tables.votes import (
    VOTE_CLASSES,
    is_vote_table,
    majority,
    read_votes,
    soft_targets,
)

# neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF
CASES = [
    ([4, 0, 0, 1, 3, 2, 0, 0, 0, 0], None, [4, 0, 0, 0, 3, 0, 0, 0]),  # the first row of fer2013new.csv
    ([6, 0, 1, 1, 0, 0, 0, 0, 2, 0], "neutral", [6, 0, 0, 0, 0, 0, 0, 0]),  # its second
    ([0, 10, 0, 0, 0, 0, 0, 0, 0, 0], "happy", [0, 10, 0, 0, 0, 0, 0, 0]),
    ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None, None),  # nobody agrees with anybody
    ([0, 0, 0, 0, 0, 0, 0, 3, 7, 0], None, None),  # unknown
    ([3, 0, 0, 0, 0, 0, 0, 0, 0, 7], None, None),  # no face
    ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None, [5, 5, 0, 0, 0, 0, 0, 0]),
    ([3, 3, 2, 2, 0, 0, 0, 0, 0, 0], None, None),  # four emotions, which are too many
    ([0, 0, 0, 0, 0, 0, 0, 8, 1, 1], "contempt", [0, 0, 0, 0, 0, 0, 0, 8]),
    ([4, 4, 2, 0, 0, 0, 0, 0, 0, 0], None, [4, 4, 0, 0, 0, 0, 0, 0]),
]


@pytest.mark.parametrize(("votes", "label", "targets"), CASES)
def test_the_published_rule(votes, label, targets):
    assert majority(votes) == label
    found = soft_targets(votes)
    assert (None if found is None else found.tolist()) == targets


def table(rows, names=None):
    names = names or ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
    frame = pd.DataFrame(rows, columns=[*names, "unknown", "NF"]).astype(str)
    return Table("fer2013new.csv", frame.assign(Usage="Training"))


def test_a_table_of_votes_is_one_in_any_order_of_columns():
    shuffled = table([row for row, _, _ in CASES]).frame[
        [
            "NF",
            "anger",
            "happiness",
            "neutral",
            "surprise",
            "fear",
            "disgust",
            "sadness",
            "unknown",
            "contempt",
        ]
    ]
    assert is_vote_table(Table("x.csv", shuffled))
    labels, votes, neither = read_votes(Table("x.csv", shuffled))
    assert labels == [label for _, label, _ in CASES]
    assert neither == sum(label is None and targets is None for _, label, targets in CASES)
    happy = VOTE_CLASSES.index("happy")
    assert votes[2][happy] == 10
    assert np.isclose(sum(votes[0]), 7)


def test_other_tables_are_none():
    assert not is_vote_table(table([[0] * 10], ["a", "b", "c", "d", "e", "f", "g", "h"]))


@pytest.mark.parametrize("cell", ["x", "-1", "inf"])
def test_votes_are_numbers(cell):
    with pytest.raises(SourceError, match="vote"):
        read_votes(table([[cell] + [0] * 9]))
