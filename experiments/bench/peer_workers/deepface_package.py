"""`deepface` (https://github.com/serengil/deepface): its emotion model with `detector_backend="skip"`.

It loads its weights from the net at first use.
"""

from collections.abc import Iterable
from pathlib import Path

import cv2
from _worker import Classify, work
from deepface import DeepFace
from deepface.commons.folder_utils import get_deepface_home


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""

    def classify(path: str) -> str:
        found = DeepFace.analyze(
            cv2.imread(path),
            actions=["emotion"],
            detector_backend="skip",
            enforce_detection=False,
            silent=True,
        )
        return str(found[0]["dominant_emotion"])

    # The pattern is listed after the first prediction, which loads the weights.
    return classify, Path(get_deepface_home()).rglob("facial_expression_model_weights.*")


if __name__ == "__main__":
    work(load)
