import numpy as np
import pytest
from PIL import Image

from landmarkfer.metrics.calibration import reliability_table
from landmarkfer.reporting.figures import draw_reliability, draw_risk_coverage


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [
        ([0.9, 0.4], [True, True]),
        ([0.9, 0.4], [False, False]),
        ([0.5], [False]),
        ([0.3] * 5, [True] * 3 + [False] * 2),
    ],
    ids=["all right", "all wrong", "one image", "all alike"],
)
def test_risk_is_drawn_of_any_model(tmp_path, confidence, correct):
    draw_risk_coverage(tmp_path / "risk.png", confidence, correct)
    assert pixels(tmp_path / "risk.png").std() > 5


def test_a_curve_of_before_tempering_is_drawn_where_there_is_one(tmp_path):
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    table, before = (reliability_table(c, rng.random(200) < 0.5) for c in (confidence, confidence**2))

    def orange(path):
        red, green, blue = np.moveaxis(pixels(path), 2, 0)
        return int(((red > 150) & (green < 120) & (blue < 80)).sum())

    draw_reliability(tmp_path / "without.png", table)
    draw_reliability(tmp_path / "with.png", table, before)
    assert orange(tmp_path / "without.png") == 0
    assert orange(tmp_path / "with.png") > 500
