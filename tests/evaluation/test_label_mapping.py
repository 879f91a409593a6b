"""What the labels of another cache are called as classes of a model."""

import pytest

from landmarkfer.errors import SettingsError
from landmarkfer.evaluation.label_mapping import AS_IT_IS, LabelMapping

TRAINED = ("angry", "happy", "sad")


def classes_of(labels, names=None, merge=None, trained=TRAINED, trained_merge=None):
    mapping = LabelMapping(names or {}, merge or {})
    return mapping.of_labels(labels, trained, trained_merge or {}, "cache/raf")


def test_names_and_no_class():
    names = {"1": "happy", "2": None}
    assert classes_of(["1", "2.0", "sad", "contempt"], names) == {
        "1": "happy",
        "2.0": None,
        "sad": "sad",
        "contempt": "contempt",
    }


def test_merged_labels_of_the_cache():
    assert classes_of(["fear", "happy"], merge={"sad": ["fear"]}) == {"fear": "sad", "happy": "happy"}


def test_merged_classes_of_the_model():
    mapping = LabelMapping(merge={"negative": ["angry", "sad", "fear"]})
    assert mapping.classes(TRAINED) == ("negative", "happy")
    assert mapping.of_labels(["fear", "negative", "happy"], TRAINED, {}, "c") == {
        "fear": "negative",
        "negative": "negative",
        "happy": "happy",
    }
    assert AS_IT_IS.classes(TRAINED) == TRAINED


def test_what_was_merged_for_training_is_merged_again():
    trained, merge = ("negative", "happy"), {"negative": ["angry", "sad"]}
    assert classes_of(["angry", "happy"], trained=trained, trained_merge=merge) == {
        "angry": "negative",
        "happy": "happy",
    }
    further = classes_of(["angry", "1"], {"1": "sad"}, {"any": ["negative", "happy"]}, trained, merge)
    assert further == {"angry": "any", "1": "any"}
    assert classes_of(["angry"], None, {"happy": ["angry"]}, trained, merge) == {"angry": "happy"}


def test_a_label_named_and_then_merged():
    assert classes_of(["1"], {"1": "fear"}, {"sad": ["fear"]}) == {"1": "sad"}
    assert classes_of(["1"], None, {"sad": ["1"]}) == {"1": "sad"}, "by its number"


def test_numbers_that_are_classes_of_the_model_need_no_names():
    assert classes_of(["1", "2"], trained=("1", "2")) == {"1": "1", "2": "2"}


@pytest.mark.parametrize(
    ("labels", "names", "merge", "message"),
    [
        (["1", "2", "10"], {}, {}, "labels 1, 2, 10 of cache/raf are numbers.*--label-names 1="),
        (["1", "2"], {"1": "happy"}, {}, "label 2 of cache/raf is a number"),
        (["happy"], {"7": "sad"}, {}, r"none of the values that --label-names names \(7\).*labels are happy"),
        (["happy"], {}, {"sad": ["fear"]}, r"'fear', which is neither a label of cache/raf \(happy\)"),
        (["fear"], {}, {"bad": ["fear"]}, "a class 'bad' that the model lacks; its classes are angry, happy"),
        (["fear"], {}, {"sad": ["fear"], "angry": ["fear"]}, "'fear' part of more than one"),
    ],
)
def test_what_does_not_fit(labels, names, merge, message):
    with pytest.raises(SettingsError, match=message):
        classes_of(labels, names, merge)
