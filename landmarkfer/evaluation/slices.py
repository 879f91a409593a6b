"""Slices of the test images by the strongest confounds of their cache (`data.confounds`)."""

import numpy as np
import pandas as pd

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.confounds.measure import Measured, measure_confounds
from landmarkfer.data.joined import rows_by_cache
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.metrics.slices import slice_predictions, small_slices
from landmarkfer.progress import SILENT, Progress


class Slicer:
    """Adds slices to evaluations, and measures the confounds of each cache once.

    Args:
        progress: Reports the tasks of `measure_confounds`.
    """

    def __init__(self, progress: Progress = SILENT) -> None:
        self._progress = progress
        self._measured: dict[str, Measured] = {}

    def __call__(self, evaluation: Evaluation, predictions: Predictions, cache: LandmarkCache) -> Evaluation:
        """The evaluation with figures over slices, none where no confound is strong or no image has a label.

        Of several caches that are joined, each has its own confounds, with its name beside them.

        Args:
            evaluation: Of the predictions.
            predictions: On images of the cache.
            cache: Whose labelled images, of all splits, decide which confounds are the strongest.
        """
        if not evaluation.subsets:
            return evaluation
        rows = pd.Index(cache.frame(["id"])["id"]).get_indexer(pd.Index(predictions.ids))
        slices = []
        for member, places, inside in rows_by_cache(cache, rows):
            measured = self._of(member)
            ending = f" ({member.name})" if len(cache.members) > 1 else ""
            for confound in measured.report.strongest:
                for value in confound.counts:
                    chosen = np.zeros(len(rows), bool)
                    chosen[places] = measured.values[confound.feature][inside] == value
                    slices.append((confound.feature + ending, value, chosen))
        return evaluation.model_copy(
            update={"slices": slice_predictions(predictions, slices), "small_slices": small_slices(slices)}
        )

    def _of(self, cache: LandmarkCache) -> Measured:
        key = cache.fingerprint
        if key not in self._measured:
            self._measured[key] = measure_confounds(cache, self._progress)
        return self._measured[key]
