"""From one entry of a source to one row of the cache; whatever happens to an image, it gets its row."""

from landmarkfer.data.rows import Row
from landmarkfer.errors import LandmarkferError
from landmarkfer.extract.crop import aligned_crop, encode, stored_image
from landmarkfer.extract.decode import DecodedImage, UnreadableImage, decode_image, pixels_of_grey
from landmarkfer.extract.detectors import Detector
from landmarkfer.extract.face import detect_face
from landmarkfer.extract.settings import ExtractSettings
from landmarkfer.extract.sources import Entry, Reader


def make_row(entry: Entry, reader: Reader, detector: Detector, settings: ExtractSettings) -> Row:
    """Read, decode and search one image.

    Args:
        entry: The image.
        reader: Reads it.
        detector: Finds its face.
        settings: How.

    Returns:
        Its row. A file that cannot be decoded, or on which the detector fails, is `unreadable`, with the
        reason.

    Raises:
        LandmarkferError: The detector cannot be used at all, on this image or any other.
    """
    row = Row(id=entry.id, label=entry.label, split=entry.split, subset=entry.subset)
    try:
        if entry.key is None:
            raise UnreadableImage("there is no such image in the source")
        content = reader.read(entry.key)
        if isinstance(content, bytes):
            data, image = content, decode_image(content)
        else:
            data, image = None, pixels_of_grey(content)
    except UnreadableImage as error:
        row.status, row.error = "unreadable", str(error)
        return row
    row.height, row.width = image.pixels.shape[:2]
    row.sha256 = image.sha256
    try:
        _find_face(row, image, detector, settings)
    except LandmarkferError:
        raise
    except Exception as error:
        # MediaPipe raises RuntimeError and ValueError from its graphs; a graph that failed is not used again.
        detector.close()
        row.status, row.error = "unreadable", f"the detector failed: {error}"
    if settings.crop is None:
        row.face = stored_image(image, data)
    else:
        row.face = encode(aligned_crop(image.pixels, row.landmarks, settings.crop))
    return row


def _find_face(row: Row, image: DecodedImage, detector: Detector, settings: ExtractSettings) -> None:
    result = detect_face(detector, image.pixels, settings)
    row.status = "ok" if result.found else "no_face"
    row.landmarks, row.blendshapes, row.box = result.landmarks, result.blendshapes, result.box
    row.confidence, row.faces = result.confidence, result.faces
    row.detections, row.spread, row.attempts = result.detections, result.spread, result.attempts
