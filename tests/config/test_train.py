import pytest

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import SettingsError


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("fit.epochs", "5", "whole number"),
        ("fit.epochs", 2.5, "whole number"),
        ("fit.epochs", True, "whole number"),
        ("fit.epochs", 0, "1 or more"),
        ("fit.batch_size", 1, "2 or more"),
        ("fit.ema", 1, "below 1"),
        ("fit.device", "tpu", "'cuda'"),
        ("fit.monitor", "accuracy", "'val_accuracy'"),
        ("fit", 3, "table"),
        ("model", "mlp", "table"),
        ("model.name", 3, "text"),
        ("name", 3, "text"),
        ("seed", -1, "0 or more"),
        ("optimiser.lr", float("inf"), "finite"),
        ("optimiser.lr", float("nan"), "finite"),
        ("augment.mirror", 1.5, "1 or less"),
        ("split.validation", 1.0, "below 1"),
        ("split.folds", 1, "0 or at least 2"),
        ("prediction.mirror", "yes", "true or false"),
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
