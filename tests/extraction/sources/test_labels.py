import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.labels import NUMBERS_KEPT, read_labels


def read(*raw, **options):
    return read_labels(list(raw), [f"{number}.jpg" for number in range(len(raw))], **options)


def test_spellings_of_one_class_are_one():
    found = read("Happy", " HAPPINESS ", "hap\u200bpy", "happy\xa0", "3_happy")
    assert found.labels == ["happy"] * 5
    assert found.readings == {"HAPPINESS": "happy", "3_happy": "happy"}


@pytest.mark.parametrize("value", ["", None, "nan", "NaN", "None", "N/A", "<NA>", " "])
def test_missing_values_are_no_class(value):
    assert read("sad", value).labels == ["sad", None]


def test_numbers_alone_are_stored_and_remarked():
    found = read("3", "3.0", "05", "1")
    assert found.labels == ["3", "3", "5", "1"]
    assert found.remarks[0].startswith(NUMBERS_KEPT)


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        (["happy", "7"], {}, "labels that name no class: 7 (1 image, such as 1.jpg)"),
        (["1", "2"], {"given": {"1": "happy"}}, "name no class: 2 (1 image, such as 1.jpg)"),
        (["0", "7"], {"meaning": {"0": "angry"}}, "--label-names 7=NAME, or --label-names 7= for no class"),
        (["1", "-1"], {}, "name no class: -1"),
        (["1", "2.5"], {}, "name no class: 2.5"),
    ],
)
def test_numbers_that_name_no_class_are_refused(raw, options, message):
    with pytest.raises(SourceError) as caught:
        read(*raw, where="the table", **options)
    assert message in str(caught.value)


def test_names_given_go_before_the_data_sets_own():
    found = read("0", "1", "2", meaning={"0": "angry", "1": "sad", "2": None}, given={"1": "fear"})
    assert found.labels == ["angry", "fear", None]
    assert "Labels that mean no class: '2' (1)" in found.remarks[0]


def test_two_labels_in_one_cell_are_none():
    found = read("happy|surprise", "sad", "Fear and Surprise", "rock and roll")
    assert found.labels == [None, "sad", None, "rock and roll"]
    assert "2 images with two labels in one cell ('happy|surprise')" in found.remarks[0]


def test_a_label_of_one_image_is_said():
    found = read(*["happy"] * 6, *["sad"] * 5, "hapy")
    assert found.remarks == ["1 label is of one image alone: 'hapy' (11.jpg)."]
