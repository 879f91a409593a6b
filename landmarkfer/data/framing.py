"""The frame of a cache's training images, which a run states so that photographs can be brought into it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.face.frame import Frame

_ENOUGH = 5000
"""Faces that determine a frame; of more, evenly spaced ones are taken."""
_LOOKED_AT = 64
"""Images that tell whether all are grey."""


def training_frame(cache: LandmarkCache, rows: NDArray[np.int64]) -> Frame | None:
    """How faces lie in the training images of a cache.

    Args:
        cache: The cache.
        rows: Its training rows.

    Returns:
        The frame of the images as they were before any aligned crop was taken of them; None where they are
        not squares of one size, which says that they are no crops of faces, and where no face was found.
    """
    known = cache.frame(["width", "height", "status"]).iloc[rows]
    sizes = known[["width", "height"]].dropna().drop_duplicates().to_numpy()
    found = np.asarray(rows)[(known["status"] == "ok").to_numpy()]
    if len(sizes) != 1 or sizes[0, 0] != sizes[0, 1] or not len(found):
        return None
    found = np.sort(found)[:: max(1, len(found) // _ENOUGH)]
    points = cache.landmarks(found)[..., :2]
    images = [Image.open(io.BytesIO(data)) for data in cache.faces(found[:_LOOKED_AT]) if data is not None]
    return Frame.of(points, int(sizes[0, 0]), grey=all(image.mode in ("1", "L", "I;16") for image in images))
