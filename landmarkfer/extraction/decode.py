"""Image files to upright 8-bit RGB pixels, `uint8 [H, W, 3]`, whatever the file holds.

EXIF orientation is applied, palettes and CMYK are converted, 16-bit samples are scaled to 8, transparency is
laid over white, and of an animation the first frame is taken, or the middle one where the first is blank.
Whatever cannot be shown as such pixels raises `UnreadableImage` with the reason, so that one bad file costs
one row and not a run.
"""

import contextlib
import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

with contextlib.suppress(ImportError):  # the extra `heif`
    from pillow_heif import register_heif_opener

    register_heif_opener()

MAX_PIXELS = 100_000_000
"""More pixels than this are taken for a decompression bomb (a 100-megapixel camera still fits)."""

MAX_BYTES = 512 * 2**20
"""Larger files are not read."""

BOX_MARGIN = 0.25
"""What is cut out beyond a box on every side, as a share of its longer side."""

# File names that count as images; anything else in a folder is left out and counted. HEIC needs the extra
# `heif`: without it such files are rows that say so, rather than missing.
IMAGE_SUFFIXES = frozenset(
    """
    .jpg .jpeg .jpe .jfif .png .bmp .gif .tif .tiff .webp .pgm .ppm .pnm .pbm .jp2 .avif .heic .heif .tga
    """.split()
)

# What a HEIC file names in its first box, bytes 8 to 12 of the file.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_WHITE = (255, 255, 255, 255)
_ORIENTATION = 0x0112


class UnreadableImage(Exception):
    """An image file cannot be decoded; the message is the reason that goes into its row."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of an image file.

    Attributes:
        pixels: `uint8 [H, W, 3]`, upright RGB.
        plain: Whether the file is an ordinary 8-bit JPEG or PNG that shows these pixels in any viewer, so
            that its bytes can be stored as they are.
    """

    pixels: np.ndarray
    plain: bool

    @property
    def sha256(self) -> str:
        """Hex digest of the shape and the pixels."""
        height, width, _ = self.pixels.shape
        digest = hashlib.sha256(f"{height}x{width}x3:".encode())
        digest.update(np.ascontiguousarray(self.pixels).data)  # no copy
        return digest.hexdigest()


def decode_image(data: bytes) -> DecodedImage:
    """Decode an image file.

    Args:
        data: The file's content.

    Returns:
        Its pixels.

    Raises:
        UnreadableImage: It is empty, no image, damaged, too large, or of a kind that has no 8-bit RGB form.
    """
    if not data:
        raise UnreadableImage("the file is empty")
    with warnings.catch_warnings():
        # Pillow warns of what is checked here anyway, and of metadata that does not matter here.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.format == "EPS":
                    raise UnreadableImage("an EPS file is a program, which is not run")
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"{image.width} x {image.height} pixels are too many: {_BOMB}")
                image.load()  # before its EXIF data, which Pillow may load it for, and leave half a picture
                _leave_blank_frame(image)
                upright = _is_upright(image)
                plain = upright and _is_plain(image)
                pixels = np.asarray(_to_rgb(image if upright else ImageOps.exif_transpose(image)))
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
                raise UnreadableImage("HEIC images need pip install 'landmarkfer[heif]'") from None
            raise UnreadableImage("not an image of a known format") from None
        except Image.DecompressionBombError:
            raise UnreadableImage(f"too many pixels: {_BOMB}") from None
        except MemoryError:
            raise UnreadableImage("too large for the memory there is") from None
        except Exception as error:
            # Decoders raise OSError, SyntaxError, ValueError, struct.error and more on damaged files.
            reason = str(error) or type(error).__name__
            raise UnreadableImage(f"damaged: {reason}") from error
    if pixels.size == 0:
        raise UnreadableImage("the image has no pixels")
    return DecodedImage(pixels, plain)


def decode_array(values: np.ndarray) -> DecodedImage:
    """Make an image of pixels that did not come from an image file: grey `uint8 [H, W]` or RGB `[H, W, 3]`.

    Raises:
        UnreadableImage: There are no pixels.
    """
    if values.size == 0:
        raise UnreadableImage("the image has no pixels")
    rgb = np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else np.ascontiguousarray(values)
    return DecodedImage(rgb, plain=False)


def cut_out(pixels: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The part of an image that a box marks, with a margin of `BOX_MARGIN` where the image has one.

    Args:
        pixels: `uint8 [H, W, 3]`.
        box: `(x0, y0, x1, y1)` in pixels.

    Raises:
        UnreadableImage: The box lies outside of the image, or mostly so.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    inside = max(0.0, min(x1, width) - max(x0, 0.0)) * max(0.0, min(y1, height) - max(y0, 0.0))
    if inside < 0.5 * (x1 - x0) * (y1 - y0):
        shown = ", ".join(f"{value:g}" for value in box)
        raise UnreadableImage(f"its box ({shown}) lies outside of the image of {width} x {height} pixels")
    margin = BOX_MARGIN * max(x1 - x0, y1 - y0)
    left, top = max(0, round(x0 - margin)), max(0, round(y0 - margin))
    return np.ascontiguousarray(
        pixels[top : max(top + 1, round(y1 + margin)), left : max(left + 1, round(x1 + margin))]
    )


def upright_pixels(image: Image.Image) -> np.ndarray:
    """The pixels `uint8 [H, W, 3]` of an image that Pillow has opened or made, as `decode_image` gives them.

    Raises:
        UnreadableImage: Its file is damaged, or it is of a kind that has no 8-bit RGB form.
    """
    try:
        image.load()
        _leave_blank_frame(image)
        return np.asarray(_to_rgb(image if _is_upright(image) else ImageOps.exif_transpose(image)))
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(f"damaged: {str(error) or type(error).__name__}") from error


_BOMB = f"over the limit of {MAX_PIXELS // 1_000_000} million, so it may be a decompression bomb"


def _leave_blank_frame(image: Image.Image) -> None:
    """Go to the middle frame of an animation whose first has one colour, if that one shows something."""
    frames = getattr(image, "n_frames", 1)
    for place in (frames // 2, 0) if frames > 1 and _is_blank(image) else ():
        image.seek(place)
        image.load()
        if not _is_blank(image):
            return


def _is_blank(image: Image.Image) -> bool:
    pixels = np.asarray(image.convert("RGB"))
    return bool((pixels == pixels[:1, :1]).all())


def _is_upright(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION, 1) == 1
    except Exception:
        return True  # damaged EXIF data is no reason to lose the pixels


def _is_plain(image: Image.Image) -> bool:
    return image.format in ("JPEG", "PNG") and image.mode in ("L", "RGB") and "transparency" not in image.info


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep_grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, _WHITE)
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise UnreadableImage("the pixels hold values that are not numbers")
    if image.mode.startswith("I;16"):
        top = 65535.0
    else:
        # 32-bit samples have no agreed white; the smallest usual depth that holds the values is taken.
        top = next((t for t in (1.0, 255.0, 65535.0) if values.max() <= t), float(values.max()))
        top = 255.0 if image.mode == "I" and top == 1.0 else top
    return Image.fromarray(np.clip(values / top * 255.0 + 0.5, 0, 255).astype(np.uint8))
