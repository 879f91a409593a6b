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


def refusal(*paths, **options):
    with pytest.raises(SourceError) as caught:
        places(*paths, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "label", "split"),
    [
        ("happy/test/x.jpg", "happy", "test"),
        ("set/Anger/Validation-Data/x.jpg", "angry", "val"),
        ("Test_Aligned_Faces/Fear/x.png", "fear", "test"),
        ("training_set/03-disgust/x.png", "disgust", "train"),
        ("a/b/test2/c/Sadness/d/x.png", "sad", "test"),
        ("FER2013Valid/neutral/x.png", "neutral", "val"),
        ("public test/surprised/x.png", "surprise", "test"),
        ("TESTSET/Happy Faces/x.png", "happy", "test"),
        ("DevSet/contempt/x.png", "contempt", "val"),
        ("tr\u200bain/ha\u200bppy\xa0/x.png", "happy", "train"),
        ("imgs/mytrain_data/happy/x.png", "happy", None),
    ],
)
def test_a_split_at_any_level_and_in_longer_names(path, label, split):
    if split is None:
        assert "the folder mytrain_data may be a split" in refusal(path)
    else:
        assert places(path, f"train/sad/{'y'}.jpg")[0] == Place(label, split, places(path)[0].subset)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Ärger", "angry"),
        ("A\u0308rger", "angry"),
        ("überrascht", "surprise"),
        ("dégoût", "disgust"),
        ("Alegri\u0301a", "happy"),
        ("TRISTEZA", "sad"),
        ("7. Mépris", "contempt"),
    ],
)
def test_class_folders_in_other_languages(name, label):
    assert places(f"{name}/x.jpg") == [Place(label, None, None)]


def test_what_holds_class_folders_is_no_class():
    tree = ["happy/a.jpg", "sad/a.jpg", "copies/happy/a.jpg", "copies/deep/train/sad/a.jpg"]
    found, remarks = read_layout(tree)
    assert [place.label for place in found] == ["happy", "sad", "happy", "sad"]
    assert any("3 images are in no split folder" in remark for remark in remarks)


def test_a_copy_of_the_tree_within_itself_is_said():
    inner = [
        f"{split}/{name}/{i}.png" for split in ("train", "test") for name in ("joy", "fear") for i in "01"
    ]
    found, remarks = read_layout([*(f"set/{path}" for path in inner), *(f"set/set/{path}" for path in inner)])
    assert [place.label for place in found] == ["happy", "happy", "fear", "fear"] * 4
    assert any("8 images are there twice, as set/set/test/fear/0.png is" in remark for remark in remarks)


def test_stray_images_beside_the_root_are_reported():
    found, remarks = read_layout(["a/train/sad/1.jpg", "a/test/happy/1.jpg", "cover.png", "a/banner.png"])
    assert [place.label for place in found] == ["sad", "happy", None, None]
    assert remarks == ["2 images are in no class folder (cover.png, a/banner.png), stored without a label."]


def test_an_image_whose_name_and_folder_disagree_is_refused():
    message = refusal("train/happy/test_004.jpg", "train/sad/1.jpg")
    assert "train/happy/test_004.jpg is in train and its name says test" in message
    assert "--split-names test=train" in message
    decided = places("train/happy/test_004.jpg", split_names={"test": "train"})
    assert decided == [Place("happy", "train", None)]
    # A test folder has the last word; nothing of it is trained on.
    assert places("test/happy/train_004.jpg")[0].split == "test"


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        (["train/test/happy/1.jpg"], {}, "names two splits; say which of the two holds"),
        (["train_val/happy/1.jpg"], {}, "the folder train_val names two splits"),
        (["happy/sad/1.jpg"], {}, "names two classes, happy and sad"),
        (["happy/1.jpg", "sad/1.jpg", "misc/1.jpg"], {}, "the folder misc beside class folders"),
        (["1/train/a.jpg", "2/test/b.jpg"], {}, "the folders 1, 2 hold split folders"),
        (["train/p1/x/a.jpg", "test/p2/y/a.jpg"], {}, "the classes may be p1, p2, or the folders in them"),
        (["contest/happy/1.jpg"], {}, "the folder contest may be a split"),
    ],
)
def test_two_readings_are_refused_in_one_sentence(paths, options, message):
    assert message in refusal(*paths, **options)


def test_names_that_the_user_gives_decide():
    tree = ["cinq/x.jpg", "six/x.jpg", "pile/x.jpg", "happy/x.jpg"]
    names = {"cinq": "angry", "six": "sad", "pile": None}
    assert [place.label for place in places(*tree, label_names=names)] == ["angry", "sad", None, "happy"]
    assert places("contest/happy/1.jpg", split_names={"contest": None}) == [Place("happy", None, None)]
    assert places("Fold5/happy/1.jpg", split_names={"fold5": "test"}) == [Place("happy", "test", None)]
    assert [place.label for place in places("1/train/a.jpg", "2/test/b.jpg", layout="classes")] == ["1", "2"]
    swapped = {"happy": "sad", "sad": "happy"}
    assert [place.label for place in places("happy/a", "sad/a", label_names=swapped)] == ["sad", "happy"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["0", "1", "6"], ["0", "1", "6"]),
        (["01", "02"], ["1", "2"]),
        (["2019", "2020"], [None, None]),
        (["0", "holiday"], [None, None]),
    ],
)
def test_small_numbers_alone_are_classes(names, labels):
    assert [place.label for place in places(*(f"{name}/x.jpg" for name in names))] == labels


def test_one_folder_below_the_splits_is_no_class():
    assert places("train/images/a.jpg", "test/images/b.jpg") == [
        Place(None, "train", None),
        Place(None, "test", None),
    ]


@pytest.mark.parametrize(
    ("path", "label", "split"),
    [
        ("train_happy/1.jpg", "happy", "train"),
        ("test-anger/1.jpg", "angry", "test"),
        ("entrenamiento/alegría/1.jpg", "happy", "train"),
        ("validación/miedo/1.jpg", "fear", "val"),
        ("prueba/enojo/1.jpg", "angry", "test"),
        ("hold out/sad/1.jpg", None, None),
        ("holdout/sad/1.jpg", "sad", "test"),
        ("train/label=sad/1.jpg", "sad", "train"),
        ("train/emotion_sad/1.jpg", "sad", "train"),
        ("train/suprise/1.jpg", "surprise", "train"),
    ],
)
def test_more_spellings_of_folders(path, label, split):
    found = places(path, "train/happy/x.jpg")[0]
    assert found == Place(label or "sad", split, None)


@pytest.mark.parametrize("name", ["happy(1)", "Happy - Copy", "happy_augmented", "01 - happy (angry eyes)"])
def test_a_folder_named_like_another_class_is_refused(name):
    paths = ("happy/1.jpg", "sad/1.jpg", f"{name}/1.jpg")
    assert f"the folder {name} may hold images of 'happy' or be a class of its own" in refusal(*paths)
    assert places(*paths, label_names={name.lower(): "happy"})[2] == Place("happy", None, None)


def test_folders_beside_classes_are_said_and_misspelt_ones_hinted_at():
    found, remarks = read_layout(["happy/1.jpg", "nuetral/1.jpg", "bored/1.jpg"])
    assert [place.label for place in found] == ["happy", "nuetral", "bored"]
    assert "stand beside such are classes: bored, nuetral ('nuetral' looks like 'neutral'" in remarks[0]


def test_folds_are_said():
    _, remarks = read_layout(["fold_1/happy/1.jpg", "fold_2/sad/1.jpg"])
    assert remarks == [
        "The folders fold_1, fold_2 state no split; --split-names 'fold_1=test' makes one of them so."
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_names": {"foldb": "test"}}, "--split-names names foldb, and the source has happy, sad"),
        ({"label_names": {"angr": "angry"}}, "--label-names names angr, and the source has happy, sad"),
    ],
)
def test_names_that_name_nothing_are_refused(options, message):
    assert message in refusal("happy/1.jpg", "sad/1.jpg", **options)
