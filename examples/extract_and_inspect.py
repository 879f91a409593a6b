"""Extract the landmarks of a folder of images, and look at what was found.

    python examples/extract_and_inspect.py [OUT]

The faces are synthetic: one portrait, warped into seven expressions.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import landmarkfer as lf
from landmarkfer.data.audit import audit
from landmarkfer.data.synthetic import write_dataset
from landmarkfer.reporting.contact_sheet import write_contact_sheet


def main(out: Path) -> None:
    """Write faces, extract them, print what is in the cache and draw a contact sheet."""
    write_dataset(out / "photos", per_class=4)
    cache = lf.extract(out / "photos", out / "cache", passes=2, workers=1)
    print(cache)

    frame = cache.frame()  # a row per image, whatever happened to it
    print(frame.groupby(["split", "status"]).size().to_string())
    landmarks = cache.landmarks()  # [N, 478, 3], fractions of the image; NaN where no face was found
    found = np.isfinite(landmarks).all(axis=(1, 2))
    print(f"tip of the nose, mean over {found.sum()} faces: {landmarks[found, 1, :2].mean(axis=0).round(2)}")
    print(f"two detections of a face differ by {frame['spread'].mean():.1%} of its radius")
    report = audit(cache)
    print(f"{len(report.identical)} groups of identical images, {len(report.leaks)} leaks between splits")

    write_contact_sheet(cache, out / "contact-sheet.png")
    print(f"pictures: {out / 'contact-sheet.png'}")


if __name__ == "__main__":  # extraction starts processes, which import this file again
    main(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="landmarkfer-")))
