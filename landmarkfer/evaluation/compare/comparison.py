"""Two systems compared: all figures of a report, and both predictions for each image."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.evaluation.compare.covariates import face_numbers
from landmarkfer.evaluation.compare.disagreements import disagreement_rows, image_disagreements
from landmarkfer.evaluation.compare.statistics import (
    Pair,
    confusion_differences,
    pair_systems,
    slice_differences,
)
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.progress import SILENT, Progress


@dataclass(frozen=True)
class Comparison:
    """Where two systems differ.

    Attributes:
        names: What the first and the second system are called.
        seeds: How many seeds each has.
        rows: Rows with `statistics.DIFFERENCE_COLUMNS`.
        disagreements: From `disagreements.image_disagreements`.
        cache: Name of the cache of the covariates; None if there are none.
        groups: How many groups of images are drawn and exchanged; None where images are.
    """

    names: tuple[str, str]
    seeds: tuple[int, int]
    rows: pd.DataFrame
    disagreements: pd.DataFrame
    cache: str | None
    groups: int | None = None


def compare_predictions(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    names: tuple[str, str],
    *,
    cache: LandmarkCache | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Compare two systems by class, confusion, slice and image.

    Args:
        first: Predictions of one system, for each of its seeds.
        second: Those of the other, on the same images.
        names: What the systems are called.
        cache: The cache of the images; without it, there are no slices by pose, size or detector.
        progress: Of the resamples of slices, and of those of classes and confusions.

    Raises:
        RunError: The predictions differ in images, labels or classes.
        CacheError: The cache lacks some of the images.
    """
    pair = pair_systems(first, second)
    disagreements = image_disagreements(pair)
    measures = _measures(pair, [*first, *second], cache)
    slices = slice_differences(pair, measures, task="resamples (slices)", progress=progress)
    parts = [confusion_differences(pair, task="resamples (classes, confusions)", progress=progress), slices]
    rows = pd.concat([*(one for one in parts if len(one)), disagreement_rows(disagreements)])
    return Comparison(
        names,
        (len(first), len(second)),
        rows.reset_index(drop=True),
        disagreements,
        None if cache is None else cache.path.name,
        None if pair.groups is None else int(pair.groups.max()) + 1,
    )


def _measures(pair: Pair, several: Sequence[Predictions], cache: LandmarkCache | None) -> pd.DataFrame:
    """What the images can be sliced by: what any of the predictions states, and what the cache does."""
    known: dict[str, pd.Series] = {}
    for name in ("status", "subset", "clean", "caches"):
        for one in several:
            if name not in known and getattr(one, name) is not None:
                known[name] = pd.Series(getattr(one, name), index=one.ids).reindex(pair.ids)
    if cache is None:
        measures = pd.DataFrame({"face": known["status"].map({"ok": "found"}).fillna("not found")})
    else:
        measures = face_numbers(cache, list(pair.ids))
    if "subset" in known:
        measures["part of the data set"] = known["subset"]
    if "caches" in known:
        measures["cache"] = known["caches"]
    if "clean" in known:
        duplicates = {True: "none", False: "there"}
        measures["pixel-identical training image"] = known["clean"].map(duplicates)
    return measures
