import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.row import Row


def smooth(seed, side=96):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def to_row(name, picture, landmarks=None, **facts):
    """A row of a cache that shows a PIL image."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Row(
        id=name,
        status="no_face" if landmarks is None else "ok",
        width=picture.width,
        height=picture.height,
        sha256=hashlib.sha256(np.asarray(picture).tobytes()).hexdigest(),
        landmarks=landmarks,
        face=file.getvalue(),
        **facts,
    )


@pytest.fixture(scope="session")
def make_row():
    return to_row


@pytest.fixture(scope="session")
def photo():
    """The function `smooth`: a random picture that is the same for the same seed."""
    return smooth


@pytest.fixture(scope="session")
def faces(synthetic_faces):
    """Pictures of synthetic faces with the landmarks of a cache, `[478, 3]`, and the labels."""
    found = []
    for face in synthetic_faces:
        points = np.zeros((478, 3), np.float32)
        points[:, :2] = face.landmarks / len(face.image)
        found.append((Image.fromarray(face.image), points, face.label))
    return found
