"""`emotiefflib` (https://github.com/sb-ai-lab/EmotiEffLib): its smallest EfficientNet on ONNX Runtime.

It loads its weights from the net at first use.
"""

from collections.abc import Iterable
from pathlib import Path

import cv2
from _worker import Classify, work
from emotiefflib.facial_analysis import EmotiEffLibRecognizer

MODEL = "enet_b0_8_best_vgaf"


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    model = EmotiEffLibRecognizer(engine="onnx", model_name=MODEL)

    def classify(path: str) -> str:
        return str(model.predict_emotions(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB))[0][0])

    return classify, [Path.home() / ".emotiefflib" / f"{MODEL}.onnx"]


if __name__ == "__main__":
    work(load)
