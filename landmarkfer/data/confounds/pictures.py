"""Brightness, contrast, colour and format of the stored pictures of a cache, measured once and stored.

They are in `confounds.parquet` in the cache's folder, a row per image, and null where there is no picture.
The file states of which content it is, by which version of the method, and a checksum; one that is damaged,
or of another content or version, is made again.
"""

import hashlib
import io
import logging
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress

PICTURES_FILE = "confounds.parquet"
VERSION = 1
"""Of the method; another version may measure other values."""

COLUMNS = ("brightness", "contrast", "chroma", "format")

_SIDE = 32  # pixels a side of what is measured
_DECODED = (2 * _SIDE, 2 * _SIDE)

logger = logging.getLogger(__name__)


def measure_pictures(cache: LandmarkCache, progress: Progress = SILENT) -> pd.DataFrame:
    """What is measured of the stored pictures: what is stored, or measured and stored.

    Args:
        cache: The cache, complete or not.
        progress: Reports the task `measuring pictures`.

    Returns:
        A row per image: `brightness` and `contrast`, mean and SD of its grey values (0 to 255); `chroma`, how
        far apart red, green and blue are in the mean (0 to 255); `format`, of the stored file, such as
        `JPEG`. NaN and None where there is no picture, or one that cannot be decoded.

    Raises:
        CacheError: A part of the cache is damaged.
    """
    stored = stored_pictures(cache)
    if stored is not None:
        return stored
    found = _measure(cache, progress)
    try:
        _write(cache, found)
    except OSError as error:
        logger.warning("what was measured of the pictures is not stored: %s", error)
    return found


def stored_pictures(cache: LandmarkCache) -> pd.DataFrame | None:
    """What is stored; None if nothing is, or it is damaged or of other images."""
    try:
        table = pq.read_table(cache.path / PICTURES_FILE)
        found = table.select(COLUMNS).to_pandas()
        found["format"] = found["format"].astype(object).where(found["format"].notna(), None)
        found = found.astype(dict.fromkeys(COLUMNS[:3], np.float32))
    except (OSError, KeyError, ValueError, TypeError):  # Arrow's errors are among them
        return None
    stated = {key: value for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    return found if len(found) == len(cache) and stated == _metadata(cache, found) else None


def _write(cache: LandmarkCache, found: pd.DataFrame) -> None:
    columns = {name: pa.array(found[name].to_numpy(), pa.float32()) for name in COLUMNS[:3]}
    table = pa.table({**columns, "format": pa.array(found["format"], pa.string())})
    with replacing(cache.path / PICTURES_FILE) as partial:
        pq.write_table(table.replace_schema_metadata(_metadata(cache, found)), partial)


def _metadata(cache: LandmarkCache, found: pd.DataFrame) -> dict[bytes, bytes]:
    digest = hashlib.sha256(found[list(COLUMNS[:3])].to_numpy("<f4").tobytes())
    digest.update("\n".join(found["format"].fillna("")).encode())
    return {
        b"fingerprint": cache.fingerprint.encode(),
        b"method": str(VERSION).encode(),
        b"sha256": digest.hexdigest().encode(),
    }


def _measure(cache: LandmarkCache, progress: Progress) -> pd.DataFrame:
    count = len(cache)
    values = np.full((count, 3), np.nan, np.float32)
    formats = np.full(count, None, dtype=object)
    # Neighbouring rows lie in one part, so taking as many as a part holds reads each part about once.
    step = cache.manifest.part_rows
    for start in range(0, count, step):
        rows = range(start, min(start + step, count))
        small, there = [], []
        for row, data in zip(rows, cache.faces(rows), strict=True):
            picture = None if data is None else _small(data)
            if picture is not None:
                formats[row], pixels = picture
                small.append(pixels)
                there.append(row)
        if there:
            values[there] = _statistics(np.stack(small))
        progress("measuring pictures", rows.stop, count)
    found = pd.DataFrame(values, columns=list(COLUMNS[:3]))
    found["format"] = pd.Series(formats, dtype=object)
    return found


def _small(data: bytes) -> tuple[str | None, NDArray[np.uint8]] | None:
    """The format and the pixels `[_SIDE, _SIDE, 3]` of a picture; None if it cannot be decoded."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")  # of a palette's transparency, which plays no part
            format_ = image.format
            image.draft("RGB", _DECODED)
            picture = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):
        return None
    return format_, np.asarray(picture)


def _statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness, contrast and chroma `[N, 3]` of pictures `[N, S, S, 3]`."""
    flat = pixels.reshape(len(pixels), -1, 3).astype(np.float32)  # [N, S * S, 3]
    grey = flat.mean(axis=2)
    return np.stack([grey.mean(axis=1), grey.std(axis=1), np.ptp(flat, axis=2).mean(axis=1)], axis=1)
