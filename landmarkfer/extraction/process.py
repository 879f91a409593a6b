"""From entries of a source to rows of the cache; whatever happens to an image, it gets its row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from landmarkfer.data.row import Row
from landmarkfer.errors import LandmarkferError
from landmarkfer.extraction.decode import DecodedImage, UnreadableImage, cut_out, decode_array, decode_image
from landmarkfer.extraction.detect import FaceResult, detect_face
from landmarkfer.extraction.detectors import Detector
from landmarkfer.extraction.encode import encode, stored_image
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.entry import Entry, Reader, row_of
from landmarkfer.face.alignment import aligned_crop

# Decoding several small images in a row and then searching them is faster than by turns, because the code of
# each stays in the processor's cache; large images are not held back for it.
_PIXELS_AHEAD = 1_000_000


class Closes(Protocol):
    """One detector, or several."""

    def close(self) -> None:
        """Free the models."""
        ...


@dataclass(slots=True)
class OpenedImage:
    """An entry's row so far, its pixels if it could be read, and the file they came from if there is one."""

    row: Row
    image: DecodedImage | None = None
    data: bytes | None = None


def make_rows(
    entries: Sequence[Entry],
    reader: Reader,
    detector: Detector,
    settings: ExtractSettings,
    *,
    with_image: bool = True,
) -> list[Row]:
    """Read, decode and search images.

    Args:
        entries: The images.
        reader: Reads them.
        detector: Finds their faces.
        settings: How.
        with_image: Whether rows get `face`, the encoded image, which can take longer than decoding it.

    Returns:
        Their rows. A file that cannot be decoded, or on which the detector fails, is `unreadable`, with the
        reason.

    Raises:
        LandmarkferError: The detector cannot be used at all, on these images or any other.
    """
    rows = []
    for opened in open_images(entries, reader):
        if opened.image is not None:
            with failures_noted(opened.row, detector):
                set_face(opened.row, detect_face(detector, opened.image.pixels, settings))
            if with_image:
                store_image(opened.row, opened.image, opened.data, settings)
        rows.append(opened.row)
    return rows


def open_images(entries: Sequence[Entry], reader: Reader) -> Iterator[OpenedImage]:
    """Read and decode images; one that cannot be has a row that says why, and no pixels."""
    held: list[OpenedImage] = []
    pixels = 0
    for entry in entries:
        opened = _open(entry, reader)
        held.append(opened)
        pixels += opened.image.pixels[..., 0].size if opened.image is not None else 0
        if pixels > _PIXELS_AHEAD:
            yield from held
            held, pixels = [], 0
    yield from held


def _open(entry: Entry, reader: Reader) -> OpenedImage:
    row = row_of(entry)
    try:
        if entry.fault is not None:
            raise UnreadableImage(entry.fault)
        if entry.key is None:
            raise UnreadableImage("there is no such image in the source")
        content = reader.read(entry.key)
        data = content if isinstance(content, bytes) and entry.box is None else None
        image = decode_image(content) if isinstance(content, bytes) else decode_array(content)
        if entry.box is not None:
            image = decode_array(cut_out(image.pixels, entry.box))
    except UnreadableImage as error:
        row.status, row.error = "unreadable", str(error)
        return OpenedImage(row)
    row.height, row.width = image.pixels.shape[:2]
    row.sha256 = image.sha256
    return OpenedImage(row, image, data)


@contextmanager
def failures_noted(row: Row, detector: Closes) -> Iterator[None]:
    """Make an image on which the detector fails unreadable, with the reason."""
    try:
        yield
    except LandmarkferError:
        raise
    except Exception as error:
        # MediaPipe raises RuntimeError and ValueError from its graphs; a graph that failed is not used again.
        detector.close()
        row.status, row.error = "unreadable", f"the detector failed: {error}"


def store_image(row: Row, image: DecodedImage, data: bytes | None, settings: ExtractSettings) -> None:
    """Set what a row stores of its image: the file, or the aligned face."""
    if settings.crop is None:
        row.face = stored_image(image, data)
    else:
        row.face = encode(aligned_crop(image.pixels, row.landmarks, settings.crop))


def set_face(row: Row, result: FaceResult) -> None:
    """Set what was found of an image."""
    row.status = "ok" if result.found else "no_face"
    row.landmarks, row.blendshapes, row.box = result.landmarks, result.blendshapes, result.box
    row.deviation, row.confidence, row.faces = result.deviation, result.confidence, result.faces
    row.detections, row.spread, row.attempts = result.detections, result.spread, result.attempts
