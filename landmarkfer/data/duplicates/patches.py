"""Small grey patches of images, by which near-duplicates are found: one of the face, one of the whole image.

The patch of the face is cut upright and at a fixed scale by the landmarks, so that copies that are turned,
rescaled or cropped have about the same one. That of the whole image is the image stretched to a square; it
serves images without a face. Both are normalised by their local mean and contrast, so that neither brightness
nor shading, nor what all faces share, counts.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.face.alignment import Square, aligned_square
from landmarkfer.progress import SILENT, Progress

SIDE = 32
"""Side of a patch in pixels."""
SCALE = 40.0
"""Stored value of a pixel that differs from the local mean by one local standard deviation."""
_FACE_SHARE = 0.8  # of the aligned crop's side: its margin lies outside of tightly cropped images
_SMOOTH, _LOCAL = 0.8, 4.0  # standard deviations in pixels: of the smoothing, and of what is local
_FLOOR = 4.0  # grey values: contrast below it is noise, and is not amplified
_LEAST_CONTRAST = 0.15  # mean normalised contrast below which a patch is blank
_MIDDLE_SHARE = 0.8  # of an image's side, which crops of 5 to 15 % on each side leave
_BLOCK = 4096  # patches worked on at a time
_LEAST_INSIDE = 0.5  # share of a face's patch that has to lie in the image


@dataclass(frozen=True, eq=False)
class Patches:
    """Normalised patches of `N` images.

    Attributes:
        values: Int8 `[N, SIDE, SIDE]`, in local standard deviations times `SCALE`; 0 where there is nothing.
        inside: Bool `[N, SIDE, SIDE]`, which pixels lie in the image.
        valid: Bool `[N]`, which images have a patch that shows anything.
    """

    values: NDArray[np.int8]
    inside: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def middle(self) -> "Patches":
        """The middle of each patch, `_MIDDLE_SHARE` of its side, enlarged to the size of a patch."""
        places = ((1 - _MIDDLE_SHARE) / 2 + _MIDDLE_SHARE * (np.arange(SIDE) + 0.5) / SIDE) * SIDE - 0.5
        low = places.astype(np.int64)
        weights = np.zeros((SIDE, SIDE), np.float32)  # of the pixels of a patch, by pixel of the result
        weights[np.arange(SIDE), low] = 1 - (places - low)
        weights[np.arange(SIDE), low + 1] = places - low
        values = np.empty_like(self.values)
        for start in range(0, len(values), _BLOCK):
            block = slice(start, start + _BLOCK)
            values[block] = np.round(weights @ self.values[block].astype(np.float32) @ weights.T)
        nearest = np.round(places).astype(np.int64)
        return Patches(values, self.inside[:, nearest[:, None], nearest], self.valid)

    @classmethod
    def of(cls, grey: NDArray[np.uint8], inside: NDArray[np.bool_]) -> "Patches":
        """Normalise grey patches `[N, SIDE, SIDE]`."""
        values = np.zeros(grey.shape, np.int8)
        valid = np.zeros(len(grey), bool)
        for start in range(0, len(grey), _BLOCK):
            block = slice(start, start + _BLOCK)
            normal = _normalise(grey[block], inside[block])
            values[block] = np.clip(np.round(SCALE * normal), -127, 127)
            enough = np.abs(normal).mean(axis=(1, 2)) >= _LEAST_CONTRAST
            valid[block] = enough & (inside[block].mean(axis=(1, 2)) >= _LEAST_INSIDE)
        return cls(values, inside, valid)


def _normalise(grey: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Difference to the local mean over the local standard deviation, of pixels inside alone."""
    from scipy.ndimage import gaussian_filter

    def blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        blurred: NDArray[np.float32] = gaussian_filter(values, (0, sigma, sigma))
        return blurred

    weight = inside.astype(np.float32)
    near = np.maximum(blur(weight, _LOCAL), 1e-3)
    smooth = blur(grey.astype(np.float32), _SMOOTH)
    centred = smooth - blur(smooth * weight, _LOCAL) / near
    spread = np.sqrt(blur(centred**2 * weight, _LOCAL) / near)
    return centred / (spread + _FLOOR) * weight


@dataclass(frozen=True, eq=False)
class Looked:
    """The patches of `N` images: of the face, and of the whole image."""

    face: Patches
    whole: Patches


def look(
    cache: LandmarkCache, rows: Sequence[int] | NDArray[np.int64], progress: Progress = SILENT
) -> Looked:
    """Read the stored images of some rows once.

    Args:
        cache: The cache.
        rows: Row numbers, ascending.
        progress: Reports the task `cutting faces`.
    """
    wanted = np.asarray(rows, np.int64)
    count = len(wanted)
    face, whole = (np.zeros((count, SIDE, SIDE), np.uint8) for _ in range(2))
    inside = np.zeros((count, SIDE, SIDE), bool)
    shown = np.zeros((count, 1, 1), bool)
    frame = cache.frame(["width", "height"])
    cropped = cache.manifest.settings.get("crop") is not None
    # Neighbouring rows lie in one part, so taking as many as a part holds reads each part about once.
    step = cache.manifest.part_rows
    for start in range(0, count, step):
        some = wanted[start : start + step]
        sizes = frame.iloc[some].to_numpy(float)
        found = zip(cache.faces(some), cache.landmarks(some), sizes, strict=True)
        for place, (data, points, size) in enumerate(found, start=start):
            if data is None:
                continue
            with Image.open(io.BytesIO(data)) as image:
                if np.isnan(size).any():
                    size = np.array(image.size)
                square = aligned_square(points, *size) if np.isfinite(points).all() else None
                share = 1.0 if square is None or cropped else min(1.0, square.side / max(size))
                image.draft(None, (round(2 * SIDE / max(share, 0.02)),) * 2)
                grey = image.convert("L")
            shown[place] = True
            whole[place] = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0))
            if square is not None:
                small = square._replace(side=_FACE_SHARE * square.side)
                inside[place] = _inside(small, *size)
                scale = np.array(grey.size) / size
                stored = (
                    Square(np.array(grey.size) / 2, np.array([1.0, 0.0]), _FACE_SHARE * grey.width)
                    if cropped
                    else small._replace(centre=small.centre * scale, side=small.side * float(scale.mean()))
                )
                face[place] = stored.cut(np.asarray(grey), SIDE)
        progress("cutting faces", min(start + step, count), count)
    everywhere = np.broadcast_to(shown, whole.shape)
    return Looked(Patches.of(face, inside), Patches.of(whole, everywhere))


def _inside(square: Square, width: float, height: float) -> NDArray[np.bool_]:
    """Which pixels of a square's cut lie in the image, `[SIDE, SIDE]`."""
    steps = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) * square.side
    along, across = square.along, np.array([-square.along[1], square.along[0]])
    points = square.centre + steps[None, :, None] * along + steps[:, None, None] * across  # [SIDE, SIDE, 2]
    return ((points >= 0) & (points <= [width, height])).all(axis=-1)
