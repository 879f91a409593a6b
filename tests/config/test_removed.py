import pytest
from pydantic import ValidationError

from landmarkfer.config.recipes import changed_keys, load_settings
from landmarkfer.config.removed import REMOVED, same_settings, without_removed
from landmarkfer.config.train import ResolvedSettings, TrainSettings
from landmarkfer.errors import SettingsError
from landmarkfer.models import check_keywords


def settings_of_0_1(**changed):
    """What version 0.1 saved: every setting, the removed ones too."""
    content = TrainSettings().model_dump(mode="json")
    for key, value in (REMOVED | changed).items():
        *tables, last = key.split(".")
        table = content
        for part in tables:
            table = table[part]
        table[last] = value
    return content


def test_saved_settings_of_version_0_1_are_read():
    content = settings_of_0_1()
    assert ResolvedSettings.model_validate(content) == ResolvedSettings()
    assert content == settings_of_0_1(), "the data themselves are not changed"
    assert without_removed(content) == TrainSettings().model_dump(mode="json")


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_setting_that_was_used_is_refused(key):
    other = REMOVED[key] + 0.5
    with pytest.raises(ValidationError, match=f"'{key}' = {other} is of an earlier version"):
        ResolvedSettings.model_validate(settings_of_0_1(**{key: other}))


@pytest.mark.parametrize("key", REMOVED)
def test_there_is_no_such_setting_in_a_recipe(key):
    table, name = key.rsplit(".", 1)
    expected = f"'{name}' is no setting of model 'gnn'" if table == "model" else f"no setting '{key}'"
    with pytest.raises(SettingsError, match=expected):
        settings = load_settings(overrides={key: REMOVED[key]})
        check_keywords(settings.model.name, settings.model.keywords)


def test_a_removed_setting_of_a_landmark_branch():
    content = settings_of_0_1()
    content["model"] = {"name": "fusion", "encoder": "gnn", "encoder_settings": {"learned": 0, "identity": 4}}
    assert without_removed(content)["model"]["encoder_settings"] == {"identity": 4}
    content["model"]["encoder_settings"]["learned"] = 3
    with pytest.raises(ValueError, match=r"'model\.encoder_settings\.learned' = 3 is of an earlier version"):
        without_removed(content)


def test_a_removed_setting_at_its_default_was_not_changed():
    assert changed_keys(settings_of_0_1()) == {}
    assert changed_keys(settings_of_0_1(**{"fit.swa": 0.3})) == {"fit.swa": 0.3}


@pytest.mark.parametrize(
    ("then", "created", "now", "same"),
    [
        ({}, "2026-11-24T10:00:00+00:00", {"augment.shape_jitter": 0.3}, True),
        ({}, "2026-11-24T10:00:00+00:00", {"augment.shape_jitter": 0.1}, False),
        ({}, "2026-11-24T10:00:00+00:00", {}, True),
        ({"augment.shape_jitter": 0.0}, "2026-11-24T10:00:00+00:00", {}, True),
        ({"augment.shape_jitter": 0.5}, "2026-11-24T10:00:00+00:00", {}, False),
        ({}, "2026-12-24T10:00:00+00:00", {"augment.shape_jitter": 0.3}, False),
        ({"seed": 1}, "2026-12-24T10:00:00+00:00", {"seed": 2}, False),
    ],
)
def test_a_setting_left_out_had_the_default_of_its_day(then, created, now, same):
    assert same_settings(then, created, now) is same
