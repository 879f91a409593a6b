"""Small sources of images that need no detector."""

import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def tree(tmp_path):
    """Make a folder of files by their paths: `tree("happy/a.jpg", "sad/b.jpg", root="faces")`."""

    def make(*paths, root="faces"):
        folder = tmp_path / root
        for number, path in enumerate(paths):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(str(number).encode())
        return folder

    return make


@pytest.fixture
def jpeg():
    """The bytes of a JPEG of noise, by a seed."""

    def make(seed=0, size=16):
        pixels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        return file.getvalue()

    return make


@pytest.fixture
def facts():
    """What a source states of its images: `(id, label, split, group)` each."""
    return lambda source: [(entry.id, entry.label, entry.split, entry.group) for entry in source.entries]
