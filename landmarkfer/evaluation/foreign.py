"""The labels of another cache beside the classes of a model: which images are evaluated and which not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.splits import Rows
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.label_mapping import LabelMapping
from landmarkfer.metrics.combine import merge_classes
from landmarkfer.metrics.predictions import UNKNOWN, Predictions
from landmarkfer.metrics.report import OtherData
from landmarkfer.runs.config import RunConfig


@dataclass(frozen=True)
class ForeignLabels:
    """The labels of another cache than the run's own, or of one of the several that it was trained on.

    Attributes:
        mapping: How they become classes of the model.
        names: What each label is called as a class; None where it is none.
        classes: Those of the model, after merging.
        labels: What each image of the cache is called, None where it has no class; the classes that the model
            lacks included.
        tested: Whether each image of the cache is among the run's own test images, bool `[N]`; None where the
            run was not trained on the cache.
    """

    mapping: LabelMapping
    names: Mapping[str, str | None]
    classes: tuple[str, ...]
    labels: NDArray[np.object_]
    tested: NDArray[np.bool_] | None = None

    @classmethod
    def of(
        cls,
        cache: LandmarkCache,
        config: RunConfig,
        mapping: LabelMapping,
        tested: NDArray[np.bool_] | None = None,
    ) -> "ForeignLabels":
        """The labels of a cache, for a run; `tested` is that of the attributes.

        Raises:
            SettingsError: See `LabelMapping.of_labels`.
        """
        given = cache.frame(["label"])["label"]
        known = given.dropna().unique().tolist()
        merge = config.settings.data.merge
        names = mapping.of_labels(known, config.classes, merge, str(cache.path))
        labels = np.array([names.get(label) for label in given.where(given.notna(), None)], dtype=object)
        return cls(mapping, names, mapping.classes(config.classes), labels, tested)

    def rows(self, dataset: FaceDataset, path: Path) -> Rows:
        """Which images are predicted: the test images, or all, as far as they have a class of the model.

        Of a cache that the run was trained on beside others, they are the run's own test images.

        Where none of them has a label, all of them are predicted, and there are no figures.

        Args:
            dataset: The cache in memory.
            path: Its folder, for the message.

        Raises:
            CacheError: There are labels, but none is a class of the model.
        """
        wanted = self._wanted(dataset)
        labelled = dataset.frame["label"].notna().to_numpy()
        if (wanted & labelled).any():
            return np.flatnonzero(wanted & labelled)
        found = self._counts(wanted)
        if not found:
            return np.flatnonzero(wanted)
        raise CacheError(
            f"{path} has no image labelled with one of {', '.join(self.classes)}; its classes are "
            f"{', '.join(found)}; --label-names and --merge give labels the names of classes."
        )

    def relabelled(self, predictions: Predictions, dataset: FaceDataset, rows: Rows) -> Predictions:
        """Predictions of the model's own classes, with the merged classes and their labels."""
        merged = merge_classes(predictions, self.mapping.merged)
        labels = pd.Index(list(self.classes)).get_indexer(pd.Index(dataset.frame["label"].iloc[rows]))
        return replace(merged, labels=labels.astype(np.int64))

    def report(self, dataset: FaceDataset, predictions: Predictions, name: str) -> OtherData:
        """What was predicted, and what is left out of the figures.

        Args:
            dataset: The cache in memory.
            predictions: On its images.
            name: Of the cache.
        """
        wanted = self._wanted(dataset)
        counts = np.bincount(predictions.predicted, minlength=len(self.classes)).tolist()
        there = set(predictions.labels[predictions.labels != UNKNOWN].tolist())
        labelled = len(there) > 0
        return OtherData(
            cache=name,
            images=len(predictions),
            no_face=int(np.sum(predictions.status == "no_face")),
            unreadable=int(np.sum(predictions.status == "unreadable")),
            predicted=dict(zip(self.classes, counts, strict=True)),
            unlabelled=int(np.sum(wanted & pd.isna(self.labels))),
            left_out={name: n for name, n in self._counts(wanted).items() if name not in self.classes},
            trained_on=0 if predictions.clean is None else int(np.sum(~predictions.clean.astype(bool))),
            absent=[one for i, one in enumerate(self.classes) if i not in there] if labelled else [],
        )

    def _wanted(self, dataset: FaceDataset) -> NDArray[np.bool_]:
        """Whether an image is to be predicted: all, unless there are test images."""
        if self.tested is not None:
            return self.tested
        test = (dataset.frame["split"] == "test").to_numpy(dtype=bool)
        return test if test.any() else np.ones(len(dataset), bool)

    def _counts(self, wanted: NDArray[np.bool_]) -> dict[str, int]:
        """Images of each label among those that are wanted."""
        counts = pd.Series(self.labels[wanted]).dropna().value_counts()
        return {name: int(counts[name]) for name in sort_classes(counts.index)}
