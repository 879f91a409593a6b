"""A finished run beside the images that it is applied to: its own cache's, or another one's."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.calibration.conformal import threshold_for
from landmarkfer.calibration.priors import Prior, prior_ratio
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.cache_splits import split_images
from landmarkfer.data.dataset import FaceDataset, label_images, load_dataset
from landmarkfer.data.duplicates import has_near_duplicate_in, near_duplicates
from landmarkfer.data.splits import Rows, has_duplicate_in
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.evaluation.foreign import ForeignLabels
from landmarkfer.evaluation.label_mapping import AS_IT_IS, LabelMapping
from landmarkfer.evaluation.shift import predictions_under
from landmarkfer.inference.device import accelerator
from landmarkfer.inference.predict import predict_rows
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.sets import STATED
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.config import RunConfig
from landmarkfer.runs.folder import RunFolder, TrainedModel
from landmarkfer.runs.trained_images import trained_it


@dataclass(frozen=True)
class Opened:
    """A finished run beside the images that it is applied to.

    Attributes:
        run: The run.
        trained: Its model.
        dataset: The images.
        cache: Where they are from.
        own: Whether that is the cache that the run was trained on, or all of several.
        foreign: The labels of another cache than its own, or of one of several; None of its own.
        prior: Share of each class among the images; as in training if None.
    """

    run: RunFolder
    trained: TrainedModel
    dataset: FaceDataset
    cache: LandmarkCache
    own: bool
    foreign: ForeignLabels | None = None
    prior: Prior | None = None

    @property
    def trained_shares(self) -> dict[str, float]:
        """The share of each class in the data that the run was trained on, merged as they are here."""
        config, prior = self.trained.config, self.trained.model.prior
        assert prior is not None
        merged = {} if self.foreign is None else self.foreign.mapping.merged
        shares: dict[str, float] = {}
        for name, share in zip(config.classes, prior.tolist(), strict=True):
            shares[merged.get(name, name)] = shares.get(merged.get(name, name), 0.0) + share
        return shares

    @property
    def shared_sets(self) -> list[str]:
        """Classes of too few validation images, for which prediction sets hold their coverage together."""
        thresholds = self.trained.model.calibration.set_thresholds
        if thresholds is None:
            return []
        stated = threshold_for(thresholds, STATED)
        # Thresholds are quantiles of different images' probabilities, and equal only where they are shared.
        shared = (stated[:, None] == stated).sum(axis=1) > 1
        return [name for name, one in zip(self.trained.config.classes, shared, strict=True) if one]

    def predict_test(self) -> Predictions:
        """Predictions on the test images, under the prior; see `ForeignLabels.rows` for another cache's."""
        predictions = self._predict_test()
        if self.prior is None:
            return predictions
        shares = self.trained_shares
        ratio = prior_ratio(self.prior, predictions.classes, [shares[name] for name in predictions.classes])
        return predictions_under(predictions, ratio)

    def _predict_test(self) -> Predictions:
        if self.foreign is not None:
            rows = self.foreign.rows(self.dataset, self.cache.path)
            found = predict_rows(self.trained, self.dataset, rows)
            trained_on = self._trained_on(rows)
            if trained_on is not None and trained_on.any():
                found = replace(found, clean=(~trained_on).astype(object))
            return self.foreign.relabelled(found, self.dataset, rows)
        rows = _own_test_rows(self.run, self.dataset)
        predictions = predict_rows(self.trained, self.dataset, rows)
        duplicates = has_duplicate_in(self.dataset.frame, rows, self._not_among(rows))
        return replace(predictions, clean=(~duplicates).astype(object))

    def _trained_on(self, rows: Rows) -> NDArray[np.bool_] | None:
        """Whether images of another cache were trained on or validate, by their pixels; None if not known."""
        config = self.trained.config
        hashes = self.dataset.frame["sha256"].iloc[rows]
        stated = trained_it(self.run.path, hashes)
        if stated is not None:
            return stated
        try:
            own = config.cache.open()
            ids = self.run.read_splits()
        except (CacheError, RunError):
            return None
        if own.fingerprint != config.cache.fingerprint:
            return None
        frame = own.frame(["id", "sha256"]).set_index("id")["sha256"]
        known = set(frame.reindex([*ids["train"], *ids["val"]]).dropna())
        return hashes.isin(known).to_numpy(dtype=bool)

    def with_near_duplicates(self, predictions: Predictions, progress: Progress = SILENT) -> Predictions:
        """Predictions on the run's own test images, with those that have a near-duplicate in train marked.

        Args:
            predictions: What `predict_test` gave; those on another cache are returned as they are.
            progress: Reports the search for near-duplicates, which is stored beside the cache.
        """
        if not self.own:
            return predictions
        frame = self.dataset.frame
        rows = pd.Index(frame["id"]).get_indexer(pd.Index(predictions.ids))
        near = near_duplicates(self.cache, progress)
        found = has_near_duplicate_in(frame, near, rows, self._not_among(rows))
        return replace(predictions, clean_near=(~found).astype(object))

    def _not_among(self, test: Rows) -> Rows:
        """The labelled images that are no test images; of several caches, those that train or validate."""
        if self.dataset.caches:
            ids = split_ids(self.run, self.dataset.frame)
            used = self.dataset.frame["id"].isin([*ids["train"], *ids["val"]])
            return np.flatnonzero(used.to_numpy())
        return np.setdiff1d(np.flatnonzero(self.dataset.frame["label"].notna()), test)

    def predict_validation(self) -> Predictions:
        """Predictions on the images that validated the run, without prediction sets, which they decided.

        Raises:
            RunError: The cache is not the run's own, so that there are none.
        """
        if not self.own:
            raise RunError(f"run '{self.run.name}' was validated on another cache than {self.cache.path}.")
        wanted = self.dataset.frame["id"].isin(split_ids(self.run, self.dataset.frame)["val"])
        return predict_rows(self.trained, self.dataset, np.flatnonzero(wanted.to_numpy())).without_sets()


def _own_cache(run: RunFolder, config: RunConfig) -> LandmarkCache:
    """What a run was trained on: a cache, or several joined.

    Raises:
        CacheError: One of them is not there; the message says which of several are.
    """
    try:
        return config.cache.open()
    except CacheError as error:
        there = []
        for one in config.cache.members:
            with suppress(CacheError):
                there.append(one.open().path)
        if not there:
            raise
        raise CacheError(
            f"{str(error).removesuffix('.')}; run '{run.name}' was trained on several caches: to evaluate it "
            f"on the one that is left, name it: --cache {there[0]}."
        ) from error


def open_run(
    run: RunFolder,
    cache: str | os.PathLike[str] | None = None,
    mapping: LabelMapping = AS_IT_IS,
    prior: Prior | None = None,
) -> Opened:
    """Load a run onto the GPU, if there is one, and the images it is to be applied to.

    Args:
        run: A finished run.
        cache: A cache other than the one it was trained on.
        mapping: How the labels of that cache become classes of the model.
        prior: Share of each class among the images, see `calibration.priors`; that of training if None.

    Raises:
        RunError: The run is not finished or damaged.
        CacheError: The cache is missing, or is no longer what the run was trained on.
        SettingsError: The mapping does not fit the cache and the model, or there is no other cache.
    """
    if mapping and cache is None:
        raise SettingsError(
            "names of labels and merged classes are those of another cache; name it: --cache."
        )
    trained = run.load()
    trained.model.to(accelerator("auto"))
    source = _own_cache(run, trained.config) if cache is None else LandmarkCache.open(find_cache(cache))
    settings = trained.config.settings
    own = source.fingerprint == trained.config.cache.fingerprint and not mapping
    if cache is None and not own:
        changed = next(
            (
                one
                for one, known in zip(source.members, trained.config.cache.each, strict=True)
                if one.fingerprint != known.fingerprint
            ),
            source,
        )
        raise CacheError(
            f"{changed.path} is no longer the cache that run '{run.name}' was trained on; to evaluate on "
            f"what is there now all the same, name it: --cache {changed.path}."
        )
    if own:
        foreign, labels = None, label_images(source, settings.data, trained.config.classes)
    else:
        tested = tested_of_member(run, trained.config, source)
        foreign = ForeignLabels.of(source, trained.config, mapping, tested)
        labels = label_images(source, settings.data, foreign.classes, foreign.names)
    dataset = load_dataset(
        source, settings.normalisation, labels, trained.config.images, shuffled=settings.data.shuffled
    )
    return Opened(run, trained, dataset, source, own, foreign, prior)


def tested_of_member(run: RunFolder, config: RunConfig, source: LandmarkCache) -> NDArray[np.bool_] | None:
    """Whether each image of one of the several caches of a run is among its test images.

    Args:
        run: The run.
        config: What it states.
        source: A cache.

    Returns:
        `[N]`; None where the cache is none of them.
    """
    prefix = config.cache.prefix_of(source.fingerprint)
    if not prefix:
        return None
    if run.splits_file.exists():
        splits = run.read_splits()
    else:  # weights that are shipped alone
        frame, _ = label_images(config.cache.open(), config.settings.data, config.classes)
        splits = split_ids(run, frame)
    test = set(splits["test"])
    return np.array([prefix + one in test for one in source.frame(["id"])["id"]], dtype=bool)


def split_ids(run: RunFolder, frame: pd.DataFrame) -> dict[str, list[str]]:
    """Which images trained, validated and test a run.

    Args:
        run: A run.
        frame: What `label_images` gave of its cache; the splits of weights that are shipped without a
            `splits.json` follow from it and from the settings.

    Returns:
        Ids, as in `splits.json`.

    Raises:
        RunError: The run's settings, or its splits, cannot be read.
    """
    if run.splits_file.exists():
        return run.read_splits()
    settings = run.read_config().settings
    return split_images(frame, settings.split, settings.data.per_class).as_ids(frame["id"])


def _own_test_rows(run: RunFolder, dataset: FaceDataset) -> Rows:
    wanted = dataset.frame["id"].isin(split_ids(run, dataset.frame)["test"])
    return np.flatnonzero(wanted.to_numpy())
