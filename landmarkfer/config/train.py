"""Typed settings of a training: every table of a recipe is one frozen model here; unknown keys are refused.

The field descriptions are the documentation. The `[model]` table holds a name and the keywords of that
model's constructor, which checks them. `recipes.py` reads the tables and overrides them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from landmarkfer.config.data import (
    FROZEN,
    AugmentSettings,
    DataSettings,
    NormalisationSettings,
    SplitSettings,
)
from landmarkfer.config.removed import without_removed


class ModelSettings(BaseModel):
    """Which model, with what keywords."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str = "gnn"

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords for the model's constructor: everything but the name."""
        return dict(self.model_extra or {})


class LossSettings(BaseModel):
    """What is minimised."""

    model_config = FROZEN
    name: Literal["cross_entropy", "focal"] = "cross_entropy"
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    class_weights: Literal["none", "inverse", "sqrt_inverse", "effective"] | None = Field(
        None, description="sqrt_inverse if unset, unless the sampling or logit_adjustment does as much"
    )
    beta: float = Field(0.999, ge=0, lt=1, description="of class_weights 'effective': near 1 is near inverse")
    gamma: float = Field(2.0, ge=0, description="of 'focal': how little well predicted images count")
    alpha: float = Field(0.25, gt=0, le=1, description="of 'focal': factor of the whole loss")
    logit_adjustment: float = Field(
        0.0,
        ge=0,
        description="times the log prior, added to the logits in the loss; 1 is usual",
    )
    consistency: float = Field(
        0.0,
        ge=0,
        description="each image is given twice, as two of its versions ('data.also'), differently augmented; "
        "times the divergence of their probabilities; 0: once",
    )


class SamplingSettings(BaseModel):
    """How often images of each class, or of each of several caches, are drawn in training."""

    model_config = FROZEN
    name: Literal["none", "oversample", "balanced", "adaptive"] = Field(
        "none",
        description="oversample: rare classes are repeated up to the largest; balanced: all classes alike; "
        "adaptive: after each epoch the k classes of lowest validation F1 are drawn `factor` times as often",
    )
    k: int = Field(2, ge=1, description="of 'adaptive': classes in focus")
    factor: float = Field(4.0, gt=1, description="of 'adaptive': how often they are drawn, beside the others")
    shares: Mapping[str, float] = Field(
        {},
        description="of several caches: the share of each in the draws of an epoch, by the cache's name; as "
        "many as it has training images if empty",
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if not self.shares:
            return self
        if self.name != "none":
            raise ValueError(
                f"shares say how often each cache is drawn and name = '{self.name}' how often each class is, "
                "which need not agree (of a class that one cache alone has, say); leave one of them out, and "
                "weight classes with loss.class_weights"
            )
        if min(self.shares.values()) <= 0 or not math.isclose(sum(self.shares.values()), 1, abs_tol=0.01):
            text = ", ".join(f"{name} = {share:g}" for name, share in self.shares.items())
            raise ValueError(f"shares are above 0 and sum to 1, not {text}; leave out a cache of share 0")
        return self


class MixingSettings(BaseModel):
    """Blends of two training faces and of their labels."""

    model_config = FROZEN
    mixup: float = Field(0.0, ge=0, description="beta parameter of blends of pixels and landmarks; 0: none")
    probability: float = Field(1.0, ge=0, le=1, description="share of the batches that are mixed")


class DistillationSettings(BaseModel):
    """Learning from other models' predictions of the training images, beside their labels."""

    model_config = FROZEN
    predictions: str | None = Field(
        None,
        description="prediction table of the training images (`evaluate --out-of-fold`); none if unset",
    )
    weight: float = Field(0.3, ge=0, le=1, description="weight of the predictions in the targets")


class BranchSettings(BaseModel):
    """Of fused models: what their branches are initialised from, and which of them are frozen."""

    model_config = FROZEN
    image: str | None = Field(None, description="a finished run of model 'image'; fresh weights if unset")
    encoder: str | None = Field(None, description="a finished run of the second branch's model")
    freeze: Sequence[Literal["image", "encoder"]] = Field([], description="branches that are not trained")

    @model_validator(mode="after")
    def _frozen_branches_are_initialised(self) -> Self:
        for name in self.freeze:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is frozen and initialised from nothing; name a finished run for it")
        return self


class OptimiserSettings(BaseModel):
    """The optimiser and its learning-rate schedule."""

    model_config = FROZEN
    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(2e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(
        1e-2, ge=0, description="on weight matrices; biases, norms and embeddings have none"
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor of the learning rate from each group of layers to the one below; 1 for one rate",
    )
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps; of every schedule but onecycle")
    clip: float = Field(0.0, ge=0, description="largest gradient norm; 0 for no clipping")


class StageSettings(BaseModel):
    """A part of the training in which some layers are frozen."""

    model_config = FROZEN
    train: Literal["head", "partial", "full"] = Field(
        description="head: the classifier alone; partial: also the last layers; full: everything"
    )
    epochs: int = Field(ge=1)
    lr: float | None = Field(None, gt=0, description="peak learning rate; optimiser.lr if unset")
    layers: int = Field(1, ge=1, description="of partial: how many groups of layers beside the head")


Monitor = Literal[
    "val_accuracy",
    "val_balanced_accuracy",
    "val_macro_f1",
    "val_loss",
    "val_accuracy_cache_mean",
    "val_balanced_accuracy_cache_mean",
    "val_macro_f1_cache_mean",
    "val_loss_cache_mean",
]
"""Columns of `metrics.csv` that may choose the epoch; see `training.cache_figures` for means over caches."""
CACHE_MEAN = "_cache_mean"
"""Ending of a figure that is the mean over several caches, each with equal weight."""


class FitSettings(BaseModel):
    """The training loop."""

    model_config = FROZEN
    epochs: int | None = Field(
        None,
        ge=1,
        description="48 of networks on landmarks alone and 20 of others if unset; where there are stages, "
        "theirs count",
    )
    batch_size: int = Field(256, ge=2)
    monitor: Monitor = Field(
        "val_accuracy",
        description="the figure whose best epoch is stored: over all validation images, or, of several "
        "caches, ..._cache_mean, in which each cache has the same weight",
    )
    patience: int = Field(
        0, ge=0, description="epochs without a better monitored value before stopping; 0 for never"
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the bias-corrected average of the weights, which reaches back over "
        "about 1 / (1 - ema) steps; 0 for none",
    )
    checkpoint_every: int = Field(0, ge=0, description="also checkpoint every N steps; 0 for each epoch only")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: CUDA, else the CPU")
    precision: Literal["32-true", "auto", "bf16-mixed"] = Field(
        "32-true", description="auto: bf16-mixed where the device multiplies bfloat16 itself, else 32-true"
    )
    compile: bool = Field(False, description="compile the model with torch.compile")


class PredictionSettings(BaseModel):
    """How a trained model is applied."""

    model_config = FROZEN
    mirror: bool = Field(True, description="average the prediction with that for the mirrored face")
    crops: Literal["one", "five"] = Field(
        "one",
        description="test-time augmentation of a cropped image: the middle crop, or the corners too",
    )
    least_recall: float = Field(
        0.45,
        ge=0,
        lt=1,
        description="of networks: recall on the validation images below which a class's logit is raised; "
        "0 raises none",
    )
    calibrate: bool = Field(
        True,
        description="undo class weights in the probabilities, and scale these on the validation images; "
        "predicted classes stay, their confidence changes",
    )


class TrainSettings(BaseModel):
    """Everything that decides a training run."""

    model_config = FROZEN
    cache: str | Sequence[str] | None = Field(
        None,
        description="landmark cache: folder or name, or a list of them; the only one under cache/ if unset",
    )
    name: str | None = Field(
        None, description="name of the run's folder; made from model, graph and seed if unset"
    )
    seed: int = Field(0, ge=0)
    init: str | None = Field(
        None,
        description="a finished run whose weights the training is initialised from, or a model that ships "
        "(shipped, fusion, landmarks); of the head, those of classes of the same name",
    )
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    normalisation: NormalisationSettings = NormalisationSettings()
    split: SplitSettings = SplitSettings()
    augment: AugmentSettings = AugmentSettings()
    mixing: MixingSettings = MixingSettings()
    loss: LossSettings = LossSettings()
    distillation: DistillationSettings = DistillationSettings()
    sampling: SamplingSettings = SamplingSettings()
    branches: BranchSettings = BranchSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    stages: Sequence[StageSettings] = []
    fit: FitSettings = FitSettings()
    prediction: PredictionSettings = PredictionSettings()

    @field_validator("cache", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        if given is None or isinstance(given, str):
            return given
        if not isinstance(given, list | tuple) or not given or not all(isinstance(one, str) for one in given):
            raise ValueError(
                "of several caches it is a list of their names, and of one it must be a text in quotes"
            )
        return given[0] if len(given) == 1 else given

    @property
    def caches(self) -> tuple[str, ...]:
        """The caches that are named; none where the only one is meant."""
        return (
            () if self.cache is None else (self.cache,) if isinstance(self.cache, str) else tuple(self.cache)
        )

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return sum(stage.epochs for stage in self.stages) or self.fit.epochs or 20

    @property
    def class_weights(self) -> str:
        """The scheme of `loss.class_weights`, also where it is unset."""
        even = self.loss.logit_adjustment or self.sampling.name != "none"
        return self.loss.class_weights or ("none" if even else "sqrt_inverse")

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        weights = self.loss.class_weights
        even = {
            f"loss.class_weights = '{weights}'": weights not in (None, "none"),
            f"loss.logit_adjustment = {self.loss.logit_adjustment:g}": self.loss.logit_adjustment > 0,
            f"sampling.name = '{self.sampling.name}'": self.sampling.name in ("oversample", "balanced"),
        }
        chosen = [text for text, given in even.items() if given]
        if len(chosen) > 1:
            raise ValueError(f"{chosen[0]} and {chosen[1]} both even out the classes; choose one")
        if self.fit.monitor.endswith(CACHE_MEAN) and len(self.caches) < 2:
            raise ValueError(
                f"fit.monitor = '{self.fit.monitor}' is of several caches, and one is trained on; take "
                f"'{self.fit.monitor.removesuffix(CACHE_MEAN)}', or name more caches"
            )
        if self.branches != BranchSettings():
            if self.model.name != "fusion":
                raise ValueError(f"branches are of model 'fusion', and this is '{self.model.name}'")
            if self.init or (self.stages and self.branches.freeze):
                other = "init" if self.init else "stages"
                raise ValueError(f"branches and {other} both initialise or freeze; choose one")
        if self.stages:
            if self.fit.epochs:
                raise ValueError(
                    "the stages have epochs of their own; leave fit.epochs (--epochs) out, or set other "
                    "stages: --set 'stages=[{train=\"head\", epochs=1}]'"
                )
            if self.optimiser.schedule == "onecycle":
                raise ValueError(
                    "optimiser.schedule = 'onecycle' cannot restart with each stage; take cosine or constant"
                )
        return self


class ResolvedSettings(TrainSettings):
    """Settings that state all they leave to choose; what is trained, and saved in `config.json`.

    `training.resolve.resolve` makes them, once per training; else they are read from a run's `config.json`,
    which may be of version 0.1.
    """

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, content: Any) -> Any:
        return without_removed(content) if isinstance(content, dict) else content
