import io

import numpy as np
from PIL import Image

from landmarkfer.extraction.decode import decode_image
from landmarkfer.extraction.encode import MAX_STORED_SIDE, encode, stored_image


def as_file(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def test_an_ordinary_file_is_stored_byte_for_byte():
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40, 3), np.uint8)
    for data in (as_file(pixels), as_file(pixels, "JPEG")):
        assert stored_image(decode_image(data), data) == data


def test_what_viewers_would_show_differently_is_stored_upright():
    pixels = np.random.default_rng(0).integers(0, 255, (48, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = as_file(pixels, exif=exif)
    image = decode_image(data)
    stored = stored_image(image, data)
    assert stored != data
    np.testing.assert_array_equal(decode_image(stored).pixels, image.pixels)


def test_large_photos_are_stored_smaller():
    pixels = np.full((1500, 3000, 3), (200, 100, 50), np.uint8)
    data = as_file(pixels)
    stored = decode_image(stored_image(decode_image(data), data)).pixels
    assert stored.shape == (MAX_STORED_SIDE // 2, MAX_STORED_SIDE, 3)
    assert abs(stored.astype(int) - [200, 100, 50]).max() <= 3


def test_grey_is_encoded_with_one_channel_and_without_loss():
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None], 3, axis=2)
    data = encode(grey)
    assert Image.open(io.BytesIO(data)).mode == "L"
    np.testing.assert_array_equal(decode_image(data).pixels, grey)
    assert stored_image(decode_image(data), None)[:4] == b"\x89PNG"
