"""Rewrites the canonical face (columns x, y, z of `graphs/landmarks.csv`) from a landmark cache.

The canonical face is the generalised Procrustes mean of the detected faces: every face is centred, scaled to
an RMS radius of 1 and turned in three dimensions onto the mean, until the mean stands still; each face counts
once as it is and once mirrored, which makes the mean exactly symmetric. Only the training split is used, if
the cache has one. The other columns of the table stay as they are.

    python experiments/data/canonical_face.py cache/fer2013 --table graphs/landmarks.csv
"""

import argparse
import csv
import logging
from pathlib import Path

import numpy as np

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.landmarks import MIRROR, graphs_dir

log = logging.getLogger(__name__)
COORDINATES = ("x", "y", "z")


def load_faces(cache: LandmarkCache) -> np.ndarray:
    """Detected faces [M, 478, 3] in pixels; those of the training split where the cache has one."""
    frame = cache.frame(["status", "split", "width", "height"])
    wanted = frame["status"] == "ok"
    if (frame["split"] == "train").any():
        wanted &= frame["split"] == "train"
    rows = frame[wanted]
    return to_pixels(cache.landmarks()[wanted], rows["width"], rows["height"]).astype(np.float64)


def standardise(faces: np.ndarray) -> np.ndarray:
    """Faces [..., 478, 3], centred and scaled to an RMS radius of 1."""
    centred = faces - faces.mean(axis=-2, keepdims=True)
    return centred / np.sqrt((centred**2).sum(axis=-1).mean(axis=-1))[..., None, None]


def symmetrise(face: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mean of a face [478, 3] and of its mirror image (x negated, points renamed by `mirror`)."""
    return (face + face[mirror] * (-1.0, 1.0, 1.0)) / 2


def turn_onto(faces: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Each of the faces [M, 478, 3] under the rotation that brings it nearest to `target` [478, 3]."""
    u, _, vt = np.linalg.svd(np.einsum("mni,nj->mij", faces, target))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.einsum("mni,mij->mnj", faces, u @ vt)


def procrustes_mean(
    faces: np.ndarray, mirror: np.ndarray, *, tolerance: float = 1e-7, rounds: int = 50
) -> np.ndarray:
    """The symmetric generalised Procrustes mean [478, 3] of faces [M, 478, 3]; it keeps their mean pitch."""
    faces = standardise(faces)
    mean = standardise(symmetrise(faces.mean(axis=0), mirror))
    for _ in range(rounds):
        update = standardise(symmetrise(turn_onto(faces, mean).mean(axis=0), mirror))
        moved, mean = np.abs(update - mean).max(), update
        if moved < tolerance:
            break
    else:
        log.warning("the mean still moved by %.1e after %d rounds", moved, rounds)
    return mean


def write_coordinates(table: Path, face: np.ndarray) -> None:
    """Replaces the columns x, y, z of the table by a face [478, 3], rounded to five decimals."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, point in zip(rows, face, strict=True):
        # Adding 0.0 turns a rounded -0.0 into 0.0.
        row.update(
            {
                axis: f"{round(float(value), 5) + 0.0:.5f}"
                for axis, value in zip(COORDINATES, point, strict=True)
            }
        )
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Reads the cache, computes the mean face and rewrites the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cache", type=Path, help="folder of a landmark cache")
    parser.add_argument("--table", type=Path, default=graphs_dir() / "landmarks.csv", help="table to rewrite")
    settings = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    faces = load_faces(LandmarkCache.open(settings.cache))
    write_coordinates(settings.table, procrustes_mean(faces, MIRROR))
    log.info("wrote the mean of %d faces to %s", len(faces), settings.table)


if __name__ == "__main__":
    main()
