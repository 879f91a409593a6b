import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.row import Row

CLASSES = ("angry", "happy", "sad")


def picture(seed, brightness=120, spread=30, colour=False, format_="PNG"):
    """A file of a small noisy picture, grey or in colour."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(brightness, spread, (16, 16, 3 if colour else 1)), 0, 255).astype(np.uint8)
    if colour:
        pixels[..., 2] //= 3
    file = io.BytesIO()
    Image.fromarray(pixels if colour else pixels[..., 0]).save(file, format_)
    return file.getvalue()


def plain_row(number, label, rng):
    """A row of which nothing states its label: all features vary at random."""
    found = bool(rng.random() < 0.8)
    face = picture(number, rng.uniform(60, 200), rng.uniform(10, 40), bool(rng.random() < 0.5))
    side = int(rng.choice([48, 64]))
    folder, word, suffix = (rng.choice(some) for some in (["web", "film"], ["img", "still"], ["png", "jpg"]))
    return Row(
        id=f"{folder}/{word}_{number:05}.{suffix}",
        label=label,
        split="test" if number % 4 == 0 else "train",
        status="ok" if found else "no_face",
        landmarks=np.zeros((478, 3), np.float32) if found else None,
        attempts=f"frame+25%@0.5={int(rng.random() < 0.5)} frame+10%@0.3=1" if found else "frame+25%@0.5=0",
        detections=int(rng.integers(1, 4)) if found else 0,
        width=side,
        height=int(side * rng.choice([1, 1.25])),
        sha256=hashlib.sha256(face).hexdigest(),
        face=face,
    )


def random_rows(count=300, seed=0):
    rng = np.random.default_rng(seed)
    return [plain_row(number, str(rng.choice(CLASSES)), rng) for number in range(count)]


@pytest.fixture(scope="session")
def make_plain_rows():
    """The function `random_rows`: rows of three classes whose features are independent of the label."""
    return random_rows


@pytest.fixture(scope="session")
def make_picture():
    return picture
