"""The stored faces of a cache as one array of pixels, decoded once.

Images are `uint8 [N, C, S, S]`, rows in the cache's order, zeros where an image could not be read. The array
is stored beside the cache's shards under a name of size, channels and content, and is mapped into memory
where it is large.
"""

import io
import logging
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import CacheError
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress

logger = logging.getLogger(__name__)

MAPPED_BYTES = 2**30
"""An array of more bytes is mapped from the disk instead of being read into memory."""

_MODES = {1: "L", 3: "RGB"}
_LARGEST_NATIVE = 128
_CHUNK = 512

Pixels = NDArray[np.uint8]


class ImageInfo(BaseModel):
    """The images that a model is trained on.

    Attributes:
        size: Side in pixels.
        channels: 1 for grey, 3 for RGB.
        keypoints: Whether the model asks where the landmarks lie in them.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)
    size: int
    channels: int
    # Runs of version 0.1 say `points`.
    keypoints: bool = Field(False, validation_alias=AliasChoices("keypoints", "points"))


def natural_size(cache: LandmarkCache) -> int:
    """The side at which a cache's faces are best stored, in pixels.

    That of the aligned crops, if there are; else that of the images if all are squares of one size; else 128.
    Of several caches that are joined it is the largest, so that no image loses anything.

    Raises:
        CacheError: One of several caches holds aligned crops, and another one whole images.
    """
    if len(cache.members) > 1:
        aligned = [bool(one.manifest.settings.get("crop")) for one in cache.members]
        if len(set(aligned)) > 1:
            crops, whole = (cache.members[aligned.index(wanted)] for wanted in (True, False))
            raise CacheError(
                f"{crops.path} holds aligned crops of faces and {whole.path} whole images, and a model that "
                f"reads images needs them alike; extract {whole.name} with --crop "
                f"{crops.manifest.settings['crop']}, or {crops.name} without."
            )
        return max(natural_size(one) for one in cache.members)
    crop = cache.manifest.settings.get("crop")
    if crop:
        return int(crop)
    sizes = cache.frame(["width", "height"]).dropna().drop_duplicates()
    if len(sizes) == 1:
        width, height = (int(side) for side in sizes.iloc[0])
        if width == height <= _LARGEST_NATIVE:
            return width
    return _LARGEST_NATIVE


def load_images(
    cache: LandmarkCache,
    size: int,
    channels: int,
    progress: Progress = SILENT,
) -> Pixels:
    """All faces of a cache, decoded; from the stored array if there is one.

    Args:
        cache: A complete cache.
        size: S, the side of the images in pixels.
        channels: C: 1 for grey, 3 for RGB.
        progress: Reports the task `decoding images`.

    Returns:
        `uint8 [N, C, S, S]`; may be mapped from the disk, copy on write.

    Raises:
        CacheError: A stored image cannot be decoded.
    """
    path = cache.store / "images" / f"{size}x{channels}-{cache.fingerprint[:16]}.npy"
    if path.exists():
        return _read(path, cache, size, channels)
    try:
        return _decode_to(path, cache, size, channels, progress)
    except OSError as error:
        logger.warning("%s cannot be written (%s); the images are decoded again next time", path, error)
    images = np.empty(_shape(cache, size, channels), np.uint8)
    _fill(images, cache, progress)
    return images


def cropped_side(side: int, crop: float) -> int:
    """How many pixels of an image's side a model sees that looks at the share `crop` of it."""
    return max(1, round(side * crop))


def to_square(image: Image.Image, size: int, channels: int) -> Pixels:
    """One picture as `uint8 [C, S, S]`: its longer side fills the square, and the rest is black."""
    picture = image.convert(_MODES[channels])
    longer = max(picture.size)
    width, height = (max(1, round(side * size / longer)) for side in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.zeros((size, size, channels), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    pixels[top : top + height, left : left + width] = np.asarray(picture).reshape(height, width, channels)
    return np.moveaxis(pixels, -1, 0)


def _shape(cache: LandmarkCache, size: int, channels: int) -> tuple[int, int, int, int]:
    return len(cache), channels, size, size


def _decode_to(
    path: Path,
    cache: LandmarkCache,
    size: int,
    channels: int,
    progress: Progress,
) -> Pixels:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Trainings in parallel want the same array at the same time: one decodes, the others wait for it.
    with FileLock(cache.store / ".images.lock"):
        if not path.exists():
            _decode_alone(path, cache, size, channels, progress)
    return _read(path, cache, size, channels)


def _decode_alone(path: Path, cache: LandmarkCache, size: int, channels: int, progress: Progress) -> None:
    with replacing(path) as temporary:
        out = np.lib.format.open_memmap(temporary, "w+", np.uint8, _shape(cache, size, channels))
        _fill(out, cache, progress)
        out.flush()
    for old in path.parent.glob(f"{size}x{channels}-*.npy"):
        if old != path:
            old.unlink()


def _fill(out: Pixels, cache: LandmarkCache, progress: Progress) -> None:
    ids = cache.frame(["id"])["id"]
    progress("decoding images", 0, len(out))
    for start in range(0, len(out), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(out)))
        for row, data in zip(rows, cache.faces(rows), strict=True):
            if data is None:
                out[row] = 0
                continue
            try:
                with Image.open(io.BytesIO(data)) as image:
                    out[row] = to_square(image, out.shape[-1], out.shape[1])
            except (OSError, ValueError, SyntaxError) as error:
                raise CacheError(
                    f"the stored image of {ids[row]} in {cache.path} is damaged ({error}); extract it anew."
                ) from error
        progress("decoding images", rows.stop, len(out))


def _read(path: Path, cache: LandmarkCache, size: int, channels: int) -> Pixels:
    large = path.stat().st_size > MAPPED_BYTES
    try:
        images = np.load(path, mmap_mode="c" if large else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CacheError(f"{path} is damaged ({error}); delete it, and it is made anew.") from error
    if images.shape != _shape(cache, size, channels) or images.dtype != np.uint8:
        raise CacheError(f"{path} does not fit its cache; delete it, and it is made anew.")
    return images
