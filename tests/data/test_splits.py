import itertools

import numpy as np
import pandas as pd
import pytest

from landmarkfer.config.data import SplitSettings
from landmarkfer.data.splits import Splits, has_duplicate_in, make_splits
from landmarkfer.errors import CacheError

COUNTS = {"happy": 400, "sad": 200, "angry": 60}


def table(counts=None, twins=0.3, splits=("train",), seed=0):
    """A cache's table in random order: of each class that many images, a share of them copies of others.

    Copies keep their own label, so some groups of identical pixels carry two.
    """
    counts = COUNTS if counts is None else counts
    rng = np.random.default_rng(seed)
    labels = rng.permutation([name for name, count in counts.items() for _ in range(count)])
    pixels = np.arange(len(labels))
    copies = rng.random(len(labels)) < twins
    pixels[copies] = rng.integers(0, len(labels), copies.sum())
    frame = pd.DataFrame({"label": labels, "sha256": [f"{number:064x}" for number in pixels]})
    frame["split"] = rng.choice(np.array(splits, dtype=object), len(frame))
    frame["id"] = [f"{number}.png" for number in range(len(frame))]
    return frame


def hashes(frame, rows):
    return set(frame["sha256"].iloc[rows])


def assert_parts_of(frame, splits, rows):
    together = np.concatenate([splits.train, splits.val, splits.test])
    np.testing.assert_array_equal(np.sort(together), np.sort(rows))
    for part in (splits.train, splits.val, splits.test):
        assert (np.diff(part) > 0).all(), "rows are ascending"


@pytest.mark.parametrize("seed", range(5))
def test_identical_images_never_straddle(seed):
    frame = table(seed=seed)
    splits = make_splits(frame, SplitSettings(seed=seed))
    assert_parts_of(frame, splits, np.arange(len(frame)))
    train, val, test = (hashes(frame, rows) for rows in (splits.train, splits.val, splits.test))
    assert not train & val
    assert not train & test
    assert not val & test


def test_a_split_that_ignores_the_pixels_would_straddle():
    """The fault that the test above is there to find."""
    frame = table()
    unaware = make_splits(frame.assign(sha256=frame["id"]), SplitSettings())
    assert hashes(frame, unaware.train) & hashes(frame, unaware.val)


def test_shares_are_met_in_every_class():
    frame = table(twins=0)
    splits = make_splits(frame, SplitSettings(validation=0.1, test=0.2))
    for name, count in COUNTS.items():
        test = (frame["label"].iloc[splits.test] == name).sum()
        val = (frame["label"].iloc[splits.val] == name).sum()
        assert abs(test - 0.2 * count) <= 1
        assert abs(val - 0.1 * 0.8 * count) <= 1


def test_shares_are_about_met_with_twins():
    frame = table()
    splits = make_splits(frame, SplitSettings(validation=0.2, test=0.2))
    for name, count in COUNTS.items():
        share = (frame["label"].iloc[splits.val] == name).sum() / count
        assert 0.08 < share < 0.24, name


def test_the_same_seed_gives_the_same_split_and_another_another():
    frame = table()
    first, again, other = (make_splits(frame, SplitSettings(seed=seed)) for seed in (4, 4, 5))
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert list(first.val) != list(other.val)
    assert list(first.test) != list(other.test)


def test_the_caches_own_splits_are_kept():
    frame = table(splits=("train", "val", "test"), twins=0)
    splits = make_splits(frame, SplitSettings())
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(splits, name), np.flatnonzero(frame["split"] == name))


def test_validation_is_carved_from_train_alone():
    frame = table(splits=("train", "test"))
    splits = make_splits(frame, SplitSettings(seed=1))
    np.testing.assert_array_equal(splits.test, np.flatnonzero(frame["split"] == "test"))
    np.testing.assert_array_equal(
        np.union1d(splits.train, splits.val), np.flatnonzero(frame["split"] == "train")
    )
    assert not hashes(frame, splits.train) & hashes(frame, splits.val)


def test_twins_of_the_caches_own_validation_images_are_not_trained_on():
    frame = pd.DataFrame(
        {
            "label": ["happy", "sad", "happy", "sad", "happy", "sad"],
            "split": ["train", "train", "train", "val", "val", "test"],
            "sha256": ["a", "b", "c", "a", "d", "b"],
        }
    )
    splits = make_splits(frame, SplitSettings())
    assert (list(splits.train), list(splits.val), list(splits.test)) == ([1, 2], [3, 4], [5])
    with pytest.raises(CacheError, match="identical to a validation image"):
        make_splits(frame.iloc[[0, 3, 5]].reset_index(drop=True), SplitSettings())


def test_folds_cover_everything_once_and_straddle_nothing():
    frame = table(splits=("train", "val", "test"))
    pool = np.flatnonzero(frame["split"] != "test")
    parts = [make_splits(frame, SplitSettings(folds=4, fold=fold)) for fold in range(4)]
    np.testing.assert_array_equal(np.sort(np.concatenate([part.val for part in parts])), pool)
    for part in parts:
        assert_parts_of(frame, part, np.arange(len(frame)))
        assert not hashes(frame, part.train) & hashes(frame, part.val)
        share = (frame["label"].iloc[part.val] == "angry").sum() / (
            frame["label"].iloc[pool] == "angry"
        ).sum()
        assert 0.1 < share < 0.45
    assert list(make_splits(frame, SplitSettings(folds=4, seed=1)).val) != list(parts[0].val)


def test_folds_with_a_test_part_carved_first_share_it():
    frame = table()
    parts = [make_splits(frame, SplitSettings(folds=3, fold=fold)) for fold in range(3)]
    for part in parts:
        np.testing.assert_array_equal(part.test, parts[0].test)
        assert_parts_of(frame, part, np.arange(len(frame)))


def test_unlabelled_rows_belong_nowhere():
    frame = table(splits=("train", "test"))
    frame.loc[[0, 5, 77], "label"] = None
    splits = make_splits(frame, SplitSettings())
    assert_parts_of(frame, splits, np.setdiff1d(np.arange(len(frame)), [0, 5, 77]))


def test_images_without_a_hash_are_nobodys_twins():
    frame = table(twins=0)
    frame["sha256"] = None  # as of unreadable images
    splits = make_splits(frame, SplitSettings(validation=0.5, test=0.5))
    assert_parts_of(frame, splits, np.arange(len(frame)))
    assert min(len(splits.train), len(splits.val), len(splits.test)) > 100


def test_images_without_a_split_train():
    frame = table(splits=("test", None), twins=0)
    splits = make_splits(frame, SplitSettings())
    np.testing.assert_array_equal(splits.test, np.flatnonzero(frame["split"] == "test"))
    assert len(splits.train)


@pytest.mark.parametrize("group", [None, "own"])
def test_a_rare_class_is_named(group):
    """Whether people are known or not."""

    def rare(counts):
        frame = table(counts, twins=0)
        return frame.assign(group=frame["id"]) if group else frame

    with pytest.raises(CacheError, match="class 'sad' has one distinct image left, and training and test"):
        make_splits(rare({"happy": 50, "sad": 1}), SplitSettings())
    with pytest.raises(CacheError, match="'sad' has one distinct image left, and training and validation"):
        make_splits(rare({"happy": 50, "sad": 2}), SplitSettings(test=0.5))
    with pytest.raises(CacheError, match=r"each class, and 'sad' has 3; use fewer folds, .*--class.*--merge"):
        frame = rare({"happy": 50, "sad": 3})
        frame.loc[frame.index[frame["label"] == "happy"][:9], "split"] = "test"
        make_splits(frame, SplitSettings(folds=4))
    with pytest.raises(CacheError, match="and 'sad' has 4 once 20% of the images test; use fewer folds"):
        make_splits(rare({"happy": 50, "sad": 5}), SplitSettings(folds=5))


def test_shares_that_are_too_small_for_the_classes_are_refused():
    frame = table({"happy": 4, "sad": 4, "fear": 4}, twins=0)
    match = (
        "test cannot be carved: 10% of 12 distinct images for 3 classes, which .* as --split 60/20/20 does"
    )
    with pytest.raises(CacheError, match=match):
        make_splits(frame, SplitSettings(test=0.1))
    with pytest.raises(CacheError, match="99% of 3 distinct images for 1 class,"):
        make_splits(table({"happy": 3}, twins=0), SplitSettings(test=0.99))


def test_many_copies_of_one_image_are_one_distinct_image():
    frame = table({"happy": 40, "sad": 40}, twins=0)
    frame.loc[frame["label"] == "sad", "sha256"] = "same"
    with pytest.raises(CacheError, match="'sad' has one distinct image"):
        make_splits(frame, SplitSettings())


def test_nothing_to_train_on():
    frame = table(splits=("test",))
    with pytest.raises(CacheError, match="no labelled training image"):
        make_splits(frame, SplitSettings())
    with pytest.raises(CacheError, match="no labelled training image"):
        make_splits(table().assign(label=None), SplitSettings())


def test_twins_by_hand():
    frame = pd.DataFrame({"sha256": ["a", "b", "a", None, None, "c"]})
    found = has_duplicate_in(frame, np.array([0, 1, 3, 5]), np.array([2, 4, 5]))
    assert found.tolist() == [True, False, False, True]
    assert has_duplicate_in(frame, np.array([0]), np.array([], dtype=np.int64)).tolist() == [False]


def test_saved_as_ids():
    frame = pd.DataFrame({"id": ["x/é.png", "y.png", "z.png"]})
    splits = Splits(np.array([2]), np.array([0]), np.array([], dtype=np.int64))
    assert splits.as_ids(frame["id"]) == {"train": ["z.png"], "val": ["x/é.png"], "test": []}


def people_table(people=40, each=6, seed=0):
    """Images of people, a few expressions each; some images are copies of another person's."""
    rng = np.random.default_rng(seed)
    count = people * each
    frame = pd.DataFrame({"group": [f"person {number // each}" for number in range(count)]})
    frame["label"] = rng.choice(["happy", "sad", "angry"], count, p=[0.6, 0.3, 0.1]).astype(object)
    frame["sha256"] = [f"{number:064x}" for number in range(count)]
    frame.loc[0, "sha256"] = frame.loc[each, "sha256"]  # a picture of person 1 that is also one of person 0
    frame["split"] = None
    frame["id"] = [f"{number}.png" for number in range(count)]
    return frame


def persons(frame, rows):
    return set(frame["group"].iloc[rows].dropna())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("folds", [0, 3])
def test_a_person_is_never_on_two_sides(seed, folds):
    frame = people_table(seed=seed)
    splits = make_splits(frame, SplitSettings(seed=seed, validation=0.2, test=0.25, folds=folds))
    assert_parts_of(frame, splits, np.arange(len(frame)))
    train, val, test = (persons(frame, rows) for rows in (splits.train, splits.val, splits.test))
    assert not train & val
    assert not train & test
    assert not val & test
    assert sum({"person 0", "person 1"} <= part for part in (train, val, test)) == 1, "joined by an image"
    assert len(splits.test) == pytest.approx(0.25 * len(frame), abs=13)
    for rows in (splits.train, splits.val, splits.test):
        assert set(frame["label"].iloc[rows]) == {"happy", "sad", "angry"}


def test_images_of_nobody_are_groups_of_their_own():
    frame = people_table()
    frame.loc[frame.index[120:], "group"] = None
    splits = make_splits(frame, SplitSettings(validation=0.2, test=0.25))
    assert_parts_of(frame, splits, np.arange(len(frame)))
    assert not persons(frame, splits.train) & persons(frame, splits.test)
    assert frame["group"].iloc[splits.test].isna().any()
    assert frame["group"].iloc[splits.train].isna().any()


def test_the_folds_of_people_cover_every_image_once():
    frame = people_table()
    frame["split"] = "train"
    frame.loc[frame["group"].isin([f"person {number}" for number in range(8)]), "split"] = "test"
    folds = [make_splits(frame, SplitSettings(folds=4, fold=fold)).val for fold in range(4)]
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.flatnonzero(frame["split"] == "train"))


def test_a_fold_with_all_of_a_class_is_refused():
    frame = people_table(people=8)
    frame["label"] = np.where(frame["group"] == "person 3", "sad", "happy").astype(object)
    frame["split"] = np.where(frame["group"] == "person 2", "test", "train")
    with pytest.raises(CacheError, match="no training image of 'sad' is left"):
        for fold in range(3):
            make_splits(frame, SplitSettings(folds=3, fold=fold))


def test_more_folds_than_people_are_refused():
    frame = people_table(people=6, each=40).assign(split="train")
    with pytest.raises(CacheError, match=r"9 folds cannot be made of \d groups of images"):
        make_splits(frame, SplitSettings(folds=9, test=0.2))


def crowd(people=300, seed=0):
    """As in sets of people's photographs: a few have most, and of one class only some people have any."""
    rng = np.random.default_rng(seed)
    sizes = np.r_[[230, 170, 140, 90, 60], rng.integers(1, 9, people - 5)]
    frame = pd.DataFrame({"group": np.repeat([f"person {number}" for number in range(people)], sizes)})
    frame["label"] = rng.choice(["happy", "sad"], len(frame), p=[0.7, 0.3]).astype(object)
    rare = rng.permutation(people)[:40]
    disgusted = frame["group"].isin([f"person {number}" for number in rare]) & (rng.random(len(frame)) < 0.4)
    frame.loc[disgusted, "label"] = "disgust"
    return frame.assign(sha256=[f"{number:064x}" for number in range(len(frame))], split=None)


@pytest.mark.parametrize("seed", range(5))
def test_where_few_people_have_most_images_the_shares_are_met_all_the_same(seed, caplog):
    frame = crowd(seed=seed)
    splits = make_splits(frame, SplitSettings(seed=seed))
    for label in ("happy", "sad", "disgust"):
        of_class = frame["label"] == label
        taken = [of_class.iloc[rows].sum() / of_class.sum() for rows in (splits.val, splits.test)]
        assert taken == pytest.approx([0.08, 0.2], rel=0.35), label
    assert not caplog.records


def test_another_seed_draws_other_people():
    frame = crowd()
    tested = [persons(frame, make_splits(frame, SplitSettings(seed=seed)).test) for seed in range(4)]
    for first, other in itertools.pairwise(tested):
        assert len(first & other) < 0.5 * len(first)


def test_a_class_of_one_person_is_trained_on():
    frame = people_table(people=12).assign(split="train")
    frame["label"] = np.where(frame["group"] == "person 7", "sad", "happy").astype(object)
    for seed in range(10):
        splits = make_splits(frame, SplitSettings(seed=seed))
        assert "sad" in set(frame["label"].iloc[splits.train])


def test_a_part_far_from_its_share_is_told(caplog):
    """Two people of three: whoever validates has a third or more of everything."""
    frame = people_table(people=3, each=60).assign(split="train")
    frame.loc[frame.index[-5:], "split"] = "test"
    make_splits(frame, SplitSettings(validation=0.1))
    assert "validation holds 31% of all images, " in caplog.text
    assert "instead of 10%, since images of a group (a person, a sequence) stay together" in caplog.text


def test_images_of_one_person_are_not_divided():
    with pytest.raises(CacheError, match="all 60 labelled images are of one group"):
        make_splits(people_table(people=2, each=30).assign(group="one person"), SplitSettings())


def test_a_group_column_without_names_changes_nothing():
    frame = table()
    plain, grouped = (
        make_splits(frame, SplitSettings()),
        make_splits(frame.assign(group=None), SplitSettings()),
    )
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(grouped, name))


def test_people_whom_given_splits_part_are_warned_of(caplog):
    frame = people_table().assign(split="train")
    frame.loc[frame.index[:9], "split"] = "test"  # all of person 0, half of person 1
    make_splits(frame, SplitSettings())
    assert (
        "1 group (people, sequences; 'person 1' for one) are trained on and among the test images"
        in caplog.text
    )


def test_parts_that_lack_a_class_are_named(caplog):
    frame = people_table().assign(split="train")
    frame["label"] = np.where(frame["group"].isin(["person 7", "person 9"]), "sad", "happy").astype(object)
    splits = make_splits(frame, SplitSettings(test=0.1))
    lacking = {
        name: f"no image of sad is among the {len(rows)} {name} images; larger shares (--split 60/20/20)"
        for name, rows in (("test", splits.test), ("validation", splits.val))
        if "sad" not in set(frame["label"].iloc[rows])
    }
    assert lacking and all(sentence in caplog.text for sentence in lacking.values()), caplog.text
