"""Probabilities over time: smoothed, and how much they change, track by track."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIME_CONSTANT_S = 0.5


@dataclass(frozen=True)
class Step:
    """One face of one frame beside the frame before.

    Attributes:
        smoothed: Probabilities `[C]`.
        change: Half the sum of the differences of the unsmoothed probabilities from those of the track's
            last frame: 0 to 1. NaN at the first frame and after a gap.
    """

    smoothed: Floats
    change: float


class Smoother:
    """Exponential smoothing of probabilities in each track, by time: frames may be unevenly far apart.

    `s(t) = s(t') + (1 - exp(-(t - t') / T)) (p(t) - s(t'))`, from the frames before alone. After a gap it
    starts anew.

    Args:
        time_constant_s: T, the seconds after which a lasting change is shown by 63 %; 0 smooths nothing.
        gap_s: Seconds without a face from which on there is a gap.
    """

    def __init__(self, time_constant_s: float, gap_s: float) -> None:
        self._constant, self._gap_s = time_constant_s, gap_s
        self._last: dict[int, tuple[float, Floats, Floats]] = {}

    def __call__(self, track: int, time_s: float, probabilities: Floats) -> Step:
        """Take the probabilities `[C]` of a track's next frame."""
        before = self._last.get(track)
        smoothed, change = probabilities, float("nan")
        if before is not None and time_s - before[0] <= self._gap_s:
            elapsed, raw, earlier = time_s - before[0], before[1], before[2]
            change = float(np.abs(probabilities - raw).sum() / 2)
            if self._constant > 0:
                smoothed = earlier + (1 - np.exp(-elapsed / self._constant)) * (probabilities - earlier)
        self._last[track] = (time_s, probabilities, smoothed)
        self._last = {
            number: state for number, state in self._last.items() if time_s - state[0] <= self._gap_s
        }
        return Step(smoothed, change)
