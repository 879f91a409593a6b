import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError
from landmarkfer.evaluation.compare.covariates import (
    CONFIDENCE,
    DETECTIONS,
    EYES,
    FACE,
    PITCH,
    SHARE,
    SPREAD,
    TURN,
    face_numbers,
)
from landmarkfer.face.landmarks import CANONICAL, LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS

WIDTH, HEIGHT, SIZE = 200, 100, 20.0


def row(name, yaw=0.0, pitch=0.0, **fields):
    turned = Rotation.from_euler("YX", [-yaw, -pitch], degrees=True).apply(CANONICAL.astype(float))
    points = (SIZE * turned + [100, 50, 0]) / [WIDTH, HEIGHT, WIDTH]
    return Row(
        id=name,
        label="sad",
        width=WIDTH,
        height=HEIGHT,
        landmarks=points.astype(np.float32),
        faces=1,
        **fields,
    )


@pytest.fixture
def cache(tmp_path):
    rows = [
        row("a", detections=3, spread=0.02, confidence=0.75),
        row("b", yaw=-30, detections=1),
        Row(id="c", label="sad", status="no_face", width=WIDTH, height=HEIGHT),
        row("d", pitch=-12, detections=2, spread=0.05),
        Row(id="e", label="sad", status="unreadable", error="empty"),
    ]
    return write_cache(tmp_path / "c", rows, part_rows=2)


def test_numbers_by_hand(cache):
    numbers = face_numbers(cache, ["d", "a", "b"])
    assert numbers.index.tolist() == ["d", "a", "b"]
    assert numbers[TURN].tolist() == pytest.approx([0, 0, 30], abs=0.01)
    assert numbers[PITCH].tolist() == pytest.approx([-12, 0, 0], abs=0.01)
    apart = SIZE * np.linalg.norm(CANONICAL[RIGHT_EYE_CORNERS[0], :2] - CANONICAL[LEFT_EYE_CORNERS[1], :2])
    assert numbers.loc["a", EYES] == pytest.approx(apart, rel=1e-4)
    assert numbers.loc["a", SHARE] == pytest.approx(100 * apart / WIDTH, rel=1e-4)
    assert numbers.loc["b", EYES] == pytest.approx(apart * np.cos(np.radians(30)), rel=1e-3)
    assert numbers[DETECTIONS].tolist() == [2, 3, 1]
    assert numbers[SPREAD].tolist() == pytest.approx([5, 2, np.nan], nan_ok=True)
    assert numbers[CONFIDENCE].tolist() == pytest.approx([np.nan, 0.75, np.nan], nan_ok=True)


def test_an_image_without_a_face_is_told_and_has_no_number(cache):
    numbers = face_numbers(cache, ["c", "e", "a"])
    assert numbers[FACE].tolist() == ["not found", "not found", "found"]
    assert numbers.drop(columns=FACE).loc[["c", "e"]].isna().all(axis=None)


def test_images_that_are_not_there_are_refused(cache):
    with pytest.raises(CacheError, match="lacks 1 of 2 images, x for one"):
        face_numbers(cache, ["a", "x"])
