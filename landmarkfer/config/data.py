"""Settings of the data: which images take part, how they are split, normalised and augmented.

See `train.py`, whose `TrainSettings` holds these tables.
"""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FROZEN = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NormalisationSettings(BaseModel):
    """What `geometry.normalise` removes."""

    model_config = FROZEN
    align: Literal["none", "roll"] = "roll"
    scale: Literal["rms", "interocular"] = "rms"


class DataSettings(BaseModel):
    """Which of the cache's images take part, and as what."""

    model_config = FROZEN
    classes: Sequence[str] = Field([], description="only these, as named after merging; all if empty")
    merge: dict[str, Sequence[str]] = Field({}, description="classes that become one, by its new name")
    labels: Literal["majority", "votes"] = Field(
        "majority", description="what is trained on: the label, or annotators' votes as soft targets"
    )
    per_class: int = Field(0, ge=0, description="training images of each class, drawn at random; 0 for all")
    official: bool = Field(
        True, description="use the data's own splits; false: pool all labelled images and carve new ones"
    )

    shuffled: bool = Field(
        False,
        description="give each image the landmarks of another, in training and test: a control for fusion",
    )
    also: Sequence[str] = Field(
        [],
        description="offline augmentation: further caches of the same images (of `corrupt`, for example), "
        "whose versions of the training images are trained on, too",
    )

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        merged = [name for parts in self.merge.values() for name in parts]
        twice = {name for name in merged if merged.count(name) > 1}
        if twice:
            raise ValueError(f"class '{min(twice)}' is merged into more than one")
        if len(self.classes) == 1:
            raise ValueError(f"data.classes has '{self.classes[0]}' alone, which leaves nothing to classify")
        return self


class SplitSettings(BaseModel):
    """How validation (and, where the data has no test images, test) is carved from the training images."""

    model_config = FROZEN
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


class ImageAugmentSettings(BaseModel):
    """Random changes of the training pixels. Landmarks that lie in the image move with it."""

    model_config = FROZEN
    rotation: float = Field(0.0, ge=0, le=180, description="largest in-plane turn, degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="largest change of size: 0.2 for 0.8 to 1.2")
    shift: float = Field(0.0, ge=0, lt=1, description="largest shift, as a share of the image's side")
    brightness: float = Field(0.0, ge=0, lt=1, description="largest change, as a share of white")
    contrast: float = Field(0.0, ge=0, lt=1, description="largest change of contrast: 0.2 for 0.8 to 1.2")
    blur: float = Field(
        0.0, ge=0, le=2, description="largest SD of a Gaussian blur of half the images, pixels"
    )
    erasing: float = Field(0.0, ge=0, le=1, description="probability that a rectangle is erased")


class AugmentSettings(BaseModel):
    """Random changes of the training faces, drawn for each batch on the model's device.

    `mirror` is of landmarks and pixels alike, `image` of pixels alone, the others of landmarks alone.
    """

    model_config = FROZEN
    image: ImageAugmentSettings = ImageAugmentSettings()
    mirror: float = Field(0.5, ge=0, le=1, description="probability of the mirror image")
    jitter: float = Field(
        0.0, ge=0, description="SD of noise, in each coordinate's own SD over the training faces"
    )
    detection: float = Field(
        1.0,
        ge=0,
        description="largest share of the way from the mean of a face's detections to the first of them, "
        "drawn at random; of caches with several detections of each image",
    )
    shape_jitter: float = Field(
        0.0, ge=0, description="SD of noise that moves all points together, as the faces of the batch differ"
    )
