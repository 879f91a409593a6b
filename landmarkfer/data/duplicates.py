"""Images that are the same, by pixels or by eye: perceptual hashes, pairs of near ones, and their groups.

A perceptual hash is 64 bits of an image's low frequencies, so that a re-compressed, slightly shifted or
watermarked copy differs in few of them. Distances are Hamming distances.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.progress import SILENT, Progress

HASH_BITS = 64
NEAR_RADIUS = 4
"""Distance up to which images count as near-duplicates; beyond it, other faces in the same pose come in."""

_BLOCK_VALUES = 2**25  # distances computed at a time: 128 MiB of float32


def perceptual_hash(image: Image.Image) -> NDArray[np.bool_]:
    """DCT hash (`imagehash.phash`) of an image of any size: 64 bits."""
    import imagehash

    bits: NDArray[np.bool_] = imagehash.phash(image, hash_size=8).hash
    return bits.reshape(HASH_BITS)


def near_pairs(
    hashes: NDArray[np.bool_], radius: int = NEAR_RADIUS, progress: Progress = SILENT
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of hashes at most `radius` bits apart, found exactly.

    The Hamming distance of bits written as -1 and +1 is linear in their dot product, so blocks of all
    distances come out of matrix products: quadratic, yet seconds for tens of thousands of images.

    Args:
        hashes: `[K, 64]`.
        radius: Largest distance of a pair.
        progress: Reports the task `comparing images`.

    Returns:
        Pairs `[P, 2]`, the smaller index first, sorted, and their distances `[P]`.
    """
    signs = np.where(hashes, np.float32(1), np.float32(-1))
    count = len(signs)
    block = max(1, _BLOCK_VALUES // max(count, 1))
    pairs, distances = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    for start in range(0, count, block):
        # Only the upper triangle: the block's own columns and those to the right.
        products = signs[start : start + block] @ signs[start:].T
        first, second = np.nonzero(products >= HASH_BITS - 2 * radius)
        ordered = first < second
        first, second = first[ordered], second[ordered]
        pairs.append(np.stack([first, second], axis=1) + start)
        distances.append(((HASH_BITS - products[first, second]) / 2).astype(np.int64))
        progress("comparing images", min(start + block, count), count)
    return np.concatenate(pairs), np.concatenate(distances)


def count_groups(pairs: NDArray[np.int64]) -> int:
    """Number of groups that `pairs` `[P, 2]` link together, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    return int(connected_components(links, directed=False, return_labels=False)) if len(nodes) else 0
