import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.images import ImageInfo, to_square
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError, SourceError
from landmarkfer.inference.frame import check_landmarks, frame_faces, joined


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (20, 40), np.uint8)
    points = rng.random((478, 3)).astype(np.float32)
    return [
        Row("a", status="ok", width=40, height=20, landmarks=points, face=png(wide)),
        Row("b", status="no_face", width=20, height=40, face=png(wide.T.copy())),
        Row("c", status="unreadable", error="the file is empty"),
    ]


def test_landmarks_and_sizes(rows):
    arrays = frame_faces(rows)
    np.testing.assert_array_equal(arrays.landmarks[0], rows[0].landmarks)
    assert np.isnan(arrays.landmarks[1:]).all() and arrays.landmarks.dtype == np.float32
    np.testing.assert_array_equal(arrays.sizes, [[40, 20], [20, 40], [np.nan, np.nan]])
    assert arrays.image is None and arrays.has_image is None and arrays.blendshapes is None


def test_pixels_fill_a_square_as_those_of_a_cache_do(rows):
    arrays = frame_faces(rows, ImageInfo(size=16, channels=1))
    assert arrays.image.shape == (3, 1, 16, 16) and arrays.image.dtype == np.uint8
    assert arrays.has_image.tolist() == [True, True, False]
    with Image.open(io.BytesIO(rows[0].face)) as image:
        np.testing.assert_array_equal(arrays.image[0], to_square(image, 16, 1))
    assert not arrays.image[0, 0, :4].any() and arrays.image[0, 0, 4:12].any(), "a bar above a wide image"
    assert not arrays.image[2].any()
    rows[0].face = b"damaged"
    with pytest.raises(CacheError, match="the stored image of a is damaged"):
        frame_faces(rows, ImageInfo(size=16, channels=3))


def test_blendshapes_are_missing_only_if_faces_have_none(rows):
    assert np.isnan(frame_faces(rows[1:]).blendshapes).all(), "nothing was found, so nothing is lacking"
    rows[0].blendshapes = np.full(52, 0.5, np.float32)
    found = frame_faces(rows).blendshapes
    assert (found[0] == 0.5).all() and np.isnan(found[1:]).all()


def test_parts_are_joined(rows):
    info = ImageInfo(size=16, channels=1)
    whole, parts = frame_faces(rows, info), joined([frame_faces(rows[:1], info), frame_faces(rows[1:], info)])
    for name in ("landmarks", "sizes", "image", "has_image"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert parts.blendshapes is None
    assert joined([frame_faces([])]).landmarks.shape == (0, 478, 3)


def test_it_loads_no_torch():
    code = "import landmarkfer.inference.frame, sys; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((478, 3), r"not \[478, 3\]; give a single face as landmarks\[None\]\.$"),
        ((5, 468, 3), r"not \[5, 468, 3\]; the 10 points of the irises are missing"),
        ((5, 478, 2), r"not \[5, 478, 2\]; z is missing\.$"),
        ((2, 5, 478, 3), r"must be \[N, 478, 3\], not \[2, 5, 478, 3\]\.$"),
        ((), r"not \[\]\.$"),
    ],
)
def test_arrays_that_are_no_landmarks(shape, message):
    check_landmarks((0, 478, 3))
    with pytest.raises(SourceError, match=message):
        check_landmarks(shape)
