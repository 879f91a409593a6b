import numpy as np
from PIL import Image

from landmarkfer.data.synthetic import write_expression_sheet


def test_every_expression_differs_from_neutral_and_more_when_stronger(tmp_path):
    write_expression_sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        tiles = np.asarray(picture.convert("L"), dtype=float)[-3 * 192 :, -7 * 192 :]
    tiles = tiles.reshape(3, 192, 7, 192).swapaxes(1, 2)  # [strength, class, 192, 192]
    difference = np.abs(tiles - tiles[:, -1:]).mean(axis=(2, 3))
    assert (difference[:, -1] == 0).all()
    assert (difference[:, :-1] > 0.3).all()
    assert (np.diff(difference[:, :-1], axis=0) > 0).all()
