"""`facex`: its classifier on the image, without its detector."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import facex
from _worker import Classify, highest, work
from facex.core import EmotionClassifier


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    file = Path(facex.__file__).parent / "assets" / "model_optimized.tflite"
    model = EmotionClassifier(str(file))

    def classify(path: str) -> str:
        return highest(model.detect_emotion(cv2.imread(path, cv2.IMREAD_GRAYSCALE)))

    return classify, [file]


if __name__ == "__main__":
    work(load)
