"""`facemood`: the image is the face.

It offers a loop over a camera alone, so its model file is used, with the preprocessing of that loop.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tensorflow as tf
from _worker import Classify, work
from PIL import Image

LABELS = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
SIDE = 170


def load() -> tuple[Classify, Iterable[Path]]:
    """Load the model."""
    found = find_spec("facemood")
    assert found is not None and found.origin is not None
    (file,) = Path(found.origin).parent.glob("*.h5")
    model = tf.keras.models.load_model(file, compile=False)

    def classify(path: str) -> str:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE)), np.float32) / 255
        return LABELS[int(np.argmax(model(pixels[None], training=False)))]

    return classify, [file]


if __name__ == "__main__":
    work(load)
