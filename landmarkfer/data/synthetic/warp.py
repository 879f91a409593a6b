"""Warp an image by moving some of its points: a thin-plate spline, fitted to the points, on a coarse grid.

Coordinates are pixels, x to the right and y down, the first pixel covering 0 to 1, and points `[K, 2]` are
(x, y), so that x divided by the width is the fraction MediaPipe gives. A warp is the backward map: for each
pixel of the new image, where in the old one its colour comes from. The spline is the surface of least bending
through the given displacements (Bookstein 1989, "Principal Warps"); being smooth, it is evaluated on a coarse
grid and interpolated between.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import map_coordinates

Array = NDArray[np.float64]


def _bending(points: NDArray[np.floating], centres: NDArray[np.floating]) -> NDArray[np.floating]:
    """The kernel r² log r², `[P, K]`."""
    squared = (
        np.square(points).sum(axis=1)[:, None] + np.square(centres).sum(axis=1) - 2.0 * points @ centres.T
    )
    np.maximum(squared, 1e-12, out=squared)
    return squared * np.log(squared)


class ThinPlate:
    """The smoothest function of the plane that takes given values at given points.

    Args:
        centres: `[K, 2]`, at least three of them, not all on one line.
        values: `[K, D]`, what the function is at the centres.
        smoothing: How much each centre may be missed, as a share of the spread of the centres; 0 passes
            through all of them. A little keeps centres that almost coincide from tearing at each other.
    """

    def __init__(self, centres: Array, values: Array, smoothing: float = 0.0) -> None:
        # In units of the spread of the centres the system is well scaled whatever the pixels are.
        self._origin = centres.mean(axis=0)
        self._unit = float(np.sqrt(np.square(centres - self._origin).sum(axis=1).mean()))
        self._centres = (centres - self._origin) / self._unit
        count = len(centres)
        affine = np.column_stack([np.ones(count), self._centres])
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _bending(self._centres, self._centres)
        system[:count, :count] += smoothing * np.eye(count)
        system[:count, count:] = affine
        system[count:, :count] = affine.T
        right_side = np.zeros((count + 3, values.shape[1]))
        right_side[:count] = values
        self._weights = np.linalg.solve(system, right_side)

    def __call__(self, points: Array) -> Array:
        """The function at `points`, `[P, 2] -> [P, D]`."""
        points = (points - self._origin) / self._unit
        count = len(self._centres)
        # Single precision takes a third of the time and is off by less than a tenth of a pixel.
        kernel = _bending(points.astype(np.float32), self._centres.astype(np.float32))
        bent = kernel @ self._weights[:count].astype(np.float32)
        return bent + self._weights[count] + points @ self._weights[count + 1 :]


def grid_interpolation(size: int, count: int) -> tuple[Array, Array]:
    """`count` positions along one axis, `[G]`, and the matrix `[size, G]` from values there to each pixel.

    The matrix is a natural cubic spline, so that the fine map has no creases along the coarse grid.
    """
    coarse = np.linspace(0.5, size - 0.5, count)
    spline = CubicSpline(coarse, np.eye(count), bc_type="natural")
    return coarse, spline(np.arange(size) + 0.5)


def sample(image: NDArray[np.uint8], source: Array) -> NDArray[np.float32]:
    """The colours of `image [H, W, C]` at `source [h, w, 2]`, mirrored beyond its borders; `[h, w, C]`."""
    # map_coordinates counts from the centre of the first pixel.
    rows, columns = source[..., 1] - 0.5, source[..., 0] - 0.5
    channels = [
        map_coordinates(image[..., channel], (rows, columns), np.float32, order=1, mode="mirror")
        for channel in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)
