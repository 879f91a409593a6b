"""The 478 points of MediaPipe's face mesh: regions, sides, mirror partners and the canonical face.

Points 0 to 467 are the mesh, 468 to 472 the subject's right iris, 473 to 477 the left one. Left and right are
the subject's: on an image that is not mirrored, the right eye lies on the left of the picture.

Everything here is read from `graphs/landmarks.csv`, the one table of the points (`graphs/README.md` says how
each column was made). The topology is that of MediaPipe Face Mesh with refined landmarks (Kartynnik et al.,
"Real-time facial surface geometry from monocular video on mobile GPUs", 2019). Arrays are read-only.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np

from landmarkfer.errors import GraphError

N_LANDMARKS = 478
N_MESH = 468

# Eye corners, from left to right on an unmirrored image: (outer, inner) right, (inner, outer) left.
RIGHT_EYE_CORNERS = (33, 133)
LEFT_EYE_CORNERS = (362, 263)

# Each iris: its centre, then the points to the image right, on top, to the image left, and below.
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)

# Closed contours. The eyes run from the outer corner along the lower lid to the inner corner and back along
# the upper lid; the lips from the right corner along the lower lip and back along the upper lip; the oval
# from the top of the forehead down the subject's left side to the chin and back up the right side.
RIGHT_EYE_RING = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE_RING = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
OUTER_LIPS_RING = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS_RING = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
FACE_OVAL_RING = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)

# For pictures: one hue for a kind of region, darker on the subject's right, lighter on the left.
REGION_COLOURS = {
    "forehead": "#8c6d4f",
    "glabella": "#d6a15c",
    "right_brow": "#6b3d1e",
    "left_brow": "#a8683a",
    "right_temple": "#7f7f7f",
    "left_temple": "#b0b0b0",
    "right_upper_lid": "#5b3fa0",
    "left_upper_lid": "#9a83d4",
    "right_eye": "#10529c",
    "left_eye": "#4c93e0",
    "right_iris": "#007d8a",
    "left_iris": "#23bccb",
    "right_under_eye": "#7d2f9c",
    "left_under_eye": "#bd7ad6",
    "nose": "#1f7a3d",
    "right_nose_wing": "#5a9e1f",
    "left_nose_wing": "#98cf5b",
    "right_cheek": "#d9822b",
    "left_cheek": "#f5b26b",
    "philtrum": "#c9b01a",
    "right_nasolabial": "#a8456b",
    "left_nasolabial": "#dd86a7",
    "upper_lip": "#c3202f",
    "lower_lip": "#ee5a5a",
    "right_mouth_corner": "#7a0c1c",
    "left_mouth_corner": "#a8323f",
    "chin": "#487d84",
    "right_oval": "#26323f",
    "left_oval": "#5d6f82",
}

REGIONS: tuple[str, ...] = tuple(REGION_COLOURS)

_SIDES = {"left": 1, "middle": 0, "right": -1}


@cache
def graphs_dir() -> Path:
    """The folder `graphs/`: inside an installed package, beside the package in a checkout.

    Raises:
        GraphError: if the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "graphs", package.parent / "graphs"):
        if (folder / "landmarks.csv").is_file():
            return folder
    raise GraphError(
        f"graphs/landmarks.csv is neither in {package} nor beside it: the installation is incomplete;"
        " install landmarkfer again"
    )


def region_points(region: str) -> np.ndarray:
    """Indices (int64, ascending) of the points of one region.

    Raises:
        GraphError: if there is no such region.
    """
    if region not in REGIONS:
        raise GraphError(f"there is no facial region '{region}'; the regions are {', '.join(REGIONS)}")
    return np.flatnonzero(REGION == REGIONS.index(region))


def _read_table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """REGION, SIDE, MIRROR and CANONICAL from the table, whose rows are in the order of the points."""
    with (graphs_dir() / "landmarks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    region = np.array([REGIONS.index(row["region"]) for row in rows], dtype=np.int64)
    side = np.array([_SIDES[row["side"]] for row in rows], dtype=np.int8)
    mirror = np.array([int(row["mirror"]) for row in rows], dtype=np.int64)
    canonical = np.array([[float(row[axis]) for axis in "xyz"] for row in rows], dtype=np.float32)
    for array in (region, side, mirror, canonical):
        array.flags.writeable = False
    return region, side, mirror, canonical


# REGION int64 [478]: index into REGIONS.
# SIDE int8 [478]: +1 the subject's left, -1 the right, 0 the midline.
# MIRROR int64 [478]: the point that takes a point's place when the face is mirrored; its own inverse.
# CANONICAL float32 [478, 3]: the mean face, symmetric, centred, RMS radius 1; x to the image right, y down,
# z negative toward the camera.
REGION, SIDE, MIRROR, CANONICAL = _read_table()
