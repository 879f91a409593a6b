"""Why a face was given its label: what each part of it contributes, and whether that is to be believed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmarkfer.face.graph import FaceGraph
from landmarkfer.face.landmarks import REGION, REGIONS
from landmarkfer.files import replacing
from landmarkfer.inference.explain.attribution import Method
from landmarkfer.inference.explain.faithfulness import Check
from landmarkfer.inference.face import Face

_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Explanation:
    """Contributions to the log-odds of a class, for one face.

    Attributes:
        face: What was predicted.
        model: Name of the model.
        label: The class that is explained: the predicted one, unless another was asked for.
        method: How points were attributed.
        log_odds: Of the class, uncalibrated, averaged over the face and its mirror image where the model is.
        points: float64 `[478]`, by landmark; None of a model of pixels alone.
        edges: float64, by edge of `graph`, both directions together; None of a model without a graph.
        graph: The graph network's.
        pixels: float64 `[h, w]`, at least 0, over `image`; None of a model of landmarks alone.
        image: uint8 `[h, w]` or `[h, w, 3]`, what the network on pixels sees of the face.
        photo: uint8 `[H, W, 3]`, the image that the face is of; None where it cannot be read again.
        branches: Of a fusion, Shapley values of `pixels` and `landmarks`, and the log-odds with `neither`.
        checks: Of `points` and `pixels`.
        stability: Rank correlation of `points` under the detector's own noise, see `faithfulness.stability`.
    """

    face: Face
    model: str
    label: str
    method: Method
    log_odds: float
    points: NDArray[np.float64] | None = None
    edges: NDArray[np.float64] | None = None
    graph: FaceGraph | None = None
    pixels: NDArray[np.float64] | None = None
    image: NDArray[np.uint8] | None = None
    photo: NDArray[np.uint8] | None = None
    branches: dict[str, float] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    stability: float | None = None

    @property
    def regions(self) -> dict[str, float]:
        """Contributions by facial region, the largest in size first; empty without `points`."""
        if self.points is None:
            return {}
        sums = np.bincount(REGION, self.points, minlength=len(REGIONS))
        return {REGIONS[number]: float(sums[number]) for number in np.argsort(-np.abs(sums))}

    @property
    def faithful(self) -> bool:
        """Whether every map beats random orders, in deletion and in insertion."""
        return all(all(check.beats_chance) for check in self.checks.values())

    @property
    def sentences(self) -> list[str]:
        """What the checks found, one sentence for each map, and how stable the points are."""
        found = [f"{name}: {check.sentence}" for name, check in self.checks.items()]
        if self.stability is not None:
            found.append(f"points: rank correlation {self.stability:.2f} under the detector's own noise")
        return found

    def to_dict(self) -> dict[str, Any]:
        """All of it but the pixels, as plain values for JSON."""
        strongest = None
        if self.edges is not None and self.graph is not None:
            order = np.argsort(-np.abs(self.edges))
            ends = self.graph.edges[order].tolist()
            strongest = [
                {"from": a, "to": b, "contribution": round(value, _DIGITS)}
                for (a, b), value in zip(ends, self.edges[order].tolist(), strict=True)
            ]
        return {
            "source": self.face.source,
            "face": self.face.number,
            "model": self.model,
            "predicted": self.face.label,
            "probabilities": self.face.probabilities,
            "explained": self.label,
            "method": self.method,
            "log_odds": round(self.log_odds, _DIGITS),
            "branches": {name: round(value, _DIGITS) for name, value in self.branches.items()},
            "regions": {name: round(value, _DIGITS) for name, value in self.regions.items()},
            "points": None if self.points is None else np.round(self.points, _DIGITS).tolist(),
            "graph": None if self.graph is None else self.graph.name,
            "edges": strongest,
            "faithfulness": {
                name: {
                    "verdict": check.sentence,
                    **{key: round(value, _DIGITS) for key, value in check.areas.items()},
                }
                for name, check in self.checks.items()
            },
            "stability": None if self.stability is None else round(self.stability, _DIGITS),
        }

    def write(self, path: Path) -> None:
        """Write `to_dict` as JSON."""
        with replacing(path) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", "utf-8")
