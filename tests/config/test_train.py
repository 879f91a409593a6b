import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import SettingsError


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("fit.epochs", "5", "integer"),
        ("fit.epochs", 2.5, "integer"),
        ("fit.epochs", True, "integer"),
        ("fit.epochs", 0, "greater than or equal to 1"),
        ("fit.batch_size", 1, "greater than or equal to 2"),
        ("fit.ema", 1, "less than 1"),
        ("fit.device", "tpu", "'cuda'"),
        ("fit.monitor", "accuracy", "'val_accuracy'"),
        ("fit", 3, "dictionary"),
        ("model", "mlp", "dictionary"),
        ("model.name", 3, "string"),
        ("name", 3, "string"),
        ("seed", -1, "greater than or equal to 0"),
        ("optimiser.lr", float("inf"), "finite"),
        ("optimiser.lr", float("nan"), "finite"),
        ("augment.mirror", 1.5, "less than or equal to 1"),
        ("split.validation", 1.0, "less than 1"),
        ("split.folds", 1, "0 or at least 2"),
        ("prediction.mirror", "yes", "boolean"),
    ],
)
def test_wrong_values_are_named_with_what_was_expected(key, value, reason):
    with pytest.raises(SettingsError) as error:
        load_settings(overrides={key: value})
    assert f"'{key.split('.')[0]}" in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_are_frozen():
    settings = TrainSettings()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.fit.epochs = 1
    settings.model.keywords["hidden"] = 3
    assert settings.model.keywords == {}
