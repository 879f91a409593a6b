"""What a model goes by over a data set: mean contributions to each class, and how faithful the maps are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import CacheError
from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import REGION, REGIONS
from landmarkfer.inference.explain.attribution import Method, point_contributions
from landmarkfer.inference.explain.edges import edge_contributions
from landmarkfer.inference.explain.explainer import Explainer, check_method
from landmarkfer.inference.explain.faithfulness import check_points
from landmarkfer.inference.frame import FaceArrays, cache_rows, frame_faces
from landmarkfer.progress import SILENT, Progress

_RESAMPLES = 2_000


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """Mean contributions over the correctly predicted faces of each class.

    Attributes:
        model: Name of the model.
        method: How points were attributed.
        classes: Those of which faces were predicted correctly.
        faces: How many, by class.
        points: float64 `[C, 478]`.
        areas: A row for each face: its class and the areas under its curves (`Check.areas`), and whether
            deletion and insertion beat random orders; empty where nothing was checked.
        edges: float64 `[C, edges]` of `graph`; None of a model without a graph.
        graph: The graph network's.
    """

    model: str
    method: Method
    classes: tuple[str, ...]
    faces: tuple[int, ...]
    points: NDArray[np.float64]
    areas: pd.DataFrame = field(default_factory=pd.DataFrame)
    edges: NDArray[np.float64] | None = None
    graph: FaceGraph | None = None

    @property
    def regions(self) -> pd.DataFrame:
        """The share of each facial region in the contributions, in size, by class; columns add up to 1."""
        sums = {
            name: np.bincount(REGION, np.abs(points), minlength=len(REGIONS))
            for name, points in zip(self.classes, self.points, strict=True)
        }
        shares = pd.DataFrame(sums, index=pd.Index(REGIONS, name="region"))
        return shares / shares.sum()

    @property
    def faithfulness(self) -> pd.DataFrame:
        """Mean area of each curve over the faces, and its 95 % bootstrap interval: `mean`, `low`, `high`."""
        names = ["deletion", "random_deletion", "insertion", "random_insertion"]
        rows = {name: _with_interval(self.areas[name].to_numpy()) for name in names if len(self.areas)}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])


def _with_interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean()), float(values.mean())
    rng = np.random.default_rng(0)
    found = bootstrap((values,), np.mean, n_resamples=_RESAMPLES, method="percentile", random_state=rng)
    low, high = found.confidence_interval
    return float(values.mean()), float(low), float(high)


def class_means(
    explainer: Explainer,
    cache: LandmarkCache,
    *,
    per_class: int = 50,
    method: Method = "integrated-gradients",
    check: bool = True,
    seed: int = 0,
    progress: Progress = SILENT,
) -> ClassMeans:
    """Mean contributions of points and edges over faces of a cache, class by class.

    Args:
        explainer: Of a model that reads landmarks.
        cache: With labels; its test images, or all where it has none.
        per_class: Correctly predicted faces of each class, at most; drawn at random.
        method: How points are attributed.
        check: Whether each map is checked by deletion and insertion.
        seed: Of the draw.
        progress: Counts the faces.

    Raises:
        CacheError: No image of the cache has a label that the model knows and a face that was found.
        SettingsError: There is no such method.
    """
    check_method(method)
    arrays, labels = _faces_by_class(explainer, cache, per_class, seed)
    predicted = explainer.network.outputs(arrays).predicted
    right = np.flatnonzero(predicted == labels)
    chosen = pd.Series(right).groupby(labels[right]).head(per_class).to_numpy()
    points: dict[int, list[Any]] = {}
    edges: dict[int, list[Any]] = {}
    areas = []
    classes = explainer.network.info.classes
    for done, row in enumerate(chosen):
        progress("explaining", done, len(chosen))
        label = int(labels[row])
        target = explainer.target(arrays.rows(np.array([row])), label)
        points.setdefault(label, []).append(point_contributions(target, method))
        found = edge_contributions(target)
        if found is not None:
            edges.setdefault(label, []).append(found)
        if check:
            checked = check_points(target, points[label][-1])
            deleted, inserted = checked.beats_chance
            areas.append({"class": classes[label], **checked.areas, "deleted": deleted, "inserted": inserted})
    progress("explaining", len(chosen), len(chosen))
    known = sorted(points)
    return ClassMeans(
        model=explainer.network.info.name,
        method=method,
        classes=tuple(classes[label] for label in known),
        faces=tuple(len(points[label]) for label in known),
        points=np.array([np.mean(points[label], axis=0) for label in known]).reshape(-1, len(REGION)),
        areas=pd.DataFrame(areas),
        edges=np.array([np.mean(edges[label], axis=0) for label in known]) if edges else None,
        graph=explainer.model.face_graph if edges else None,
    )


def _faces_by_class(
    explainer: Explainer, cache: LandmarkCache, per_class: int, seed: int
) -> tuple[FaceArrays, NDArray[np.int64]]:
    """Faces of a cache in random order, several times as many of a class as are wanted, and their labels."""
    info = explainer.network.info
    frame = cache.frame(["label", "split", "status"])
    usable = (frame["status"] == "ok") & frame["label"].isin(info.classes)
    tested = usable & (frame["split"] == "test")
    rows = np.flatnonzero(tested if tested.any() else usable)
    if not len(rows):
        raise CacheError(
            f"no image of {cache.path} has a face and one of the labels {', '.join(info.classes)}."
        )
    rows = np.random.default_rng(seed).permutation(rows)
    rows = pd.Series(rows).groupby(frame["label"].iloc[rows].to_numpy()).head(_tried(per_class)).to_numpy()
    arrays = frame_faces(cache_rows(cache, rows.tolist(), info.images is not None), info.images)
    labels = frame["label"].iloc[rows].map(info.classes.index).to_numpy(dtype=np.int64)
    return replace(arrays, crop=cache.manifest.settings.get("crop")), labels


def _tried(per_class: int) -> int:
    """Faces of a class that are predicted so that enough are correct even where a third of them are."""
    return 4 * per_class


def strongest_regions(means: ClassMeans, count: int) -> dict[str, Sequence[tuple[str, float]]]:
    """The regions of the largest share for each class, with the share."""
    shares = means.regions
    return {
        name: [(str(region), float(share)) for region, share in shares[name].nlargest(count).items()]
        for name in means.classes
    }
