"""What a track shows on the whole: shares of the time, changes of the label, and intervals.

Frames next to each other are alike, so intervals are bootstrapped over blocks of `BLOCK_S` seconds instead of
frames (Künsch 1989): they say what another stretch of the same scene might show, not another scene.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmarkfer.inference.video.frame import TrackedFrame
from landmarkfer.metrics.bootstrap import LEVEL, RESAMPLES, percentiles

Floats = NDArray[np.float64]

BLOCK_S = 2.0


@dataclass(eq=False)
class _OfTrack:
    """Sums of one track, by blocks of time: memory grows by a few numbers for each block."""

    label: int
    since_s: float
    first_s: float
    last_s: float
    frames: int = 0
    stretches: dict[int, list[float]] = field(default_factory=dict)
    transitions: dict[tuple[int, int], int] = field(default_factory=dict)
    blocks: dict[int, Floats] = field(default_factory=dict)  # sums of probabilities and of labels, [2 C + 1]


class TrackSummaries:
    """Gathers frames, and sums each track up.

    Args:
        classes: Names, C of them.
        gap_s: Seconds without a face from which on there is a gap, which ends a stretch of a label.
    """

    def __init__(self, classes: tuple[str, ...], gap_s: float) -> None:
        self._classes, self._gap_s = classes, gap_s
        self._tracks: dict[int, _OfTrack] = {}
        self.frames = 0
        self.without_face = 0
        self.cuts = 0

    def add(self, frame: TrackedFrame) -> None:
        """Take the next frame."""
        self.frames += 1
        self.cuts += frame.cut
        self.without_face += all(track is None for track in frame.tracks)
        for row, track in enumerate(frame.tracks):
            if track is not None:
                self._add(track, frame.time_s, frame.faces.probabilities[row], frame.smoothed[row])

    def _add(self, track: int, time_s: float, probabilities: Floats, smoothed: Floats) -> None:
        label, count = int(smoothed.argmax()), len(self._classes)
        known = self._tracks.setdefault(track, _OfTrack(label, time_s, time_s, time_s))
        gap = time_s - known.last_s > self._gap_s
        if gap or label != known.label:
            until = known.last_s if gap else time_s
            known.stretches.setdefault(known.label, []).append(until - known.since_s)
            if not gap:
                pair = (known.label, label)
                known.transitions[pair] = known.transitions.get(pair, 0) + 1
            known.label, known.since_s = label, time_s
        known.last_s = time_s
        known.frames += 1
        sums = known.blocks.setdefault(int(time_s // BLOCK_S), np.zeros(2 * count + 1))
        sums[:count] += probabilities
        sums[count + label] += 1
        sums[-1] += 1

    def result(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "frames_tracked": self.frames,
            "frames_without_face": self.without_face,
            "cuts": self.cuts,
            "interval": f"{LEVEL:.0%}, bootstrap over blocks of {BLOCK_S:g} s",
            "tracks": [self._of(number, track) for number, track in sorted(self._tracks.items())],
        }

    def _of(self, number: int, track: _OfTrack) -> dict[str, Any]:
        count = len(self._classes)
        blocks = np.stack(list(track.blocks.values()))  # [B, 2 C + 1]
        shares = blocks.sum(axis=0)[:-1] / blocks[:, -1].sum()
        ends = _intervals(blocks)
        stretches = {label: list(found) for label, found in track.stretches.items()}
        stretches.setdefault(track.label, []).append(track.last_s - track.since_s)

        def named(values: Floats, intervals: Floats) -> dict[str, Any]:
            return {
                name: {"mean": round(float(value), 6), "low": _rounded(low), "high": _rounded(high)}
                for name, value, (low, high) in zip(self._classes, values, intervals, strict=True)
            }

        return {
            "track": number,
            "frames": track.frames,
            "first_s": round(track.first_s, 6),
            "last_s": round(track.last_s, 6),
            "share_of_frames": named(shares[count:], ends[count:]),
            "probability": named(shares[:count], ends[:count]),
            "dwell_s": {
                self._classes[label]: {
                    "times": len(found),
                    "mean": round(float(np.mean(found)), 6),
                    "longest": round(max(found), 6),
                }
                for label, found in sorted(stretches.items())
            },
            "transitions": [
                {"from": self._classes[one], "to": self._classes[other], "times": times}
                for (one, other), times in sorted(track.transitions.items(), key=lambda item: -item[1])
            ],
        }


def _intervals(blocks: Floats) -> Floats:
    """Percentile intervals `[2 C, 2]` of the means over frames; NaN of a single block."""
    if len(blocks) < 2:
        return np.full((blocks.shape[1] - 1, 2), np.nan)
    rng = np.random.default_rng(0)
    times = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=RESAMPLES)  # [R, B]
    sums = times @ blocks
    return percentiles(sums[:, :-1] / sums[:, -1:], LEVEL)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
