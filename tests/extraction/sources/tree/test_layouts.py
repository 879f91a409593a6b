import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tree.layouts import Place, canonical_split, read_layout


def places(*paths, **options):
    return read_layout(paths, SourceOptions(**options))[0]


def test_class_folders():
    assert places("Happiness/a.jpg", "sad/b.jpg", "bored/c.jpg") == [
        Place("happy", None, None),
        Place("sad", None, None),
        Place("bored", None, None),
    ]


def test_split_folders_above_class_folders():
    found = places("Train/happy/a.jpg", "validation/happy/b.jpg", "test/ANGER/c.jpg", "test/d.jpg")
    assert found == [
        Place("happy", "train", None),
        Place("happy", "val", None),
        Place("angry", "test", None),
        Place(None, "test", None),
    ]


def test_class_names_below_splits_may_be_anything():
    assert places("train/1/a.jpg", "train/Valence High/b.jpg") == [
        Place("1", "train", None),
        Place("valence high", "train", None),
    ]


def test_enclosing_folders_are_seen_through():
    assert places("archive/images/train/sad/a.jpg", "archive/images/test/sad/b.jpg") == [
        Place("sad", "train", None),
        Place("sad", "test", None),
    ]
    assert places("data/happy/a.jpg") == [Place("happy", None, None)]


def test_a_class_folder_that_stands_alone_is_no_enclosing_folder():
    assert places("happy/first/a.jpg", "happy/second/b.jpg") == [Place("happy", None, None)] * 2


@pytest.mark.parametrize(
    ("name", "subset", "split"),
    [
        ("Training_1.jpg", "train", "train"),
        ("PublicTest_1.jpg", "public", "test"),
        ("PrivateTest_1.jpg", "private", "test"),
        ("photo_1.jpg", None, None),
    ],
)
def test_fer2013_names_tell_subset_and_split(name, subset, split):
    assert places(name) == [Place(None, split, subset)]
    # A split folder has the last word on the split.
    assert places(f"val/fear/{name}") == [Place("fear", "val", subset)]


def test_flat_images_are_unlabelled():
    assert places("a.jpg", "b.jpg") == [Place(None, None, None)] * 2


def test_albums_are_not_taken_for_classes_and_the_user_is_told():
    found, (remark,) = read_layout(["2021/a.jpg", "holiday/b.jpg"])
    assert found == [Place(None, None, None)] * 2
    assert "The folders 2021, holiday are not named like expressions" in remark
    assert "--layout classes" in remark
    assert places("2021/a.jpg", "Holiday/b.jpg", layout="classes") == [
        Place("2021", None, None),
        Place("holiday", None, None),
    ]


def test_unlabelled_keeps_the_split():
    assert places("train/happy/a.jpg", layout="unlabelled") == [Place(None, "train", None)]


def test_classes_need_folders():
    with pytest.raises(SourceError, match="--layout unlabelled"):
        places("a.jpg", layout="classes")


@pytest.mark.parametrize(
    ("name", "split"), [("VALID", "val"), ("Training", "train"), ("PrivateTest", "test"), ("sad", None)]
)
def test_split_names(name, split):
    assert canonical_split(name) == split
