"""All that a training needs before its first step, from its settings and caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.cache_splits import split_images
from landmarkfer.data.dataset import FaceDataset, label_images, load_dataset
from landmarkfer.data.framing import training_frame
from landmarkfer.data.images import ImageInfo, natural_size
from landmarkfer.data.joined import open_cache
from landmarkfer.data.splits import Rows, Splits
from landmarkfer.errors import RunError
from landmarkfer.face.frame import Frame
from landmarkfer.models import model_class
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import Progress
from landmarkfer.runs.config import GraphInfo
from landmarkfer.training.cache_shares import drawn_shares, image_weights
from landmarkfer.training.class_weighting import log_class_weights
from landmarkfer.training.distillation import soft_targets
from landmarkfer.training.initialise import class_counts, class_shares, initialise_model, usable_rows
from landmarkfer.training.offline_augmentation import add_augmented
from landmarkfer.training.samplers import check_sampling, check_shares
from landmarkfer.training.votes import vote_targets


@dataclass(frozen=True)
class Training:
    """A training that is ready for its first step; `set_up` makes it.

    Attributes:
        settings: Of the run.
        caches: The cache, or several joined, and then those of `data.also`.
        images: Size and channels of the images that the model reads; None if it reads none.
        dataset: The rows of the cache, then the offline augmentation of its training images.
        splits: Rows of the cache that train, validate and test.
        train_rows: Rows that are trained on: `splits.train`, and their offline augmentation.
        model: With its first weights.
    """

    settings: ResolvedSettings
    caches: tuple[LandmarkCache, ...]
    images: ImageInfo | None
    dataset: FaceDataset
    splits: Splits
    train_rows: Rows
    model: Classifier

    @property
    def graph(self) -> GraphInfo | None:
        """The model's graph; None if it has none."""
        return GraphInfo.of(self.model.face_graph)

    @property
    def frame(self) -> Frame | None:
        """How faces lie in the training images; see `data.framing.training_frame`."""
        return training_frame(self.caches[0], self.splits.train)

    @property
    def class_counts(self) -> Tensor:
        """Training images of each class, `[C]`; where caches have stated shares, as they are drawn."""
        stated = self.shares if self.settings.sampling.shares else None
        return class_counts(
            self.dataset, self.train_rows, image_weights(stated, self.dataset, self.train_rows)
        )

    @property
    def shares(self) -> NDArray[np.float64] | None:
        """The share of each of several caches in the draws, `[K]`; None where there is one."""
        return drawn_shares(self.settings, self.dataset, self.splits.train)

    @property
    def validation_weights(self) -> NDArray[np.float64] | None:
        """How much each validation image counts in calibration, `[n]`; None where all count alike."""
        return image_weights(self.shares, self.dataset, self.splits.val)

    @property
    def log_class_weights(self) -> NDArray[np.float64]:
        """What the training makes the logits of each class higher by, `[C]`; see `class_weighting`."""
        shares = class_shares(self.settings, self.dataset, self.splits)
        return log_class_weights(self.model, self.settings, self.class_counts, shares)

    @property
    def usable_rows(self) -> Rows:
        """The training rows in which the model has usable input."""
        return usable_rows(self.model, self.dataset, self.train_rows)


def open_caches(settings: ResolvedSettings) -> tuple[LandmarkCache, ...]:
    """The cache that the settings name, or several joined, and then those of `data.also`."""
    return (open_cache(settings.cache), *(LandmarkCache.open(find_cache(one)) for one in settings.data.also))


def set_up(
    settings: ResolvedSettings,
    caches: Sequence[LandmarkCache],
    progress: Progress,
    split_ids: Mapping[str, list[str]] | None = None,
    *,
    fresh: bool = True,
) -> Training:
    """Read the data and initialise the model, of a new run and of one that resumes alike.

    Args:
        settings: Of the run.
        caches: The cache, and then those of `data.also`.
        progress: Shows how far it is.
        split_ids: The ids that train, validate and test; a new split if None.
        fresh: False where a checkpoint is loaded next.

    Raises:
        CacheError: A cache is not complete, or has too few images.
        RunError: The cache lacks one of the ids.
        LandmarkferError: A setting does not fit the data, or the model cannot be initialised.
    """
    cache, *also = caches
    check_shares(settings.sampling, [one.name for one in cache.members])
    frame, classes = label_images(cache, settings.data)
    if split_ids is None:
        splits = split_images(frame, settings.split, settings.data.per_class)
    else:
        splits = _splits_of_ids(split_ids, frame["id"])
    counts = frame["label"].iloc[splits.train].value_counts().reindex(list(classes), fill_value=0)
    check_sampling(settings.sampling, classes, counts.to_numpy())
    images = image_info(settings, cache)
    kind = model_class(settings.model.name)
    dataset = load_dataset(
        cache,
        settings.normalisation,
        (frame, classes),
        images,
        progress,
        settings.data.shuffled,
        deviations="landmarks" in kind.inputs and not kind.fitted_at_once,
    )
    model = initialise_model(settings, dataset, splits, fresh=fresh)
    targets = soft_targets(settings.distillation, dataset, usable_rows(model, dataset, splits.train))
    if settings.data.labels == "votes":
        targets = vote_targets(cache, settings.data, dataset)
    if targets is not None:
        dataset = replace(dataset, faces=replace(dataset.faces, targets=targets))
    dataset, train_rows = add_augmented(dataset, splits.train, also, settings, images, progress)
    return Training(settings, tuple(caches), images, dataset, splits, train_rows, model)


def image_info(settings: ResolvedSettings, cache: LandmarkCache) -> ImageInfo | None:
    """The images that the model reads of a cache; None if it reads none."""
    inputs = model_class(settings.model.name).inputs
    if "image" not in inputs:
        return None
    channels = settings.model.keywords.get("channels", 1)
    return ImageInfo(size=natural_size(cache), channels=channels, keypoints="keypoints" in inputs)


def _splits_of_ids(split_ids: Mapping[str, list[str]], known: pd.Series) -> Splits:
    row = pd.Series(np.arange(len(known)), index=known)
    try:
        return Splits(**{part: row.loc[ids].to_numpy(copy=True) for part, ids in split_ids.items()})
    except (KeyError, TypeError) as error:
        raise RunError(f"splits.json does not fit the cache: {error}; train a new run.") from error
