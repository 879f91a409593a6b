import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from landmarkfer.extraction import decode
from landmarkfer.extraction.decode import (
    DecodedImage,
    UnreadableImage,
    cut_out,
    decode_array,
    decode_image,
)

# Red, green / blue, white: each corner tells where it went.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def test_pixels_are_upright_rgb():
    image = decode_image(encoded(CORNERS))
    assert image.pixels.dtype == np.uint8
    np.testing.assert_array_equal(image.pixels, CORNERS)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, CORNERS),
        (2, CORNERS[:, ::-1]),
        (3, CORNERS[::-1, ::-1]),
        (4, CORNERS[::-1]),
        # 6: the camera was turned, and the picture is shown after a quarter turn clockwise.
        (6, np.array([[[0, 0, 255], [255, 0, 0]], [[255, 255, 255], [0, 255, 0]]])),
        (8, np.array([[[0, 255, 0], [255, 255, 255]], [[255, 0, 0], [0, 0, 255]]])),
    ],
)
def test_exif_orientation_is_applied(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(CORNERS, exif=exif))
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.plain == (orientation == 1)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.95])
def test_a_flipped_byte_of_a_png_is_no_picture(share):
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    data = bytearray(encoded(pixels))
    data[int(share * len(data))] ^= 0xFF
    with pytest.raises(UnreadableImage, match="damaged"):
        decode_image(bytes(data))


def test_damaged_exif_data_does_not_cost_the_pixels():
    image = decode_image(encoded(CORNERS, exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage"))
    np.testing.assert_array_equal(image.pixels, CORNERS)


def test_palette_is_resolved():
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 200, 100, 0, 7, 8, 9])
    picture.putdata([2, 0, 1])
    np.testing.assert_array_equal(
        decode_image(encoded(picture)).pixels, [[[7, 8, 9], [10, 20, 30], [200, 100, 0]]]
    )


def test_sixteen_bit_grey_is_scaled_and_not_cut():
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = decode_image(encoded(values, kind)).pixels
        np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])
        assert (pixels[..., :1] == pixels).all()


def png(width, height, bits, colour, rows):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_png():
    row = b"\0" + struct.pack(">HHH", 65535, 128 * 257, 0)
    np.testing.assert_array_equal(decode_image(png(1, 1, 16, 2, row)).pixels, [[[255, 128, 0]]])


def test_float_tiff_from_zero_to_one():
    values = np.array([[0.0, 0.5, 1.0]], np.float32)
    np.testing.assert_array_equal(decode_image(encoded(values, "TIFF")).pixels[0, :, 1], [0, 128, 255])


def test_float_tiff_with_no_number_in_it_is_unreadable():
    with pytest.raises(UnreadableImage, match="not numbers"):
        decode_image(encoded(np.array([[np.nan, 1.0]], np.float32), "TIFF"))


def test_cmyk_is_converted():
    image = decode_image(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert abs(image.pixels.astype(int) - [255, 0, 0]).max() <= 6
    assert not image.plain


def test_transparency_lies_over_white():
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    # The last: a fifth of black and four fifths of white.
    np.testing.assert_array_equal(decode_image(encoded(rgba)).pixels, [[[255, 0, 0], [255] * 3, [204] * 3]])
    grey_alpha = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 0)])
    np.testing.assert_array_equal(decode_image(encoded(grey_alpha)).pixels, [[[255, 255, 255]]])


def test_a_transparent_colour_lies_over_white():
    picture = Image.fromarray(CORNERS)
    image = decode_image(encoded(picture, transparency=(255, 0, 0)))
    np.testing.assert_array_equal(image.pixels[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(image.pixels[1, 0], [0, 0, 255])
    assert not image.plain


def test_bilevel_and_grey_become_three_equal_channels():
    picture = Image.new("1", (2, 1))
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode_image(encoded(picture)).pixels, [[[0] * 3, [255] * 3]])
    grey = decode_image(encoded(np.array([[7]], np.uint8)))
    np.testing.assert_array_equal(grey.pixels, [[[7, 7, 7]]])
    assert grey.plain


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (2, 2), value) for value in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data).pixels.max() == 10


def test_one_by_one_pixel():
    assert decode_image(encoded(CORNERS[:1, :1])).pixels.tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"just some text, named .jpg", "not an image of a known format"),
        (encoded(np.zeros((64, 64, 3), np.uint8), "JPEG")[:300], "(?i)damaged: .*truncated"),
        (
            encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:5000],
            "(?i)damaged: .*truncated",
        ),
        (b"\xff\xd8\xff\xe0" + bytes(40), "not an image|damaged"),
        (encoded(np.zeros((8, 8, 3), np.uint8), "EPS"), "an EPS file is a program, which is not run"),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(data, reason):
    with pytest.raises(UnreadableImage, match=reason):
        decode_image(data)


@pytest.mark.parametrize("side", [12_000, 40_000])
def test_a_decompression_bomb_is_refused_unopened(side):
    # 144 million pixels pass Pillow's own limit with a warning, 1,600 million do not.
    bomb = png(side, side, 1, 0, bytes(1000))
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        decode_image(bomb)


def test_many_megapixels_below_the_limit_are_no_bomb(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 4)
    assert decode_image(encoded(CORNERS)).pixels.shape == (2, 2, 3)
    with pytest.raises(UnreadableImage, match="2 x 3"):
        decode_image(encoded(np.zeros((3, 2, 3), np.uint8)))


def test_no_warning_leaves_the_decoder(recwarn):
    with pytest.raises(UnreadableImage):
        decode_image(png(12_000, 12_000, 1, 0, b""))
    assert not recwarn.list


def test_hash_is_of_pixels_and_shape_not_of_the_file():
    flat = np.zeros((2, 8, 3), np.uint8)
    assert decode_image(encoded(flat)).sha256 == decode_image(encoded(flat, "BMP")).sha256
    assert DecodedImage(flat, True).sha256 != DecodedImage(flat.reshape(4, 4, 3), True).sha256
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert decode_array(grey).sha256 == decode_image(encoded(grey)).sha256


def test_heic_images_are_read():
    smooth = np.full((64, 64, 3), (200, 100, 50), np.uint8)
    image = decode_image(encoded(smooth, "HEIF"))
    assert not image.plain
    np.testing.assert_allclose(image.pixels, smooth, atol=4)


def test_without_its_plug_in_a_heic_image_names_the_extra(monkeypatch):
    data = encoded(np.zeros((16, 16, 3), np.uint8), "HEIF")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    with pytest.raises(UnreadableImage, match=r"landmarkfer\[heif\]"):
        decode_image(data)


def animation(colours, suffix="GIF"):
    frames = [Image.new("RGB", (8, 6), colour) for colour in colours]
    for number, frame in enumerate(frames[1:], start=1):
        frame.putpixel((number, 0), (1, 2, 3))
    file = io.BytesIO()
    frames[0].save(file, suffix, save_all=True, append_images=frames[1:])
    return file.getvalue()


@pytest.mark.parametrize("suffix", ["GIF", "TIFF", "WEBP"])
def test_a_blank_first_frame_gives_way_to_the_middle_one(suffix):
    data = animation(["white", "red", "green", "blue", "black"], suffix)
    middle = decode_image(data).pixels[5, 7]
    assert middle[1] > 100 > max(middle[0], middle[2]), "the third of five is green"
    assert decode_image(animation(["white"])).pixels.min() == 255


def test_a_first_frame_that_shows_something_is_taken():
    first = Image.new("RGB", (8, 6), "red")
    first.putpixel((0, 0), (255, 255, 255))
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 6), "blue")])
    assert decode_image(file.getvalue()).pixels[5, 7, 0] > 200


def test_a_box_is_cut_out_with_a_margin():
    pixels = np.arange(100 * 120 * 3, dtype=np.uint32).reshape(100, 120, 3).astype(np.uint8)
    cut = cut_out(pixels, (40, 30, 60, 70))  # a quarter of 40 pixels on every side
    np.testing.assert_array_equal(cut, pixels[20:80, 30:70])
    np.testing.assert_array_equal(cut_out(pixels, (0, 0, 20, 20)), pixels[:25, :25])


@pytest.mark.parametrize("box", [(200, 10, 240, 50), (-90, -90, 20, 20), (110, 80, 150, 120)])
def test_a_box_outside_of_the_image_is_refused(box):
    with pytest.raises(UnreadableImage, match="lies outside of the image of 120 x 100 pixels"):
        cut_out(np.zeros((100, 120, 3), np.uint8), box)
