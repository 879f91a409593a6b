"""`hsemotion-onnx` (https://github.com/HSE-asavchenko/hsemotion-onnx), on ONNX Runtime.

It loads its weights from the net at first use.
"""

import urllib.request  # the package uses it without importing it
from collections.abc import Iterable
from pathlib import Path

import cv2
from _worker import Classify, work
from hsemotion_onnx.facial_emotions import HSEmotionRecognizer

MODEL = "enet_b0_8_best_afew"
assert urllib.request


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    model = HSEmotionRecognizer(model_name=MODEL)

    def classify(path: str) -> str:
        return str(model.predict_emotions(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))[0])

    return classify, [Path.home() / ".hsemotion" / f"{MODEL}.onnx"]


if __name__ == "__main__":
    work(load)
