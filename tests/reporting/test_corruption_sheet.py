import numpy as np
from PIL import Image

from landmarkfer.extraction.corruptions import CORRUPTIONS, corrupt
from landmarkfer.reporting.corruption_sheet import shown_face, write_corruption_sheet


def test_every_corruption_at_every_strength(tmp_path):
    write_corruption_sheet(tmp_path / "deep" / "sheet.png")
    face, landmarks = shown_face()
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    side = len(face)
    step = side + 6
    top, left = pixels.shape[0] - len(CORRUPTIONS) * step, pixels.shape[1] - 6 * step
    for row, name in enumerate(CORRUPTIONS):
        y = top + row * step
        np.testing.assert_array_equal(pixels[y : y + side, left : left + side], face)
        last = pixels[y : y + side, left + 5 * step : left + 5 * step + side]
        np.testing.assert_array_equal(last, corrupt(face, name, 5, landmarks, "portrait"))


def test_landmarks_lie_on_the_face():
    face, landmarks = shown_face()
    assert ((landmarks[:, :2] > 0.05) & (landmarks[:, :2] < 0.95)).all()
    x, y = (landmarks[[13, 14], :2].mean(axis=0) * len(face)).astype(int)
    assert face[y, x].min() > 150, "between the lips of a smile are teeth"
