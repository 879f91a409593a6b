"""Pairs of images that may be near-duplicates: those whose patches, reduced to a few numbers, point alike.

Patches are pooled, centred and projected on their principal components, whose scales are brought half way to
equal (whitening), so that what distinguishes images counts more than what they share. All cosines come out of
blocked matrix products: quadratic, yet fast for tens of thousands of images, in memory that grows with the
images alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.duplicates.patches import SIDE, Patches
from landmarkfer.progress import SILENT, Progress

COMPONENTS = 80
MOST_PARTNERS = 20
"""Candidates that an image has at most, in each orientation, among the images after it."""
_BORDER, _POOLED = 2, 2  # pixels that are left out on every side; side of what is averaged
_WHITENING = 0.25  # exponent of the variances; 0.5 would make them equal
_FEWEST = 500  # images of which components can be estimated; fewer are compared as they are
_BLOCK_VALUES = 2**25  # cosines computed at a time: 128 MiB of float32

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Descriptor:
    """Describes patches by vectors of length 1, whose products are cosines.

    Attributes:
        mean: `[M]`, what is subtracted from pooled patches.
        basis: `[M, D]`, what they are projected on; None where there are too few images to estimate it.
    """

    mean: Floats
    basis: Floats | None

    @classmethod
    def fit(cls, patches: Patches) -> "Descriptor":
        """Estimate the components of patches."""
        known = _pool(patches)[patches.valid]
        if len(known) < _FEWEST:
            return cls(np.zeros(known.shape[1], np.float32), None)
        mean = known.mean(axis=0)
        variance, components = np.linalg.eigh(np.cov((known - mean).T))
        variance, components = variance[-COMPONENTS:], components[:, -COMPONENTS:]
        return cls(mean, (components / np.maximum(variance, 1e-9) ** _WHITENING).astype(np.float32))

    def __call__(self, patches: Patches) -> Floats:
        """Vectors `[N, D]` of patches, 0 where they are not valid."""
        pooled = _pool(patches)
        if self.basis is not None:
            pooled = _unit((pooled - self.mean) @ self.basis)
        return pooled * patches.valid[:, None]


def candidate_pairs(
    first: Floats, second: Floats, least: float, progress: Progress = SILENT, *, done: int = 0, of: int = 0
) -> NDArray[np.int64]:
    """Pairs whose cosine is large, the smaller index first.

    Args:
        first: Vectors `[N, D]` of length 1.
        second: Those of the same images, in this or another orientation.
        least: Smallest cosine of a pair.
        progress: Reports the task `comparing images`.
        done: Images compared before, in other orientations.
        of: Those in all; `N` by default.

    Returns:
        `[P, 2]`, sorted; of each image at most the `MOST_PARTNERS` with the largest cosines among those after
        it.
    """
    count = len(first)
    block = max(1, _BLOCK_VALUES // max(count, 1))
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, count, block):
        # Only the upper triangle: the block's own columns and those to the right.
        cosines = first[start : start + block] @ second[start:].T
        left, right = np.divmod(np.flatnonzero(cosines >= least), cosines.shape[1])  # faster than in 2-D
        ordered = left < right
        left, right = left[ordered], right[ordered]
        order = np.lexsort((-cosines[left, right], left))
        left, right = left[order], right[order]
        rank = np.arange(len(left)) - np.searchsorted(left, left)
        kept = np.stack([left, right], axis=1)[rank < MOST_PARTNERS] + start
        pairs.append(kept[np.lexsort((kept[:, 1], kept[:, 0]))])
        progress("comparing images", done + min(start + block, count), of or count)
    return np.concatenate(pairs)


def _pool(patches: Patches) -> Floats:
    inner = slice(_BORDER, SIDE - _BORDER)
    values = (patches.values * patches.inside)[:, inner, inner].astype(np.float32)
    side = values.shape[1] // _POOLED
    pooled = values.reshape(len(values), side, _POOLED, side, _POOLED).mean(axis=(2, 4))
    return _unit(pooled.reshape(len(values), side * side))


def _unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return scaled.astype(np.float32)
