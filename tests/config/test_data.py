import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.errors import SettingsError


def test_a_fold_must_be_one_of_the_folds():
    assert load_settings(overrides={"split.folds": 3, "split.fold": 2}).split.fold == 2
    with pytest.raises(SettingsError, match=r"below folds \(3\), got 3"):
        load_settings(overrides={"split.folds": 3, "split.fold": 3})


def test_a_class_is_merged_into_one_class():
    with pytest.raises(SettingsError, match="class 'sad' is merged into more than one"):
        load_settings(overrides={"data.merge": {"a": ["sad"], "b": ["sad", "fear"]}})


def test_one_class_is_nothing_to_classify():
    with pytest.raises(SettingsError, match=r"data\.classes has 'sad' alone, which leaves nothing"):
        load_settings(overrides={"data.classes": ["sad"]})
