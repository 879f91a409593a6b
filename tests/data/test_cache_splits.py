"""Several caches are split each as it is alone, and no image lies on two sides."""

import logging

import numpy as np
import pandas as pd
import pytest

from landmarkfer.config.data import SplitSettings
from landmarkfer.data.cache_splits import split_images
from landmarkfer.data.splits import make_splits
from landmarkfer.errors import CacheError, SettingsError


def table(name, counts, *, split=None, group=None, start=0):
    labels = [label for label, count in counts.items() for _ in range(count)]
    numbers = np.arange(start, start + len(labels))
    return pd.DataFrame(
        {
            "id": [f"{name}/{number}" for number in numbers],
            "label": np.random.default_rng(len(name)).permutation(labels),
            "split": split,
            "group": group,
            "sha256": [f"{number:064x}" for number in numbers],
            "cache": name,
        }
    )


@pytest.fixture
def both():
    """A cache with its own test images, and one to be carved, of other images."""
    official = table("official", {"happy": 60, "sad": 60})
    official.loc[official.index[::4], "split"] = "test"
    return pd.concat([official, table("carved", {"happy": 40, "sad": 30}, start=1000)], ignore_index=True)


def rows_of(frame, name):
    return np.flatnonzero(frame["cache"] == name)


@pytest.mark.parametrize("settings", [SplitSettings(seed=3), SplitSettings(folds=4, fold=1)])
def test_each_is_split_as_it_is_alone(both, settings):
    splits = split_images(both, settings)
    for name in ("official", "carved"):
        rows = rows_of(both, name)
        alone = make_splits(both.iloc[rows].reset_index(drop=True), settings)
        for part in ("train", "val", "test"):
            found = getattr(splits, part)
            assert (np.diff(found) > 0).all()
            np.testing.assert_array_equal(np.intersect1d(found, rows), rows[getattr(alone, part)])


def test_one_cache_is_split_as_before(both):
    frame = both.assign(cache=None)
    splits, expected = split_images(frame, SplitSettings(), 9), make_splits(frame, SplitSettings(), 9)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(splits, part), getattr(expected, part))


def test_a_training_image_that_another_cache_tests_or_validates_on_is_left_out(both, caplog):
    alone = split_images(both, SplitSettings())
    carved = np.intersect1d(alone.train, rows_of(both, "carved"))
    official = [np.intersect1d(part, rows_of(both, "official")) for part in (alone.test, alone.val)]
    copies = both.copy()
    copies.loc[carved[0], "sha256"] = both["sha256"][official[0][0]]
    copies.loc[carved[1], "sha256"] = both["sha256"][official[1][0]]
    copies.loc[carved[2], "sha256"] = both["sha256"][
        np.intersect1d(alone.train, rows_of(both, "official"))[0]
    ]
    with caplog.at_level(logging.WARNING):
        found = split_images(copies, SplitSettings())
    np.testing.assert_array_equal(found.train, np.setdiff1d(alone.train, carved[:2]))
    np.testing.assert_array_equal(found.test, alone.test)
    np.testing.assert_array_equal(found.val, alone.val)
    expected = (
        "2 training images of 'carved' left out: pixel-identical to a validation or test image of another"
    )
    assert expected in caplog.text


@pytest.mark.parametrize("other", ["happy", "sad"])
def test_a_picture_with_another_label_in_each_cache_is_told(both, caplog, other):
    train = split_images(both, SplitSettings()).train
    first, second = (np.intersect1d(train, rows_of(both, name))[0] for name in ("official", "carved"))
    copies = both.copy()
    copies.loc[first, "label"] = "happy"
    copies.loc[second, "label"] = other
    copies.loc[second, "sha256"] = both["sha256"][first]
    with caplog.at_level(logging.WARNING):
        split_images(copies, SplitSettings())
    told = "1 training image in two caches, with a label of each" in caplog.text
    assert told == (other == "sad")


def test_nothing_is_said_where_nothing_is_to_be_said(both, caplog):
    split_images(both, SplitSettings())
    assert not caplog.text


def test_a_cache_that_trains_nothing_new_is_refused():
    first = table("first", {"happy": 20, "sad": 20})
    first["split"] = ["train", "test"] * 20
    # The second trains what the first tests on, and tests what that trains.
    second = first.assign(cache="second", id="second/" + first["id"])
    second["split"] = ["test", "train"] * 20
    frame = pd.concat([first, second], ignore_index=True)
    with pytest.raises(CacheError, match="every training image of 'first' is pixel-identical"):
        split_images(frame, SplitSettings(validation=0.2))


def test_what_one_cache_cannot_be_split_into_names_it(both):
    frame = pd.concat([both, table("few", {"happy": 9, "sad": 1}, start=5000)], ignore_index=True)
    with pytest.raises(CacheError, match="few: class 'sad' has one distinct image left"):
        split_images(frame, SplitSettings())


def test_a_warning_about_one_cache_names_it(both, caplog):
    """Nobody of `carved` but one person is sad, and who trains neither validates nor tests."""
    frame = both.copy()
    rows = rows_of(frame, "carved")
    frame.loc[rows, "group"] = [
        f"carved/{number % 5 + 1 if label == 'happy' else 0}"
        for number, label in zip(rows, frame["label"].iloc[rows], strict=True)
    ]
    split_images(frame, SplitSettings(seed=1))
    said = [one.getMessage() for one in caplog.records]
    assert said and all(" of 'carved'" in one for one in said)


def test_groups_of_one_name_in_two_caches_are_two_groups():
    """The joined cache tells them apart; the same names would tie the carved parts of both together."""
    people = [f"p{number % 8}" for number in range(80)]
    parts = [
        table(name, {"happy": 40, "sad": 40}, group=[f"{name}/{one}" for one in people], start=start)
        for name, start in (("one", 0), ("two", 500))
    ]
    frame = pd.concat(parts, ignore_index=True)
    splits = split_images(frame, SplitSettings(validation=0.25, test=0.25))
    for name in ("one", "two"):
        of = [
            set(frame["group"].iloc[np.intersect1d(rows, rows_of(frame, name))])
            for rows in (splits.train, splits.val, splits.test)
        ]
        assert not of[0] & of[1] and not of[0] & of[2] and not of[1] & of[2]


class TestPerClass:
    def test_it_counts_the_images_of_all_caches(self, both):
        splits = split_images(both, SplitSettings(), 30)
        labels = both["label"].iloc[splits.train]
        assert labels.value_counts().to_dict() == {"happy": 30, "sad": 30}
        whole = split_images(both, SplitSettings())
        np.testing.assert_array_equal(splits.val, whole.val)
        assert set(splits.train) <= set(whole.train)

    def test_too_many(self, both):
        with pytest.raises(SettingsError, match=r"'data\.per_class' = 500"):
            split_images(both, SplitSettings(), 500)

    def test_a_cache_that_was_not_drawn(self, both):
        frame = pd.concat([both, table("tiny", {"happy": 8, "sad": 8}, start=5000)], ignore_index=True)
        with pytest.raises(CacheError, match="has drawn no training image of"):
            split_images(frame, SplitSettings(validation=0.3, test=0.3), 1)


def test_a_class_that_one_cache_alone_trains_is_said(both, caplog):
    frame = both.copy()
    carved = rows_of(frame, "carved")
    frame.loc[carved[::3], "label"] = "contempt"
    split_images(frame, SplitSettings())
    assert "only 'carved' has training images of contempt; what sets its images apart" in caplog.text
    assert "only 'official'" not in caplog.text
