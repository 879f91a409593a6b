"""How a face's image is stored for the image branch: the file itself, or pixels encoded anew."""

import io

import numpy as np
from PIL import Image

from landmarkfer.extraction.decode import DecodedImage

MAX_STORED_SIDE = 1024
"""An image that is stored as it is gets shrunk to this many pixels on its longer side if it has more."""

# Up to this many pixels on the longer side, images are stored without loss when they have to be encoded anew.
_LOSSLESS_SIDE = 256


def stored_image(image: DecodedImage, data: bytes | None) -> bytes:
    """Return the encoded image itself.

    Args:
        image: The decoded image.
        data: The file's content, if it came from a file.

    Returns:
        `data` if the file is an ordinary one of moderate size, else the upright image encoded anew: PNG if it
        is small, JPEG if not.
    """
    height, width = image.pixels.shape[:2]
    if data is not None and image.plain and max(width, height) <= MAX_STORED_SIDE:
        return data
    picture = Image.fromarray(image.pixels)
    # Means of whole pixels first, then the filter: on 12 megapixels a quarter of the filter's time alone.
    picture.thumbnail((MAX_STORED_SIDE, MAX_STORED_SIDE), Image.Resampling.LANCZOS, reducing_gap=1.0)
    return encode(np.asarray(picture), lossless=max(picture.size) <= _LOSSLESS_SIDE)


def encode(pixels: np.ndarray, *, lossless: bool = True) -> bytes:
    """Encode pixels `uint8 [H, W, 3]` as PNG, or as JPEG of high quality; grey ones with one channel."""
    grey = bool((pixels[..., :1] == pixels).all())
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if grey else pixels)
    file = io.BytesIO()
    if lossless:
        picture.save(file, "PNG", compress_level=4)
    else:
        picture.save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()
