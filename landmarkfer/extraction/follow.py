"""Finding the faces of a video: where they were on the frame before, and everywhere now and then.

MediaPipe's video mode follows faces and searches for others, but misses small ones. So once a second, and
after a cut, a frame is searched as a photograph is, and what is found then is followed too.
"""

import numpy as np

from landmarkfer.extraction.detect import (
    SAME_FACE,
    Box,
    FaceResult,
    box_overlap,
    detect_faces,
    detect_in_box,
    follow_faces,
)
from landmarkfer.extraction.detectors import Detector
from landmarkfer.extraction.settings import ExtractSettings

SEARCHED_EVERY_S = 1.0
"""Seconds after which a frame is searched for faces that are not followed."""


class FaceFollower:
    """Finds the faces of one frame after the other.

    Args:
        still: Detects on images of their own.
        video: Follows faces from image to image; see `detectors.create_detector`.
        settings: How to look; each face is detected once, whatever `passes` says.
    """

    def __init__(self, still: Detector, video: Detector, settings: ExtractSettings) -> None:
        self._still, self._video = still, video
        self._settings = settings.model_copy(update={"passes": 1})
        self._boxes: list[Box] = []  # of the last frame
        self._searched_s = float("-inf")

    def __call__(self, image: np.ndarray, time_s: float, *, cut: bool = False) -> list[FaceResult]:
        """Find the faces of the next frame.

        Args:
            image: `uint8 [H, W, 3]`, RGB, upright.
            time_s: Of the frame.
            cut: Whether it is the first of another shot.

        Returns:
            The faces, at most `settings.max_faces`, the largest first.
        """
        found = {one.box: one for one in follow_faces(self._video, image, self._settings) if one.box}

        def add(more: list[FaceResult]) -> None:
            for one in more:
                if one.box and is_new(one.box):
                    found[one.box] = one

        def is_new(box: Box) -> bool:
            return all(box_overlap(box, other) <= SAME_FACE for other in found)

        height, width = image.shape[:2]
        for x0, y0, x1, y1 in self._boxes if not cut else ():
            if is_new((x0, y0, x1, y1)):  # video mode does not see it
                box = (x0 * width, y0 * height, x1 * width, y1 * height)
                add([detect_in_box(self._still, image, box, self._settings)])
        if cut or time_s - self._searched_s >= SEARCHED_EVERY_S:
            add(detect_faces(self._still, image, self._settings))
            self._searched_s = time_s
        self._boxes = sorted(found, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))
        self._boxes = self._boxes[: self._settings.max_faces]
        return [found[box] for box in self._boxes]
