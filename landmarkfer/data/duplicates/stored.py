"""The near-duplicates of a cache, searched once and stored in its folder: `near-duplicates.parquet`.

Columns `first` and `second`, row numbers of the cache, of which each stands for all images that are identical
to it, and `similarity`. The file states of which content it is, by which version of the method, and a
checksum; one that is damaged, or of another content or version, is made again.
"""

import hashlib
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.duplicates.groups import pixel_groups
from landmarkfer.data.duplicates.patches import look
from landmarkfer.data.duplicates.search import THRESHOLD, VERSION, NearPairs, find_near
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress

NEAR_FILE = "near-duplicates.parquet"

logger = logging.getLogger(__name__)


def near_duplicates(cache: LandmarkCache, progress: Progress = SILENT) -> NearPairs:
    """The near-duplicates of a cache: those stored, or searched and stored.

    Args:
        cache: The cache, complete or not.
        progress: Reports the tasks `cutting faces`, `comparing images` and `verifying pairs`.

    Returns:
        Pairs of row numbers, each the first of all images that are identical to it.

    Raises:
        CacheError: A part of the cache is damaged.
    """
    stored = stored_near_duplicates(cache)
    if stored is not None:
        return stored
    _, first = pixel_groups(cache.frame(["sha256"])["sha256"])
    found = find_near(look(cache, first, progress), progress=progress)
    rows = NearPairs(first[found.pairs], found.similarity)
    try:
        _write(cache, rows)
    except OSError as error:
        logger.warning("the near-duplicates are not stored: %s", error)
    return rows


def stored_near_duplicates(cache: LandmarkCache) -> NearPairs | None:
    """Those that are stored; None if there are none, or they are damaged or of other images."""
    try:
        table = pq.read_table(cache.store / NEAR_FILE)
        first, second = (table.column(name).to_numpy().astype(np.int64) for name in ("first", "second"))
        near = NearPairs(np.stack([first, second], axis=1), table.column("similarity").to_numpy())
    except (OSError, KeyError, ValueError):  # Arrow's errors are among them
        return None
    stated = {key: value for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    return near if stated == _metadata(cache, near) else None


def _write(cache: LandmarkCache, near: NearPairs) -> None:
    first, second = near.pairs.T
    table = pa.table({"first": first, "second": second, "similarity": near.similarity.astype(np.float32)})
    with replacing(cache.store / NEAR_FILE) as partial:
        pq.write_table(table.replace_schema_metadata(_metadata(cache, near)), partial)


def _metadata(cache: LandmarkCache, near: NearPairs) -> dict[bytes, bytes]:
    content = near.pairs.astype("<i8").tobytes() + near.similarity.astype("<f4").tobytes()
    return {
        b"fingerprint": cache.fingerprint.encode(),
        b"method": f"{VERSION}, {THRESHOLD:g}".encode(),
        b"sha256": hashlib.sha256(content).hexdigest().encode(),
    }
