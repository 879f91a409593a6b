"""The frame of a cache's training images, which a run states so that photographs can be brought into it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.joined import rows_by_cache
from landmarkfer.face.frame import Frame

_ENOUGH = 5000
"""Faces that determine a frame; of more, evenly spaced ones are taken."""
_LOOKED_AT = 64
"""Images of a cache that tell whether all are grey."""


def training_frame(cache: LandmarkCache, rows: NDArray[np.int64]) -> Frame | None:
    """How faces lie in the training images of a cache.

    Args:
        cache: The cache.
        rows: Its training rows.

    Returns:
        The frame of the images as they were before any aligned crop was taken of them; None where they are
        not squares of one size, which says that they are no crops of faces, and where no face was found. Of
        several caches that are joined, the frame is that of those whose images are so, at the largest of
        their sizes, and says whether there are others.
    """
    rows = np.sort(np.asarray(rows))
    known = cache.frame(["width", "height", "status"])
    sides, framed = [], np.zeros(len(rows), dtype=bool)
    for _, places, _ in rows_by_cache(cache, rows):
        sizes = known.iloc[rows[places]][["width", "height"]].dropna().drop_duplicates().to_numpy()
        if len(sizes) == 1 and sizes[0, 0] == sizes[0, 1]:
            sides.append(int(sizes[0, 0]))
            framed[places] = True
    found = rows[framed & (known["status"].iloc[rows] == "ok").to_numpy()]
    if not len(found):
        return None
    found = found[:: max(1, len(found) // _ENOUGH)]
    points = cache.landmarks(found)[..., :2]
    looked_at = np.concatenate([found[places[:_LOOKED_AT]] for _, places, _ in rows_by_cache(cache, found)])
    images = [Image.open(io.BytesIO(data)) for data in cache.faces(looked_at) if data is not None]
    grey = all(image.mode in ("1", "L", "I;16") for image in images)
    return Frame.of(points, max(sides), grey, photographs=not framed.all())
