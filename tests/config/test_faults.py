from collections.abc import Sequence

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landmarkfer.config.faults import reason
from landmarkfer.config.recipes import load_settings
from landmarkfer.errors import SettingsError


@pytest.mark.parametrize(
    ("assignment", "text"),
    [
        ("optimiser.lr=abc", "'optimiser.lr' = \"abc\" does not fit: it must be a number."),
        ("optimiser.lr=inf", "it must be a finite number."),
        ("optimiser.lr=-1", "it must be above 0."),
        ("split.test=1.5", "it must be below 1."),
        ("fit.epochs=2.5", "it must be a whole number."),
        ("fit.epochs=0", "it must be 1 or more."),
        ("cache=3", "it must be a text in quotes."),
        ("data.official=3", "it must be true or false."),
        ("loss.name=abc", "it must be 'cross_entropy' or 'focal'."),
        ("data.classes=abc", "'data.classes' = \"abc\" does not fit: it must be a list in brackets."),
        ("data.classes=3", "it must be a list in brackets."),
        ("data.merge=3", "it must be a table."),
        ("fit=3", "it must be a table of settings."),
        ("model=mlp", '\'model\' = "mlp" is no table; write [model] and below it name = "mlp", or set'),
        ("stages=[{epochs=3}]", "the setting 'stages.0.train' is missing; write it."),
    ],
)
def test_what_a_user_writes_is_answered_in_plain_words(assignment, text):
    with pytest.raises(SettingsError) as error:
        load_settings(assignments=[assignment])
    assert text in str(error.value)


def test_settings_that_disagree_are_named_and_not_all_of_them_printed():
    with pytest.raises(SettingsError) as error:
        load_settings(overrides={"stages": [{"train": "head", "epochs": 2}], "fit.epochs": 3})
    assert str(error.value) == (
        "the settings: the stages have epochs of their own; leave fit.epochs (--epochs) out, or set other "
        "stages: --set 'stages=[{train=\"head\", epochs=1}]'."
    )


class Anything(BaseModel):
    model_config = ConfigDict(strict=True)
    values: Sequence[int] = Field([0], min_length=1)
    path: type = int


@pytest.mark.parametrize(
    ("content", "text"),
    [({"values": []}, "it needs 1 or more entries"), ({"path": 3}, "input should be a type")],
)
def test_rare_faults_too(content, text):
    with pytest.raises(ValidationError) as error:
        Anything.model_validate(content)
    assert reason(error.value.errors()[0]) == text
