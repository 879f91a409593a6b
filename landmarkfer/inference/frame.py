"""Bringing faces into a model's frame: from rows to the arrays that `data.preprocess` normalises.

A row is what is known of one image, from a cache or just made of a photo, so that a model sees the same of a
photo as of a cache that the photo was extracted to. NumPy alone: no torch is loaded.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.images import ImageInfo, to_square
from landmarkfer.data.row import Row
from landmarkfer.data.schema import HEAVY_COLUMNS, SCHEMA
from landmarkfer.errors import CacheError, SourceError
from landmarkfer.face.blendshapes import N_BLENDSHAPES
from landmarkfer.face.landmarks import N_LANDMARKS, N_MESH


@dataclass(frozen=True)
class FaceArrays:
    """What a model is given of N images.

    Attributes:
        landmarks: float32 `[N, 478, 3]`, fractions of the image; NaN where no face was found.
        sizes: float32 `[N, 2]`, width and height of the images in pixels; NaN where not known.
        image: uint8 `[N, C, S, S]`, zeros where an image cannot be read; None if the model looks at none.
        has_image: bool `[N]`, beside `image`.
        blendshapes: float32 `[N, 52]`, NaN where missing; None if faces were found and none has any.
        crop: Side in pixels of the aligned crops that the images are; None where they are whole images.
    """

    landmarks: NDArray[np.float32]
    sizes: NDArray[np.float32]
    image: NDArray[np.uint8] | None = None
    has_image: NDArray[np.bool_] | None = None
    blendshapes: NDArray[np.float32] | None = None
    crop: int | None = None

    def rows(self, index: NDArray[np.int64]) -> "FaceArrays":
        """The arrays of some of the faces."""
        fields = ("landmarks", "sizes", "image", "has_image", "blendshapes")
        known = {name: getattr(self, name) for name in fields}
        some: dict[str, Any] = {
            name: None if array is None else array[index] for name, array in known.items()
        }
        return replace(self, **some)


def cache_rows(cache: LandmarkCache, numbers: Sequence[int], with_image: bool) -> list[Row]:
    """Rows of a cache as they were when they were extracted, with their image if it is wanted."""
    names = [name for name in SCHEMA.names if name not in HEAVY_COLUMNS]
    table = cache.table([*names, "blendshapes"]).take(list(numbers)).to_pylist()
    images = cache.faces(numbers) if with_image else [None] * len(numbers)
    rows = []
    for known, points, image in zip(table, cache.landmarks(numbers), images, strict=True):
        shapes, box = known.pop("blendshapes"), known.pop("box")
        row = Row(**known, box=None if box is None else tuple(box), face=image)
        row.landmarks = points if np.isfinite(points).all() else None
        row.blendshapes = None if shapes is None else np.array(shapes, np.float32)
        rows.append(row)
    return rows


def frame_faces(rows: Sequence[Row], images: ImageInfo | None = None) -> FaceArrays:
    """Landmarks, sizes and pixels of rows, as a model takes them.

    Args:
        rows: N rows, with their `face` if the model looks at pixels.
        images: Size and channels of the model's images; None if it looks at none.

    Returns:
        The arrays, in the order of the rows.

    Raises:
        CacheError: A stored image cannot be decoded.
    """
    landmarks = np.full((len(rows), N_LANDMARKS, 3), np.nan, np.float32)
    sizes = np.full((len(rows), 2), np.nan, np.float32)
    blendshapes = np.full((len(rows), N_BLENDSHAPES), np.nan, np.float32)
    for number, row in enumerate(rows):
        if row.landmarks is not None:
            landmarks[number] = row.landmarks
        if row.width is not None and row.height is not None:
            sizes[number] = row.width, row.height
        if row.blendshapes is not None:
            blendshapes[number] = row.blendshapes
    without = np.isnan(blendshapes).all() and np.isfinite(landmarks).all(axis=(1, 2)).any()
    known = None if without else blendshapes
    if images is None:
        return FaceArrays(landmarks, sizes, blendshapes=known)
    readable = np.array([row.status != "unreadable" for row in rows], dtype=bool)
    return FaceArrays(landmarks, sizes, _pixels(rows, images), readable, known)


def _pixels(rows: Sequence[Row], images: ImageInfo) -> NDArray[np.uint8]:
    pixels = np.zeros((len(rows), images.channels, images.size, images.size), np.uint8)
    for number, row in enumerate(rows):
        if row.face is None:
            continue
        try:
            with Image.open(io.BytesIO(row.face)) as image:
                pixels[number] = to_square(image, images.size, images.channels)
        except (OSError, ValueError, SyntaxError) as error:
            raise CacheError(f"the stored image of {row.id} is damaged ({error}); extract again.") from error
    return pixels


def check_landmarks(shape: tuple[int, ...]) -> None:
    """Check that an array can be landmarks `[N, 478, 3]`.

    Raises:
        SourceError: It is of another shape; the message says what is missing, where that is known.
    """
    if len(shape) == 3 and shape[1:] == (N_LANDMARKS, 3):
        return
    advice = ""
    if shape == (N_LANDMARKS, 3):
        advice = "; give a single face as landmarks[None]"
    elif shape[-2:] == (N_MESH, 3):
        advice = (
            f"; the {N_LANDMARKS - N_MESH} points of the irises are missing, which MediaPipe's refined "
            "landmarks have (refine_landmarks=True)"
        )
    elif shape[-2:] == (N_LANDMARKS, 2):
        advice = "; z is missing"
    raise SourceError(f"landmarks must be [N, {N_LANDMARKS}, 3], not {list(shape)}{advice}.")


def joined(parts: Sequence[FaceArrays]) -> FaceArrays:
    """The arrays of all faces of several parts, at least one."""

    def whole(name: str) -> NDArray | None:
        fields = [getattr(part, name) for part in parts]
        return None if any(field is None for field in fields) else np.concatenate(fields)

    landmarks, sizes = whole("landmarks"), whole("sizes")
    assert landmarks is not None and sizes is not None
    return FaceArrays(landmarks, sizes, whole("image"), whole("has_image"), whole("blendshapes"))
