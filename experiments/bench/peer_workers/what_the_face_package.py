"""`what-the-face-classification`, a package for Python.

The image is the face: its cascade is passed over.
"""

from collections.abc import Iterable
from pathlib import Path

import what_the_face_classification
from _worker import Classify, work
from PIL import Image
from what_the_face_classification.inference import Image_classifier


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    model = Image_classifier()
    model.face_crop = lambda image: (image, True)

    def classify(path: str) -> str:
        with Image.open(path) as image:
            return str(model.predict(image)[0])

    return classify, [Path(what_the_face_classification.__file__).parent / "active_model.pth"]


if __name__ == "__main__":
    work(load)
