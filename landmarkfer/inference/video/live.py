"""Expressions live: a window with the faces of a camera, how late it is, and how many frames a second."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from landmarkfer.inference.face import Pixels
from landmarkfer.inference.video.frame import TrackedFrame
from landmarkfer.inference.video.newest import Newest
from landmarkfer.inference.video.session import Tracking

_AVERAGED = 30  # frames of which the rate is shown
_REMEMBERED = 10_000  # frames of whose latencies the median is taken
_KEYS = (27, ord("q"))

Show = Callable[[Pixels], bool]
"""Shows a picture, `uint8 [H, W, 3]`; False when it is the last one that is wanted."""


def show_live(tracking: Tracking, source: Newest, show: Show) -> dict[str, Any]:
    """Show the frames of a tracking as they are predicted, until the source or the viewer ends.

    Args:
        tracking: Of `source`.
        source: Gives the newest frame.
        show: Shows a picture.

    Returns:
        `frames`, `dropped`, `frames_per_second` and `latency_ms` (median, from the arrival of a frame to its
        picture).
    """
    began = time.monotonic()
    times: deque[float] = deque(maxlen=_AVERAGED)
    latencies: deque[float] = deque(maxlen=_REMEMBERED)
    frames = 0
    with tracking:
        for frame in tracking:
            latency = source.age_s
            times.append(time.monotonic())
            rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
            wanted = show(overlay(frame, rate, latency))
            latencies.append(source.age_s)
            frames += 1
            if not wanted:
                break
    elapsed = time.monotonic() - began
    return {
        "frames": frames,
        "dropped": source.dropped,
        "frames_per_second": frames / elapsed if elapsed else 0.0,
        "latency_ms": 1000 * float(np.median(latencies)) if latencies else float("nan"),
    }


def overlay(frame: TrackedFrame, rate: float, latency_s: float) -> Pixels:
    """The picture of a frame with its faces, the frame rate and the latency, `uint8 [H, W, 3]`."""
    image: Image.Image = frame.draw()
    pen = ImageDraw.Draw(image)
    size = max(12, image.height // 30)
    text = f"{rate:.0f} frames/s   {1000 * latency_s:.0f} ms"
    font = ImageFont.load_default(size)
    place = (size // 2, image.height - size * 3 // 2)
    pen.rectangle(pen.textbbox(place, text, font=font), fill="#0f172a")
    pen.text(place, text, fill="#e2e8f0", font=font)
    return np.asarray(image)


class Window:
    """A window of OpenCV, which comes with MediaPipe; use it as a context manager.

    Esc, q or its button end it. Where there is no display, nothing is shown, and Ctrl-C or the time ends it.

    Args:
        title: Of the window.
        seconds: After which it ends; None for never.

    Attributes:
        display: Whether there is one.
    """

    def __init__(self, title: str, seconds: float | None = None) -> None:
        self._title = title
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self.display = sys.platform != "linux" or any(
            name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")
        )
        self._open = False

    def __enter__(self) -> "Window":
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        if self._open:
            import cv2

            cv2.destroyWindow(self._title)

    def __call__(self, picture: Pixels) -> bool:
        """Show a picture; False when the viewer has had enough, or the time is over."""
        if time.monotonic() >= self._until:
            return False
        if not self.display:
            return True
        import cv2

        if self._open and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            return False
        cv2.imshow(self._title, picture[..., ::-1])
        self._open = True
        return (cv2.waitKey(1) & 0xFF) not in _KEYS
