"""Whether two patches show the same picture: one is moved onto the other, and their blocks are compared.

Landmarks that are detected anew in a copy lie a few pixels elsewhere, so patches are registered first: an
affine map is fitted by the inverse compositional algorithm of Baker and Matthews, "Lucas-Kanade 20 years on"
(IJCV 2004), on every second pixel and then on all. The similarity of two patches is the lowest but one of the
correlations of their `BLOCKS` x `BLOCKS` blocks: a copy agrees everywhere, whereas another picture of the
same person differs about the mouth or the eyes.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.duplicates.patches import SIDE, Patches
from landmarkfer.progress import SILENT, Progress

BLOCKS = 3
_BORDER = 4  # pixels of the first patch that are not compared, so that the other may lie beside it
_INNER = SIDE - 2 * _BORDER
_MIDDLE = np.float32((SIDE - 1) / 2)
_COARSE, _FINE = (2, 3), (1, 7)  # every how many pixels, and how many iterations
_HOPELESS = 0.85  # correlation after the coarse iterations below which a pair is left out
_CHUNK = 512  # pairs at a time, which fit the processor's cache
_THREADS = 2
_LEAST_PIXELS = 0.4  # share of a block that both images have to show
_DAMPING = 0.02  # of the least squares, as a share of their mean curvature
_LARGEST_STEP, _LARGEST_SHIFT, _LARGEST_STRETCH = 4.0, 10.0, 0.4  # pixels, pixels, share

Floats = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)


def similarities(
    first: Patches,
    second: Patches,
    pairs: NDArray[np.int64],
    progress: Progress = SILENT,
    *,
    done: int = 0,
    of: int = 0,
) -> Floats:
    """How similar the patches of pairs are.

    Args:
        first: Patches `[N]`.
        second: Patches `[M]`, which are moved onto them.
        pairs: `[P, 2]`, numbers into both.
        progress: Reports the task `verifying pairs`.
        done: Pairs verified before, in other orientations.
        of: Those in all; `P` by default.

    Returns:
        `[P]`, in [-1, 1]; -1 for pairs that do not come together.
    """
    found = np.full(len(pairs), -1, np.float32)
    starts = range(0, len(pairs), _CHUNK)

    def verify(start: int) -> Floats:
        return _verify(first, second, pairs[start : start + _CHUNK])

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:  # NumPy lets others work meanwhile
        for start, values in zip(starts, pool.map(verify, starts), strict=True):
            found[start : start + len(values)] = values
            progress("verifying pairs", done + start + len(values), of or len(pairs))
    return found


def _verify(first: Patches, second: Patches, rows: NDArray[np.int64]) -> Floats:
    found = np.full(len(rows), -1, np.float32)
    moved = np.tile(np.eye(2, 3, dtype=np.float32), (len(rows), 1, 1))
    moved, overall, _ = _register(first, second, rows, moved, *_COARSE)
    good = np.flatnonzero(overall >= _HOPELESS)
    if len(good):
        _, _, blocks = _register(first, second, rows[good], moved[good], *_FINE)
        found[good] = np.sort(blocks, axis=1)[:, 1]
    return found


def _register(
    first: Patches, second: Patches, rows: NDArray[np.int64], moved: Floats, stride: int, iterations: int
) -> tuple[Floats, Floats, Floats]:
    """Improve the maps `moved` `[P, 2, 3]` of points about the middle of `first` into `second`.

    Returns:
        The maps; the correlation of the patches `[P]`, -1 where too few blocks can be compared; that of each
        block `[P, BLOCKS**2]`, 1 where it cannot.
    """
    inner = slice(_BORDER + (stride - 1) // 2, SIDE - _BORDER, stride)
    axis = np.arange(SIDE, dtype=np.float32)[inner] - _MIDDLE
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)  # [n, (x, y)]
    values = first.values[rows[:, 0]].astype(np.float32)
    inside = first.inside[rows[:, 0]][:, inner, inner].reshape(len(rows), -1)
    down, right = (
        d[:, inner, inner].reshape(len(rows), -1) * inside for d in np.gradient(values, axis=(1, 2))
    )
    wanted = values[:, inner, inner].reshape(len(rows), -1)
    x, y = (
        grid[:, 0] / _MIDDLE,
        grid[:, 1] / _MIDDLE,
    )  # of order one, so that the squares are well conditioned
    slopes = np.stack([right * x, right * y, right, down * x, down * y, down], axis=1)  # [P, 6, n]
    curvature = slopes @ slopes.transpose(0, 2, 1)
    mean = np.trace(curvature, axis1=1, axis2=2)[:, None, None] / 6 + 1
    solver = np.linalg.inv(curvature + _DAMPING * mean * np.eye(6, dtype=np.float32))
    for _ in range(iterations):
        error = _sample(second.values, rows[:, 1], _points(grid, moved)) - wanted
        change = (solver @ (slopes @ error[..., None]))[..., 0].reshape(-1, 2, 3)  # [P, 6] -> [P, 2, 3]
        moved = _compose(moved, change.clip(-_LARGEST_STEP, _LARGEST_STEP))
    points = _points(grid, moved)
    other = _sample(second.values, rows[:, 1], points)
    both = inside & (_sample(second.inside, rows[:, 1], points) > 0.5)
    both &= ((points >= -0.5) & (points <= SIDE - 0.5)).all(axis=-1)
    shown = _blocks(both)
    enough = shown.mean(axis=2) >= _LEAST_PIXELS
    overall = _correlation(wanted, other, both)
    overall[enough.sum(axis=1) < BLOCKS**2 / 2] = -1
    blocks = _correlation(_blocks(wanted), _blocks(other), shown)
    return moved, overall, np.where(enough, blocks, np.float32(1))


def _compose(moved: Floats, change: Floats) -> Floats:
    """The maps after the inverse of a small change, within bounds."""
    linear = change[..., :2] / _MIDDLE + np.eye(2, dtype=np.float32)
    (a, b), (c, d) = linear[:, 0].T, linear[:, 1].T
    inverse = np.stack([d, -b, -c, a], axis=1).reshape(-1, 2, 2)
    inverse /= np.maximum(a * d - b * c, 0.1)[:, None, None]
    turned = moved[..., :2] @ inverse
    shift = moved[..., 2:] - turned @ change[..., 2:]
    new = np.concatenate([turned, shift], axis=2)
    unit = np.eye(2, dtype=np.float32)
    new[..., :2] = (new[..., :2] - unit).clip(-_LARGEST_STRETCH, _LARGEST_STRETCH) + unit
    new[..., 2] = new[..., 2].clip(-_LARGEST_SHIFT, _LARGEST_SHIFT)
    return new


def _points(grid: Floats, moved: Floats) -> Floats:
    """Where the grid `[n, 2]` comes to lie in the other patch, `[P, n, (x, y)]`."""
    return (grid @ moved[..., :2].transpose(0, 2, 1) + moved[:, None, :, 2] + _MIDDLE).astype(np.float32)


def _sample(images: NDArray[np.generic], rows: NDArray[np.int64], points: Floats) -> Floats:
    """Values of images at points `[P, n, (x, y)]`, linearly between pixels; the edge is repeated."""
    x, y = (points[..., axis].clip(0, SIDE - 1.001) for axis in (0, 1))
    left, top = x.astype(np.int32), y.astype(np.int32)
    x -= left
    y -= top
    place = rows[:, None] * (SIDE * SIDE) + (top * SIDE + left)
    flat = images.reshape(-1)
    a, b, c, d = (flat.take(place + step).astype(np.float32) for step in (0, 1, SIDE, SIDE + 1))
    upper, lower = a + (b - a) * x, c + (d - c) * x
    between: Floats = upper + (lower - upper) * y
    return between


def _blocks(values: NDArray[Value]) -> NDArray[Value]:
    """`[P, n] -> [P, BLOCKS**2, n / BLOCKS**2]`."""
    side = round(values.shape[1] ** 0.5) // BLOCKS
    split = values.reshape(-1, BLOCKS, side, BLOCKS, side).transpose(0, 1, 3, 2, 4)
    return split.reshape(len(values), BLOCKS**2, side * side)


def _correlation(first: Floats, second: Floats, both: NDArray[np.generic]) -> Floats:
    """Over the last axis, of the pixels that both images show."""
    weight = both.astype(np.float32)
    count = np.maximum(weight.sum(axis=-1, keepdims=True), 1)
    a = (first - (first * weight).sum(axis=-1, keepdims=True) / count) * weight
    b = (second - (second * weight).sum(axis=-1, keepdims=True) / count) * weight
    scale = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    found: Floats = ((a * b).sum(axis=-1) / np.maximum(scale, 1e-6)).astype(np.float32)
    return found
