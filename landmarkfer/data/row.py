"""One row of a landmark cache: everything that is stored of one source image.

Units: `landmarks [478, 3]` has x and y as fractions of the image's width and height and z on x's scale; `box`
is `(x0, y0, x1, y1)` in the same fractions, origin at the top left. Left and right are the subject's. This
module is apart from the storage so that the processes that make rows need not load it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Status = Literal["ok", "no_face", "unreadable"]
STATUSES: tuple[Status, ...] = ("ok", "no_face", "unreadable")


@dataclass(slots=True)
class Row:
    """Everything known about one source image; only `id` is always known.

    Attributes:
        id: Path relative to the source, with forward slashes.
        label: Class name, or None.
        split: `train`, `val`, `test` or None.
        subset: The data set's own name for the part it belongs to (FER2013: `train`, `public`, `private`).
        group: The person, the sequence or the video it is of, which no split parts; None where unknown.
        votes: How many annotators chose each class, in the order of the manifest's classes; None where the
            data set does not give them.
        status: `ok` (a face was found), `no_face` or `unreadable`.
        error: Why the image is unreadable.
        width: Width of the upright image in pixels.
        height: Height of the upright image in pixels.
        sha256: Hex digest of the shape and the decoded RGB pixels; equal pixels give equal digests.
        faces: Number of faces found before one was selected.
        box: Bounds of the selected face's landmarks, in fractions.
        confidence: The detector's score of the selected face, where it gives one.
        attempts: The detection passes that were run, each with the number of faces it found.
        detections: How many detections were averaged into `landmarks`.
        spread: RMS distance of those detections from their mean, in units of the face's RMS radius.
        landmarks: `[478, 3]` float32, or None.
        deviation: `[478, 3]` float16, how far the first of those detections lies from their mean, in the same
            fractions; None for one detection.
        blendshapes: `[52]` float32, or None.
        face: An encoded image file for the image branch: the aligned crop, or the image as it is.
    """

    id: str
    label: str | None = None
    split: str | None = None
    subset: str | None = None
    group: str | None = None
    votes: tuple[float, ...] | None = None
    status: Status = "ok"
    error: str | None = None
    width: int | None = None
    height: int | None = None
    sha256: str | None = None
    faces: int = 0
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    attempts: str | None = None
    detections: int = 0
    spread: float | None = None
    landmarks: np.ndarray | None = None
    deviation: np.ndarray | None = None
    blendshapes: np.ndarray | None = None
    face: bytes | None = None


def listing_hash(images: Iterable[Any]) -> str:
    """Hash what a source states of its images, in order: ids, labels, splits, subsets, groups and votes.

    Args:
        images: Rows, or anything else with these attributes.
    """
    digest = hashlib.sha256()
    for image in images:
        stated = [image.id, image.label, image.split, image.subset]
        # Added only where they are known: most sources state neither, and their hashes are as they were.
        if image.group is not None or image.votes is not None:
            stated += [image.group, image.votes]
        digest.update(json.dumps(stated).encode())
    return digest.hexdigest()
