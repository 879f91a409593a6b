"""Live sources: cameras, and the newest frame of anything that runs faster than it is predicted."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landmarkfer.errors import SourceError, extras_named
from landmarkfer.inference.video.clip import VideoFrame, sampled
from landmarkfer.inference.video.tracking import FrameSource

_SURE_RATE = 1.5
_PATIENCE_S = 10.0
"""Seconds after which a source that gives no frame has failed."""


@dataclass(eq=False)
class Camera:
    """A camera of this machine.

    Attributes:
        number: Of the camera, from 0.
        size: Width and height in pixels that it is asked for; it may give others.
    """

    number: int = 0
    size: tuple[int, int] = (640, 480)
    rate: float = field(default=30.0, init=False)

    @property
    def name(self) -> str:
        """What its frames are called."""
        return f"camera {self.number}"

    def frames(self, fps: float | None = None) -> Iterator[VideoFrame]:
        """The pictures as they come, by the clock.

        Args:
            fps: The most frames a second.

        Raises:
            SourceError: There is no such camera, or it is in use.
        """
        return sampled(self._read(), fps)

    def _read(self) -> Iterator[VideoFrame]:
        with extras_named():
            import cv2
        camera: Any = cv2.VideoCapture(self.number)
        try:
            camera.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            camera.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
            start = time.monotonic()
            number = 0
            while True:
                _, picture = camera.read() if camera.isOpened() else (False, None)
                if picture is None and number == 0:
                    raise SourceError(
                        f"camera {self.number} cannot be opened; is it plugged in, and not in use? Others "
                        "have other numbers, from 0."
                    )
                if picture is None:
                    return
                pixels = np.ascontiguousarray(picture[..., ::-1])
                yield VideoFrame(number, time.monotonic() - start, pixels)
                number += 1
        finally:
            camera.release()


class Newest:
    """The newest frame of a source, whenever one is asked for; those that came meanwhile are dropped.

    The source is read in a thread, so that a slow model makes frames fewer, but never older.

    Args:
        source: Gives its frames in real time.

    Attributes:
        dropped: Frames that were not asked for in time.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.dropped = 0
        self._arrived = 0.0

    @property
    def name(self) -> str:
        """That of the source."""
        return self._source.name

    @property
    def rate(self) -> float:
        """Frames a second that can be counted on, however slow the model is."""
        return _SURE_RATE

    @property
    def age_s(self) -> float:
        """Seconds since the last frame that was given came from the source."""
        return time.monotonic() - self._arrived

    def frames(self, fps: float | None = None) -> Iterator[VideoFrame]:
        """The newest frame, again and again, until the source ends.

        Args:
            fps: The most frames a second.

        Raises:
            SourceError: The source failed, or gave no frame for ten seconds.
        """
        return sampled(self._newest(), fps)

    def _newest(self) -> Iterator[VideoFrame]:
        held = _Held()
        thread = threading.Thread(target=held.fill, args=(self._source,), name=self.name, daemon=True)
        thread.start()
        try:
            while True:
                taken = held.take()
                if taken is None:
                    return
                frame, self._arrived, dropped = taken
                self.dropped += dropped
                yield frame
        finally:
            held.stop()
            thread.join(_PATIENCE_S)


class _Held:
    """One frame between two threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: VideoFrame | None = None
        self._arrived = 0.0
        self._dropped = 0
        self._ended = self._stopped = False
        self._error: Exception | None = None

    def fill(self, source: FrameSource) -> None:
        """Hold each frame of a source until the next one."""
        try:
            with contextlib.closing(source.frames()) as frames:  # type: ignore[type-var]
                for frame in frames:
                    with self._changed:
                        if self._stopped:
                            return
                        self._dropped += self._frame is not None
                        self._frame, self._arrived = frame, time.monotonic()
                        self._changed.notify()
        except Exception as error:  # it is raised where frames are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def take(self) -> tuple[VideoFrame, float, int] | None:
        """The frame that is held, when it arrived, and how many were dropped before it; None at the end."""
        with self._changed:
            there = self._changed.wait_for(lambda: self._frame is not None or self._ended, _PATIENCE_S)
            if self._frame is None:
                if self._error is not None:
                    raise self._error
                if not there:
                    raise SourceError(
                        f"no picture came for {_PATIENCE_S:g} seconds; is the camera still there?"
                    )
                return None
            taken = (self._frame, self._arrived, self._dropped)
            self._frame, self._dropped = None, 0
            return taken

    def stop(self) -> None:
        """Let the thread end with its next frame."""
        with self._changed:
            self._stopped = True
