"""Features that are written down instead of learned: HOG of pixels, and distances and angles of landmarks.

Landmarks are normalised (`geometry.normalise`): x to the image right, y down, z negative toward the camera,
no unit. Distances are in three dimensions and in that unit; angles are in radians. `normalise` removes place,
in-plane turn and size, so these features are free of them too, and what it leaves (the head's turn to the
side, its nod, a face's own proportions) is in them as well. Left and right are the subject's.

Every feature of one side has its counterpart on the other through `MIRROR`, in the same order, so that the
mirrored face has the same numbers with left and right exchanged.

HOG: Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor
from torch.nn import functional

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import MIRROR, N_LANDMARKS, RIGHT_EYE_CORNERS, SIDE
from landmarkfer.progress import SILENT, Progress

Floats = NDArray[np.float32]
LandmarkKind = Literal["landmarks", "geometry", "both"]

_CHUNK = 256

# Points by name, on the midline and on the subject's right; those on the left are their `MIRROR`.
MIDDLE = {
    "forehead": 10,
    "nose_root": 168,
    "nose_tip": 1,
    "nose_base": 2,
    "upper_lip": 0,
    "upper_lip_inside": 13,
    "lower_lip_inside": 14,
    "lower_lip": 17,
    "chin": 152,
}
RIGHT = {
    "eye_outer": RIGHT_EYE_CORNERS[0],
    "eye_inner": RIGHT_EYE_CORNERS[1],
    "upper_lid": 159,
    "lower_lid": 145,
    "upper_lid_outer": 160,
    "lower_lid_outer": 144,
    "upper_lid_inner": 158,
    "lower_lid_inner": 153,
    "iris": 468,
    "brow_inner": 107,
    "brow_middle": 105,
    "brow_outer": 70,
    "nose_wing": 129,
    "nostril": 98,
    "cheek": 50,
    "mouth_corner": 61,
    "mouth_corner_inside": 78,
    "upper_lip_side": 39,
    "lower_lip_side": 181,
    "jaw": 172,
}

# Pairs of points within one side, or of one side and the midline; each gives a right and a left distance.
SIDE_PAIRS = (
    ("upper_lid", "lower_lid"),
    ("upper_lid_outer", "lower_lid_outer"),
    ("upper_lid_inner", "lower_lid_inner"),
    ("eye_outer", "eye_inner"),
    ("iris", "upper_lid"),
    ("iris", "lower_lid"),
    ("iris", "eye_inner"),
    ("brow_inner", "eye_inner"),
    ("brow_inner", "upper_lid"),
    ("brow_middle", "upper_lid"),
    ("brow_outer", "eye_outer"),
    ("brow_inner", "nose_root"),
    ("brow_inner", "brow_outer"),
    ("cheek", "lower_lid"),
    ("cheek", "mouth_corner"),
    ("nose_wing", "eye_inner"),
    ("nose_wing", "mouth_corner"),
    ("nose_wing", "upper_lip"),
    ("nose_wing", "nose_tip"),
    ("mouth_corner", "eye_outer"),
    ("mouth_corner", "eye_inner"),
    ("mouth_corner", "nose_tip"),
    ("mouth_corner", "nose_base"),
    ("mouth_corner", "upper_lip"),
    ("mouth_corner", "lower_lip"),
    ("mouth_corner", "chin"),
    ("mouth_corner", "jaw"),
    ("upper_lip_side", "lower_lip_side"),
    ("upper_lip_side", "nostril"),
    ("lower_lip_side", "chin"),
)
# Points of the right side whose distance to their counterpart is a feature.
ACROSS = (
    "brow_inner",
    "brow_middle",
    "brow_outer",
    "eye_inner",
    "nose_wing",
    "nostril",
    "mouth_corner",
    "mouth_corner_inside",
    "upper_lip_side",
    "lower_lip_side",
    "cheek",
    "jaw",
)
MIDDLE_PAIRS = (
    ("upper_lip_inside", "lower_lip_inside"),
    ("upper_lip", "lower_lip"),
    ("upper_lip", "upper_lip_inside"),
    ("lower_lip", "lower_lip_inside"),
    ("nose_base", "upper_lip"),
    ("lower_lip", "chin"),
    ("nose_tip", "chin"),
    ("nose_root", "nose_tip"),
    ("forehead", "chin"),
)
# The angle at the second of three points, on each side.
CORNERS = (
    ("upper_lid", "eye_outer", "lower_lid"),
    ("upper_lid", "eye_inner", "lower_lid"),
    ("brow_outer", "brow_middle", "brow_inner"),
    ("brow_inner", "nose_root", "eye_inner"),
    ("eye_inner", "nose_wing", "mouth_corner"),
    ("upper_lip", "mouth_corner", "lower_lip"),
    ("upper_lip_inside", "mouth_corner_inside", "lower_lip_inside"),
    ("nose_wing", "mouth_corner", "chin"),
)
# How far a line climbs on its way outward, in the image plane, on each side.
SLOPES = (
    ("brow_inner", "brow_middle"),
    ("brow_middle", "brow_outer"),
    ("brow_inner", "brow_outer"),
    ("eye_inner", "eye_outer"),
    ("upper_lip", "mouth_corner"),
    ("lower_lip", "mouth_corner"),
    ("nose_base", "nose_wing"),
)


def _point(name: str, side: str) -> int:
    if name in MIDDLE:
        return MIDDLE[name]
    return RIGHT[name] if side == "right" else int(MIRROR[RIGHT[name]])


def _on_both_sides(lines: tuple[tuple[str, ...], ...]) -> tuple[NDArray[np.int64], list[str]]:
    """Point numbers `[2 * n, k]` of lines of k points, the right side's first, and their names."""
    named = [(side, line) for side in ("right", "left") for line in lines]
    points = np.array([[_point(name, side) for name in line] for side, line in named])
    return points, [f"{side} {' to '.join(line)}" for side, line in named]


_SIDE_PAIRS, _SIDE_NAMES = _on_both_sides(SIDE_PAIRS)
_ACROSS = np.array([[_point(name, "right"), _point(name, "left")] for name in ACROSS])
_MIDDLE_PAIRS = np.array([[MIDDLE[name] for name in pair] for pair in MIDDLE_PAIRS])
_DISTANCES = np.concatenate([_SIDE_PAIRS, _ACROSS, _MIDDLE_PAIRS])
_CORNERS, _CORNER_NAMES = _on_both_sides(CORNERS)
_SLOPES, _SLOPE_NAMES = _on_both_sides(SLOPES)

DISTANCE_NAMES: tuple[str, ...] = (
    *_SIDE_NAMES,
    *(f"{name} to {name}" for name in ACROSS),
    *(" to ".join(pair) for pair in MIDDLE_PAIRS),
)
ANGLE_NAMES: tuple[str, ...] = (
    *(f"angle at {name.split(' to ')[1]}: {name}" for name in _CORNER_NAMES),
    *(f"slope: {name}" for name in _SLOPE_NAMES),
)


def _partners() -> NDArray[np.int64]:
    names = DISTANCE_NAMES + ANGLE_NAMES
    swap = {"right ": "left ", "left ": "right "}
    mirrored = []
    for name in names:
        side = next((word for word in swap if word in name), None)
        mirrored.append(names.index(name.replace(side, swap[side], 1) if side else name))
    return np.array(mirrored)


# int64 [len(DISTANCE_NAMES) + len(ANGLE_NAMES)]: the feature that a feature becomes in the mirror.
FEATURE_MIRROR = _partners()


def distances(landmarks: Floats) -> Floats:
    """Distances between named points.

    Args:
        landmarks: `[B, 478, 3]`, normalised.

    Returns:
        `[B, len(DISTANCE_NAMES)]`, in the landmarks' unit.
    """
    return np.linalg.norm(landmarks[:, _DISTANCES[:, 0]] - landmarks[:, _DISTANCES[:, 1]], axis=-1)


def angles(landmarks: Floats) -> Floats:
    """Angles at named points, and slopes of named lines.

    An angle lies in 0 to pi and is measured in space. A slope is measured in the image plane, from the level
    line that leads away from the middle of the face: positive where the line climbs.

    Args:
        landmarks: `[B, 478, 3]`, normalised.

    Returns:
        `[B, len(ANGLE_NAMES)]`, radians; 0 where two points coincide.
    """
    first, corner, last = (landmarks[:, _CORNERS[:, k]] for k in range(3))
    one, other = first - corner, last - corner
    # The sine keeps its digits where the cosine of a flat or a closed angle has none left.
    sine = np.linalg.norm(np.cross(one, other), axis=-1)
    corners = np.arctan2(sine, (one * other).sum(axis=-1))
    line = landmarks[:, _SLOPES[:, 1]] - landmarks[:, _SLOPES[:, 0]]
    outward = SIDE[_SLOPES[:, 1]] * line[..., 0]  # the subject's left is the right of the image
    slopes = np.arctan2(-line[..., 1], outward)
    return np.concatenate([corners, slopes], axis=1, dtype=np.float32)


@dataclass(frozen=True)
class LandmarkFeatures:
    """What describes the landmarks of a face to a classical model.

    Attributes:
        kind: `landmarks`: all coordinates (1434 numbers), `geometry`: distances and angles, or `both`.
    """

    kind: LandmarkKind

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether a face was found."""
        return batch.has_face

    def __len__(self) -> int:
        """The number of features, F."""
        geometry = len(DISTANCE_NAMES) + len(ANGLE_NAMES)
        return {"landmarks": 3 * N_LANDMARKS, "geometry": geometry, "both": 3 * N_LANDMARKS + geometry}[
            self.kind
        ]

    def describe(
        self, batch: FaceBatch, progress: Progress = SILENT, task: str = "describing faces"
    ) -> Floats:
        """Features of each face, float32 `[B, F]`; `progress` is not called, since this takes no time."""
        points = batch.landmarks.detach().cpu().numpy().astype(np.float32, copy=False)
        parts = []
        if self.kind != "geometry":
            parts.append(points.reshape(-1, 3 * N_LANDMARKS))  # [B, 478, 3] -> [B, 1434]
        if self.kind != "landmarks":
            parts += [distances(points), angles(points)]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class HogFeatures:
    """Histograms of oriented gradients of the pixels.

    Attributes:
        size: Pixels a side that images are brought to.
        cell: Pixels a side of a cell, which has one histogram.
        orientations: Bins of a histogram, over 180 degrees.
        block: Cells a side of a block, over which histograms are normalised.

    Raises:
        ValueError: Not one block of cells fits into the image.
    """

    size: int
    cell: int
    orientations: int
    block: int

    def __post_init__(self) -> None:
        if self.size // self.cell < self.block:
            raise ValueError(
                f"a block of {self.block} cells of {self.cell} pixels does not fit into {self.size} pixels"
            )

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is an image."""
        if batch.image is None:
            return torch.zeros(len(batch), dtype=torch.bool)
        return torch.ones(len(batch), dtype=torch.bool) if batch.has_image is None else batch.has_image

    def __len__(self) -> int:
        """The number of features, F."""
        blocks = self.size // self.cell - self.block + 1
        return blocks**2 * self.block**2 * self.orientations

    def describe(
        self, batch: FaceBatch, progress: Progress = SILENT, task: str = "describing faces"
    ) -> Floats:
        """Features of each image, float32 `[B, F]`, with blocks normalised by their clipped L2 norm.

        scikit-image takes images one by one.

        Args:
            batch: Faces with images, see `grey_images`.
            progress: Counts the images.
            task: What the progress calls it.
        """
        found = np.zeros((len(batch), len(self)), np.float32)
        if batch.image is None:
            return found
        done = 0
        progress(task, done, len(batch))
        for chunk in batch.image.split(_CHUNK):
            for levels in grey_images(chunk, self.size):
                found[done] = hog(
                    levels,
                    orientations=self.orientations,
                    pixels_per_cell=(self.cell, self.cell),
                    cells_per_block=(self.block, self.block),
                    block_norm="L2-Hys",
                )
                done += 1
            progress(task, done, len(batch))
        return found


def grey_images(image: Tensor, size: int) -> Floats:
    """Images as grey levels in 0 to 1, `[B, size, size]`.

    Args:
        image: uint8, or float in 0 to 1, `[B, C, H, W]`; C is 1 (grey) or 3 (red, green, blue).
        size: Images of another size are resampled.
    """
    image = image.detach().cpu()
    levels = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    if levels.shape[1] == 3:
        # Luma of ITU-R BT.601, as Pillow's conversion to grey has it.
        levels = (levels * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    if levels.shape[-2:] != (size, size):
        levels = functional.interpolate(levels, (size, size), mode="bilinear", antialias=True)
    return levels[:, 0].numpy()
