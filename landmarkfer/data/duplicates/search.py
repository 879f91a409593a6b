"""Near-duplicates: images that show the same picture, mirrored, turned, rescaled, recompressed or cropped.

Candidates (`candidates`) are verified by registration (`registration`): the faces as they are and mirrored,
the whole images in their eight orientations, and with the middle of either, as a crop would show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.duplicates.candidates import Descriptor, candidate_pairs
from landmarkfer.data.duplicates.patches import Looked, Patches
from landmarkfer.data.duplicates.registration import similarities
from landmarkfer.progress import SILENT, Progress

VERSION = 1
"""Of the method; another version may find other pairs."""
THRESHOLD = 0.9
"""Least similarity of near-duplicates; see experiments/results/near-duplicates.md."""

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Change:
    """What is done to patches before they are compared: mirrored, then turned, then cut to the middle."""

    mirrored: bool = False
    turns: int = 0
    middle: bool = False

    def __call__(self, patches: Patches) -> Patches:
        """Change patches."""
        if self == Change():
            return patches
        changed = Patches(self._turn(patches.values), self._turn(patches.inside), patches.valid)
        return changed.middle() if self.middle else changed

    def _turn(self, values: NDArray[Value]) -> NDArray[Value]:
        flipped = values[:, :, ::-1] if self.mirrored else values
        return np.ascontiguousarray(np.rot90(flipped, self.turns, axes=(1, 2)))


_AS_IS, _MIRRORED, _MIDDLE = Change(), Change(mirrored=True), Change(middle=True)
_FACE = [(_AS_IS, _AS_IS), (_AS_IS, _MIRRORED)]
_WHOLE = [
    *((_AS_IS, Change(mirrored, turns)) for mirrored in (False, True) for turns in range(4)),
    *((_AS_IS, _MIDDLE), (_AS_IS, Change(mirrored=True, middle=True))),
    *((_MIDDLE, _AS_IS), (_MIDDLE, _MIRRORED)),
]
_FACE_COSINE, _WHOLE_COSINE = 0.5, 0.6  # least of a candidate


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Pairs of images.

    Attributes:
        pairs: Int `[P, 2]`, the smaller number first, sorted.
        similarity: `[P]`, in [-1, 1].
    """

    pairs: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def none(cls) -> "NearPairs":
        """No pair."""
        return cls(np.empty((0, 2), np.int64), np.empty(0, np.float32))


def find_near(looked: Looked, threshold: float = THRESHOLD, progress: Progress = SILENT) -> NearPairs:
    """Find the pairs of near-duplicates among images; blank ones have none.

    Args:
        looked: The patches of the images.
        threshold: Least similarity of a pair.
        progress: Reports the tasks `comparing images` and `verifying pairs`.
    """
    views = ((looked.face, _FACE, _FACE_COSINE), (looked.whole, _WHOLE, _WHOLE_COSINE))
    total, done = len(looked.face) * sum(len(changes) for _, changes, _ in views), 0
    candidates: list[tuple[Patches, Change, Change, NDArray[np.int64]]] = []
    for patches, changes, least in views:
        describe = Descriptor.fit(patches)
        for left, right in changes:
            vectors = describe(left(patches)), describe(right(patches))
            pairs = candidate_pairs(*vectors, least, progress, done=done, of=total)
            candidates.append((patches, left, right, pairs))
            done += len(patches)
    return _verified(candidates, threshold, progress)


def _verified(
    candidates: Sequence[tuple[Patches, Change, Change, NDArray[np.int64]]],
    threshold: float,
    progress: Progress,
) -> NearPairs:
    total, done = sum(len(pairs) for *_, pairs in candidates), 0
    found, values = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for patches, left, right, pairs in candidates:
        similarity = similarities(left(patches), right(patches), pairs, progress, done=done, of=total)
        done += len(pairs)
        found.append(pairs[similarity >= threshold])
        values.append(similarity[similarity >= threshold])
    return _best(np.concatenate(found), np.concatenate(values))


def _best(pairs: NDArray[np.int64], similarity: NDArray[np.float32]) -> NearPairs:
    """Each pair once, with its highest similarity."""
    order = np.lexsort((-similarity, pairs[:, 1], pairs[:, 0]))
    pairs, similarity = pairs[order], similarity[order]
    new = np.ones(len(pairs), bool)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return NearPairs(pairs[new], similarity[new])
