"""Rewrites the landmarks of the portrait that synthetic faces start from (`astronaut_landmarks.csv`).

Each point is the median over detections on the portrait cut out at several sizes, upscaled to several
resolutions, as it is and mirrored. Coordinates are pixels of `skimage.data.astronaut()`, the first pixel
covering 0 to 1; z is on the scale of x.

    python experiments/data/portrait_landmarks.py
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

import landmarkfer.data.synthetic
from landmarkfer.extraction import create_detector
from landmarkfer.face.landmarks import MIRROR

MIDDLE = (225.0, 125.0)  # of the face
HALF_SIDES = (80, 95, 110, 130, 150, 180)
RESOLUTIONS = (256, 384, 512, 768)
STORED = Path(landmarkfer.data.synthetic.__file__).parent / "astronaut_landmarks.csv"


def measure(detector_name: str | None = None) -> np.ndarray:
    """Landmarks `[478, 3]` in pixels of the portrait."""
    picture = Image.fromarray(astronaut())
    detector = create_detector(detector_name)
    found = []
    for half in HALF_SIDES:
        left, top = MIDDLE[0] - half, MIDDLE[1] - half
        for resolution in RESOLUTIONS:
            box = (left, top, left + 2 * half, top + 2 * half)
            cut = np.asarray(
                picture.transform(
                    (resolution, resolution), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
                )
            )
            for face in detector.detect(cut):
                found.append(face.landmarks * 2 * half + (left, top, 0.0))
            for face in detector.detect(np.ascontiguousarray(cut[:, ::-1])):
                points = face.landmarks[MIRROR] * (-1.0, 1.0, 1.0) + (1.0, 0.0, 0.0)
                found.append(points * 2 * half + (left, top, 0.0))
    return np.median(found, axis=0)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detector", help="facemesh or landmarker; facemesh where there is one")
    parser.add_argument("--out", type=Path, default=STORED)
    arguments = parser.parse_args()
    points = measure(arguments.detector)
    with arguments.out.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["index", "x", "y", "z"])
        table.writerows([index, *(f"{value:.3f}" for value in point)] for index, point in enumerate(points))


if __name__ == "__main__":
    main()
