"""Where a video cuts from one shot to another, found as its frames come."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CHANGE = 0.12
"""Least mean difference of two frames at a cut, of 1."""
RATIO = 3.0
"""Times that a cut changes the picture more than frames did before it."""
_SIDE = 32
_MEMORY = 0.8  # share of the usual change that is older than the last frame


class CutDetector:
    """Tells whether a frame is the first of another shot.

    A cut changes small copies of two frames by `CHANGE`, and `RATIO` times as much as usual: a camera that
    pans, or frames far apart, change the picture a lot all the time.
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual = 0.0

    def __call__(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a frame, `uint8 [H, W, 3]`, starts another shot; the first one does not."""
        step = max(1, min(pixels.shape[:2]) // (4 * _SIDE))  # coarse, then averaged
        small = Image.fromarray(np.ascontiguousarray(pixels[::step, ::step]))
        now = np.asarray(small.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32) / 255
        if self._last is None:
            self._last = now
            return False
        change = float(np.abs(now - self._last).mean())
        self._last = now
        cut = change >= CHANGE and change >= RATIO * self._usual
        self._usual = _MEMORY * self._usual + (1 - _MEMORY) * change
        return cut
