"""What shows between the lips of a synthetic face: the portrait's upper teeth in place, and a dark cavity.

A warp alone would stretch the teeth with the lips. Teeth belong to the skull: they keep their size and place,
the lips uncover them or close over them, and below them it is dark.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, gaussian_filter

from landmarkfer.data.synthetic.portrait import Placement, load_portrait
from landmarkfer.data.synthetic.warp import sample
from landmarkfer.face.landmarks import INNER_LIPS_RING

Floats = NDArray[np.float64]

_CAVITY = (62.0, 26.0, 26.0)
_GUMS = 0.15  # how far the upper teeth and gums go on above the portrait's lip, same unit
_LIT_FROM = 0.08  # opening, in distances between the eyes, from which on no light is lost
_DARKEST = 0.55
_FINE = 8  # the opening is drawn this many times finer, so that a slit thinner than a pixel shows


def opening_mask(contour: Floats, width: int, height: int) -> NDArray[np.float32]:
    """How much of each pixel lies within a closed contour `[P, 2]` (pixels): `[height, width]`, 0 to 1."""
    drawn = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(drawn).polygon([(float(x) * _FINE, float(y) * _FINE) for x, y in contour], fill=255)
    return np.asarray(drawn.reduce(_FINE), dtype=np.float32) / 255.0


@cache
def closed_lips(mirrored: bool) -> NDArray[np.uint8]:
    """The portrait with the colours of the lips drawn over its teeth, uint8 `[H, W, 3]`."""
    portrait = load_portrait(mirrored)
    height, width = portrait.image.shape[:2]
    mask = opening_mask(portrait.landmarks[list(INNER_LIPS_RING), :2], width, height)
    # Beyond the contour too, where the teeth shine through the blur of the photograph.
    hidden = gaussian_filter(mask, 0.8) > 0.15
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    filled = portrait.image[tuple(nearest)].astype(np.float32)
    soft = gaussian_filter(filled, (1.0, 1.0, 0.0))
    return np.where(hidden[..., None], soft, portrait.image).astype(np.uint8)


@cache
def _teeth(mirrored: bool) -> NDArray[np.uint8]:
    """The portrait's teeth, going on upward as gums would, before a dark mouth; uint8 `[H, W, 3]`."""
    portrait = load_portrait(mirrored)
    height, width = portrait.image.shape[:2]
    contour = portrait.landmarks[list(INNER_LIPS_RING), :2]
    opening = gaussian_filter(opening_mask(contour, width, height), 0.7)
    nearest = distance_transform_edt(opening < 0.9, return_distances=False, return_indices=True)
    colours = portrait.image[tuple(nearest)]
    raised = contour - (0.0, portrait.placement.unit * _GUMS)
    hull = np.concatenate([contour[: len(contour) // 2 + 1], raised[len(contour) // 2 :], raised[:1]])
    visible = gaussian_filter(opening_mask(hull, width, height), 0.7)[..., None]
    return (visible * colours + (1.0 - visible) * np.array(_CAVITY)).astype(np.uint8)


def paint_mouth(
    image: NDArray[np.float32], lips: Floats, placement: Placement, jaw_shift: Floats, mirrored: bool
) -> None:
    """Paint the inside of the mouth between the lips, in place.

    Args:
        image: `[S, S, 3]`, grey levels 0 to 255.
        lips: inner contour of the lips, `[20, 2]`, pixels.
        placement: of the face in the image.
        jaw_shift: `[2]`, from where the upper jaw is to where it is in the portrait, face coordinates.
        mirrored: whether the face is made from the mirrored portrait.
    """
    size = len(image)
    left, top = np.clip(np.floor(lips.min(axis=0)).astype(int) - 1, 0, size)
    right, bottom = np.clip(np.ceil(lips.max(axis=0)).astype(int) + 1, 0, size)
    if left >= right or top >= bottom:
        return
    mask = opening_mask(lips - (left, top), right - left, bottom - top)[..., None]
    columns, rows = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
    face = placement.to_face(np.stack([columns, rows], axis=-1))
    inside = sample(_teeth(mirrored), load_portrait(mirrored).placement.to_pixels(face + jaw_shift))
    # Little light falls through a narrow opening.
    opening = float(mask.sum(axis=0).max()) / placement.unit
    inside *= np.clip(opening / _LIT_FROM, _DARKEST, 1.0)
    image[top:bottom, left:right] += mask * (inside - image[top:bottom, left:right])
