"""From images to the faces that a model is given: found, and brought into the frame of its training images.

A face is found in the image, without colour if the training images have none, then the square that shows it
as the training images show theirs (`face.frame`) is cut out at their size, and its landmarks are detected
again in that, as those of the training images were. Where a model looks at aligned crops, the crop is taken
of the image itself, so that it is resampled once. So a model sees of a large photograph what it saw in
training. A model that was trained on photographs as well is given them whole. NumPy alone: it runs in
worker processes that load no torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from PIL import Image

from landmarkfer.data.row import Row
from landmarkfer.extraction.decode import DecodedImage
from landmarkfer.extraction.detect import NO_FACE, Box, FaceResult, detect_face, detect_faces, detect_in_box
from landmarkfer.extraction.detectors import Detector
from landmarkfer.extraction.encode import encode
from landmarkfer.extraction.process import OpenedImage, failures_noted, open_images, set_face, store_image
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.entry import Entry, Reader
from landmarkfer.face.alignment import aligned_crop, aligned_square
from landmarkfer.face.frame import Frame
from landmarkfer.face.geometry import to_pixels

Wanted = Literal["all", "largest"]
"""Which faces of an image."""
MOST_FACES = 50
"""Faces that one image is searched for."""
_LEAST_BOX = 2
MOST_MOVED = 0.7
"""How far the landmarks of a doubtful face may move when it is found again: RMS, in RMS radii of the face."""


@dataclass(slots=True)
class FoundFace:
    """One face, or an image without any.

    Attributes:
        row: What is known of it in its image.
        given: What the model is given: `row`, or the face in the model's frame.
        number: Of the face in its image, from 0, the largest first; None without a face.
        box: The box that was given for it, in pixels; None without one.
    """

    row: Row
    given: Row
    number: int | None = None
    box: Box | None = None


@dataclass(frozen=True)
class FaceFinder:
    """Finds the faces of images; picklable, for worker processes.

    Attributes:
        frame: Of the model; None gives it the images as they are, and takes all that is found for faces.
        with_image: Whether the model looks at pixels.
        wanted: Which faces of an image.
        boxes: Boxes of the faces of an image, in pixels, by its id; an image that is not in it has none, and
            is not searched. None searches the images instead.
        crops: Sides of the aligned crops that trained the model; a face is cut at the one that is nearest to
            its size in the image, since enlarging it more shows the model a face that is blurred as none was
            in training. Empty: `crop` of the settings.
    """

    frame: Frame | None
    with_image: bool
    wanted: Wanted = "all"
    boxes: Mapping[str, Sequence[Box]] | None = field(default=None)
    crops: tuple[int, ...] = ()

    def __call__(
        self, entries: Sequence[Entry], reader: Reader, detector: Detector, settings: ExtractSettings
    ) -> list[list[FoundFace]]:
        """The faces of each image, at least one entry per image.

        Args:
            entries: The images.
            reader: Reads them.
            detector: Finds their faces.
            settings: How the faces of the model's training images were found.
        """
        return [self._faces(opened, detector, settings) for opened in open_images(entries, reader)]

    def _faces(self, opened: OpenedImage, detector: Detector, settings: ExtractSettings) -> list[FoundFace]:
        row = opened.row
        if opened.image is None:
            return [FoundFace(row, row)]
        if self.boxes is not None and not self.boxes.get(row.id):
            row.status, row.error = "no_face", "no box is given for this image"
            return [FoundFace(row, row)]
        faces: list[FoundFace] = []
        with failures_noted(row, detector):
            image = self.coloured(opened.image)
            found = self._found(row.id, detector, image.pixels, settings)
            faces = self.given(OpenedImage(row, image, opened.data), found, detector, settings)
        if row.status == "unreadable" or not faces:
            row.status = "unreadable" if row.status == "unreadable" else "no_face"
            return [FoundFace(row, row)]
        return faces

    def coloured(self, image: DecodedImage) -> DecodedImage:
        """An image in the colour in which the model is given its faces."""
        if self.frame is None or not self.frame.grey:
            return image
        return DecodedImage(without_colour(image.pixels), plain=False)

    def given(
        self,
        opened: OpenedImage,
        found: Sequence[tuple[FaceResult, Box | None]],
        detector: Detector,
        settings: ExtractSettings,
    ) -> list[FoundFace]:
        """The faces that were found on an image, as the model is given them.

        Args:
            opened: The image, `coloured`.
            found: What was found on it, and the boxes that were given for it.
            detector: Finds faces again in the model's frame.
            settings: How the faces of the model's training images were found.

        Returns:
            The faces, without what was found faintly and is not found again.
        """
        assert opened.image is not None
        faces: list[FoundFace] = []
        pixels = opened.image.pixels
        for result, box in found:
            own = replace(opened.row)
            set_face(own, result)
            own.error = None if box is None else _fault(box, pixels)
            face = FoundFace(own, own, len(faces), box)
            if result.landmarks is not None:
                if self._into is not None:
                    face.given = framed(own, pixels, self._into, detector, settings)
                if box is None and not self._confirmed(face, pixels, detector, settings):
                    continue
            if face.given is own and self.with_image:
                crop = nearest_crop(own, self.crops) or settings.crop
                store_image(own, opened.image, opened.data, settings.model_copy(update={"crop": crop}))
            faces.append(face)
        return faces

    def _found(
        self, name: str, detector: Detector, pixels: np.ndarray, settings: ExtractSettings
    ) -> list[tuple[FaceResult, Box | None]]:
        """The faces of an image, and the boxes that were given for them."""
        search = self._search(settings)
        if self.boxes is not None:
            return [
                (NO_FACE if _fault(box, pixels) else detect_in_box(detector, pixels, box, search), box)
                for box in self.boxes[name]
            ]
        if self.wanted == "largest":
            result = detect_face(detector, pixels, search)
            return [(result, None)] if result.found else []
        every = detect_faces(detector, pixels, search.model_copy(update={"max_faces": MOST_FACES}))
        return [(result, None) for result in every]

    def _search(self, settings: ExtractSettings) -> ExtractSettings:
        """How faces are searched: once where they are detected again in the frame, else as in training."""
        if self._into is None:
            return settings
        return ExtractSettings(detector=settings.detector, max_faces=MOST_FACES)

    @property
    def _into(self) -> Frame | None:
        """The frame that faces are brought into."""
        return None if self.frame is None or self.frame.photographs else self.frame

    def _confirmed(
        self, face: FoundFace, pixels: np.ndarray, detector: Detector, settings: ExtractSettings
    ) -> bool:
        """Whether what was found is taken for a face; see `confirmed`."""
        if self.frame is None or not faint(face.row, settings):
            return True
        again = face.given if self._into else framed(face.row, pixels, self.frame, detector, settings)
        return confirmed(face.row, again, self.frame)


def framed(row: Row, pixels: np.ndarray, frame: Frame, detector: Detector, settings: ExtractSettings) -> Row:
    """A face in the frame of a model.

    Args:
        row: Of a face that was found.
        pixels: Its image, `uint8 [H, W, 3]`, in the frame's colour.
        frame: Of the model.
        detector: Detects its landmarks again.
        settings: How those of the training images were detected.

    Returns:
        A row of the framed image. Where no face is found in that, its landmarks are those of the image.
    """
    height, width = pixels.shape[:2]
    assert row.landmarks is not None
    square = frame.square(row.landmarks, width, height)
    cut = square.cut(pixels, frame.size)
    given = Row(id=row.id, width=frame.size, height=frame.size)
    set_face(given, detect_face(detector, cut, settings))
    if given.landmarks is None:
        given.status = "ok"
        given.landmarks = square.place(to_pixels(row.landmarks, width, height), 1)
    if settings.crop is None:
        given.face = encode(cut)
    else:
        # Those of the image are the more accurate, unless both are of the same pixels.
        same = np.array_equal(cut, pixels)
        crop = aligned_crop(pixels, given.landmarks if same else row.landmarks, settings.crop)
        given.face = encode(crop)
    return given


def _fault(box: Box, pixels: np.ndarray) -> str | None:
    """Why there can be no face in a box, such as one in fractions; None where there can."""
    x0, y0, x1, y1 = box
    height, width = pixels.shape[:2]
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        what = "lies outside the image"
    elif min(x1 - x0, y1 - y0) < _LEAST_BOX:
        what = f"is smaller than {_LEAST_BOX} pixels"
    else:
        return None
    return f"the box {what}; boxes are x0, y0, x1, y1 in pixels of the upright image"


def without_colour(pixels: np.ndarray) -> np.ndarray:
    """Grey pixels `[H, W, 3]`."""
    return np.repeat(np.asarray(Image.fromarray(pixels).convert("L"))[..., None], 3, axis=2)


def nearest_crop(row: Row, crops: Sequence[int]) -> int | None:
    """Which of some sides of aligned crops is nearest to a face's size; None without a face or without any.

    Args:
        row: Of the face, in its image.
        crops: In pixels.
    """
    if row.landmarks is None or row.width is None or row.height is None or not crops:
        return None
    side = aligned_square(row.landmarks, row.width, row.height).side
    return min(crops, key=lambda crop: abs(np.log(crop / side)))


def faint(row: Row, settings: ExtractSettings) -> bool:
    """Whether a face was found below the threshold, which only lenient retries accept."""
    return row.confidence is not None and row.confidence < settings.threshold


def confirmed(row: Row, given: Row, frame: Frame) -> bool:
    """Whether what was found faintly is taken for a face.

    It counts if the face is found again in the frame, at about the same place. Among pictures without a face,
    most detections fail this. An image of the frame's size is taken as a training image was: what is found in
    it counts.

    Args:
        row: Of what was found.
        given: The same in the frame, from `framed`.
        frame: Of the model.
    """
    if row.width == row.height == frame.size:
        return True
    assert row.landmarks is not None and row.width is not None and row.height is not None
    assert given.landmarks is not None
    square = frame.square(row.landmarks, row.width, row.height)
    points = square.place(to_pixels(row.landmarks, row.width, row.height), 1)[:, :2]
    moved = np.square(given.landmarks[:, :2] - points).sum(axis=1).mean()
    extent = np.square(points - points.mean(axis=0)).sum(axis=1).mean()
    return bool(given.detections) and bool(moved <= MOST_MOVED**2 * extent)
