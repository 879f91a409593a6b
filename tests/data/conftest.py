import numpy as np
import pytest

from landmarkfer.data.row import Row


@pytest.fixture
def rows_of():
    """Rows of a cache by their number: a third without a face, and no two alike."""

    def rows_of(count, seed=0):
        rng = np.random.default_rng(seed)
        rows = []
        for number in range(count):
            row = Row(id=f"{number:04d}.png", label="happy" if number % 2 else "sad", split="train")
            row.width, row.height, row.sha256 = 48, 40, f"{number:064x}"
            if number % 3:
                row.landmarks = rng.random((478, 3), dtype=np.float32)
                row.box, row.faces, row.detections = (0.1, 0.2, 0.8, 0.9), 1, 1
            else:
                row.status = "no_face"
            row.face = bytes([number % 256]) * (number + 1)
            rows.append(row)
        return rows

    return rows_of
