"""Covariates of each image that may make a face hard to recognise: pose, size, and the detector's doubts."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import CacheError
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.landmarks import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from landmarkfer.face.pose import head_angles
from landmarkfer.progress import counted

TURN, PITCH = "head turned, °", "head up, °"
EYES, SHARE = "outer eye corners apart, px", "outer eye corners apart, % of the width"
CONFIDENCE, DETECTIONS = "detector's confidence", "detections"
SPREAD = "spread of detections, % of the face"
FACE = "face"


def face_numbers(cache: LandmarkCache, ids: Sequence[str]) -> pd.DataFrame:
    """What a cache knows of some of its images beside label and expression.

    `TURN` is the size of the yaw, to either side; it and `PITCH` have the limits that `pose` states. The
    distance between the outer corners of the eyes is that in the image, so that it shrinks as the head turns.

    Args:
        cache: The cache.
        ids: Images of it.

    Returns:
        By `id`, in the order of `ids`: the columns named above, NaN without a face; `FACE` is `found` or
        `not found`.

    Raises:
        CacheError: The cache lacks some of the images.
    """
    frame = cache.frame(["id", "status", "width", "height", "confidence", "detections", "spread"])
    rows = pd.Index(frame["id"]).get_indexer(pd.Index(ids))
    if (rows < 0).any():
        lacking = [name for name, row in zip(ids, rows, strict=True) if row < 0]
        raise CacheError(
            f"{cache.path} lacks {len(lacking)} of {counted(len(ids), 'image')}, {lacking[0]} for one."
        )
    frame = frame.iloc[rows].set_index("id")
    found = frame["status"] == "ok"
    points = to_pixels(cache.landmarks(rows), frame["width"], frame["height"])
    outer = points[:, RIGHT_EYE_CORNERS[0], :2] - points[:, LEFT_EYE_CORNERS[1], :2]
    apart = np.linalg.norm(outer, axis=1)
    yaw, pitch, _ = head_angles(points).T
    return pd.DataFrame(
        {
            FACE: np.where(found, "found", "not found"),
            TURN: np.abs(yaw),
            PITCH: pitch,
            EYES: apart,
            SHARE: 100 * apart / frame["width"].to_numpy(float),
            CONFIDENCE: frame["confidence"].astype(float),
            DETECTIONS: frame["detections"].where(found),
            SPREAD: 100 * frame["spread"].astype(float),
        },
        index=frame.index,
    )
