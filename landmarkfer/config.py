"""Typed settings: read from TOML, overridden by the command line, saved as JSON; unknown keys are refused.

Every table of a recipe is one frozen model below, and its field descriptions are the documentation. The
`[model]` table holds a name and the keywords of that model's constructor, which checks them.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from landmarkfer.errors import SettingsError

_FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSettings(BaseModel):
    """Which model, with what keywords."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = "gnn"

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords for the model's constructor: everything but the name."""
        return dict(self.model_extra or {})


class NormalisationSettings(BaseModel):
    """What `geometry.normalise` removes."""

    model_config = _FROZEN
    align: Literal["none", "roll"] = "roll"
    scale: Literal["rms", "interocular"] = "rms"


class SplitSettings(BaseModel):
    """How validation (and, where the data has no test images, test) is carved from the training images."""

    model_config = _FROZEN
    validation: float = Field(0.1, gt=0, lt=1, description="share of the training images")
    test: float = Field(0.2, gt=0, lt=1, description="share of all images, where the data has no test split")
    folds: int = Field(0, ge=0, description="k of k-fold cross-validation; 0 for one validation share")
    fold: int = Field(0, ge=0, description="which of the k folds validates")
    seed: int = Field(0, ge=0, description="independent of the training seed, so that seeds share a split")

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds must be 0 or at least 2")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds ({self.folds}), got {self.fold}")
        return self


class AugmentSettings(BaseModel):
    """Random changes of the training landmarks, drawn anew for each batch on the model's device."""

    model_config = _FROZEN
    mirror: float = Field(0.5, ge=0, le=1, description="probability of the mirror image")
    rotation: float = Field(0.0, ge=0, description="SD of an in-plane turn, degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="SD of the logarithm of a size factor")
    jitter: float = Field(
        0.05, ge=0, description="SD of noise, in each coordinate's own SD over the training faces"
    )
    landmark_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that a point is put on the mean face"
    )
    region_dropout: float = Field(0.0, ge=0, lt=1, description="probability that a whole region is")


class LossSettings(BaseModel):
    """What is minimised."""

    model_config = _FROZEN
    name: Literal["cross_entropy"] = "cross_entropy"
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    class_weights: Literal["none", "inverse", "sqrt_inverse"] = "none"


class OptimiserSettings(BaseModel):
    """AdamW and its learning-rate schedule."""

    model_config = _FROZEN
    lr: float = Field(2e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(
        1e-2, ge=0, description="on weight matrices; biases, norms and embeddings have none"
    )
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    warmup: float = Field(
        0.05, ge=0, lt=1, description="share of all steps; of the cosine and constant schedules"
    )
    clip: float = Field(0.0, ge=0, description="largest gradient norm; 0 for no clipping")


class FitSettings(BaseModel):
    """The training loop."""

    model_config = _FROZEN
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(256, ge=2)
    monitor: Literal["val_accuracy", "val_macro_f1", "val_loss"] = "val_accuracy"
    patience: int = Field(
        0, ge=0, description="epochs without a better monitored value before stopping; 0 for never"
    )
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the averaged weights per step; 0 for none")
    checkpoint_every: int = Field(0, ge=0, description="also checkpoint every N steps; 0 for each epoch only")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else the CPU")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"


class PredictionSettings(BaseModel):
    """How a trained model is applied."""

    model_config = _FROZEN
    mirror: bool = Field(True, description="average the prediction with that for the mirrored face")


class TrainSettings(BaseModel):
    """Everything that decides a training run."""

    model_config = _FROZEN
    cache: str | None = Field(
        None, description="landmark cache: folder or name; the only one under cache/ if unset"
    )
    name: str | None = Field(
        None, description="name of the run's folder; made from model, graph and seed if unset"
    )
    seed: int = Field(0, ge=0)
    model: ModelSettings = ModelSettings()
    normalisation: NormalisationSettings = NormalisationSettings()
    split: SplitSettings = SplitSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    fit: FitSettings = FitSettings()
    prediction: PredictionSettings = PredictionSettings()


def load_settings(
    recipe: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
) -> TrainSettings:
    """Settings from a recipe, then overrides, then `table.key=value` assignments; the last one wins.

    Args:
        recipe: A TOML file; the defaults alone if None.
        overrides: Values by dotted key, such as `{"fit.epochs": 5}`; None values are passed over.
        assignments: Strings such as `augment.jitter=0.1`; values are TOML, bare words are strings.

    Returns:
        The checked settings.

    Raises:
        SettingsError: The file cannot be read, or a key or value is wrong; the message names it.
    """
    content = _read_toml(recipe) if recipe else {}
    for key, value in (overrides or {}).items():
        if value is not None:
            _assign(content, key, value)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise SettingsError(
                f"'{assignment}' is no setting; write it as table.key=value, e.g. fit.epochs=5."
            )
        _assign(content, key.strip(), _toml_value(text.strip()))
    return parse_settings(content, origin=str(recipe) if recipe else "the settings")


def parse_settings(content: Mapping[str, Any], origin: str) -> TrainSettings:
    """Check plain data against the settings.

    Raises:
        SettingsError: Names the first wrong key, what was given, and which keys there are.
    """
    try:
        return TrainSettings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(_explain(error, origin)) from None


def changed_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that differ from the defaults, by dotted key."""
    return dict(_differences(settings.model_dump(), TrainSettings().model_dump(), ""))


def _differences(given: dict[str, Any], default: dict[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in given.items():
        if isinstance(value, dict):
            yield from _differences(value, default.get(key, {}), f"{prefix}{key}.")
        elif key not in default or value != default[key]:
            yield f"{prefix}{key}", value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no recipe {path}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} is no readable TOML file: {error}.") from None


def _assign(content: dict[str, Any], key: str, value: Any) -> None:
    *tables, last = key.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise SettingsError(f"'{key}' is no setting: '{table}' is a value, not a table.")
    content[last] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError, origin: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        table: Any = TrainSettings
        for part in first["loc"][:-1]:
            table = table.model_fields[str(part)].annotation
        return f"{origin}: there is no setting '{key}'; known here: {', '.join(table.model_fields)}."
    given = json.dumps(first["input"], default=str)
    place = f"'{key}' = {given}" if key else given
    reason = first["msg"].removeprefix("Value error, ")
    return f"{origin}: {place} does not fit: {reason[:1].lower()}{reason[1:]}."
