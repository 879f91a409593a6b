"""Videos read frame by frame, in order and once, so that time and memory do not grow with their length.

Times are those that the video states, in seconds from its first picture; frames need not be equally far
apart. A frame is upright: the rotation that a phone notes beside the picture is applied.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmarkfer.errors import SourceError, extras_named

MOST_DAMAGED = 1000
"""Damaged packets in a row after which the rest of a video is given up."""


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One picture of a video.

    Attributes:
        number: Of the frame in the video, from 0.
        time_s: Seconds from the first picture.
        pixels: uint8 `[H, W, 3]`, RGB, upright.
    """

    number: int
    time_s: float
    pixels: NDArray[np.uint8]


@dataclass(eq=False)
class Clip:
    """A video file.

    Attributes:
        path: The file.
        frames_stated: Frames as its header has it, or as follows from duration and rate; 0 if unknown.
        rate: Frames a second, on average; 0 if unknown.
        duration_s: As the header has it; 0 if unknown.
        has_sound: Whether it has a sound track.
        start_s: Time of the first picture on the clock of the file, once it was read.
        damaged: Packets that could not be decoded, as far as the video was read.
    """

    path: Path
    frames_stated: int
    rate: float
    duration_s: float
    has_sound: bool
    start_s: float = 0.0
    damaged: int = 0

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return str(self.path)

    def frames(self, fps: float | None = None) -> Iterator[VideoFrame]:
        """The pictures, in order.

        Args:
            fps: The most pictures a second; all of them if None. Of each stretch of `1 / fps` seconds, the
                first picture is taken.

        Raises:
            SourceError: Nothing of the video can be decoded.
        """
        return sampled(self._decoded(), fps)

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        number, last = 0, float("-inf")
        self.damaged = in_a_row = 0
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            while in_a_row < MOST_DAMAGED:
                try:
                    packet = next(packets)
                    decoded = packet.decode()
                except StopIteration:
                    break
                except av.FFmpegError:
                    self.damaged += 1
                    in_a_row += 1
                    continue
                for frame in decoded:
                    in_a_row = 0
                    last = self._time(frame.time, last)
                    self.start_s = last if number == 0 else self.start_s
                    yield VideoFrame(number, last - self.start_s, _upright(frame))
                    number += 1
        if number == 0:
            raise SourceError(f"{self.path}: no picture of this video can be decoded; it is damaged.")

    def _time(self, stated: float | None, last: float) -> float:
        """A frame's time; where it states none, or none later than the last, it follows the last."""
        if stated is not None and stated > last:
            return stated
        return last + 1 / (self.rate or 25.0) if np.isfinite(last) else 0.0


def open_clip(path: str | Path) -> Clip:
    """Open a video.

    Args:
        path: The file.

    Raises:
        MissingExtra: PyAV is not installed.
        SourceError: There is no such file, it is no video, or it has sound alone.
    """
    with extras_named():
        import av
    file = Path(path)
    if not file.is_file():
        raise SourceError(f"there is no video {file}.")
    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                what = "sound, but no pictures" if container.streams.audio else "no pictures"
                raise SourceError(f"{file} holds {what}; give a video with a face in it.")
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            length = float((stream.duration or 0) * (stream.time_base or 0))
            length = length or float(container.duration or 0) / 1e6
            count = stream.frames or round(length * rate)
            return Clip(file, count, rate, length, bool(container.streams.audio))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{file} cannot be read as a video: {reason}.") from error


def sampled(frames: Iterable[VideoFrame], fps: float | None) -> Iterator[VideoFrame]:
    """The first frame of each stretch of `1 / fps` seconds; every frame if `fps` is None."""
    if fps is None:
        yield from frames
        return
    due = 0.0
    for frame in frames:
        if frame.time_s >= due - 1e-6:
            yield frame
            due = (np.floor(frame.time_s * fps + 1e-6) + 1) / fps


def _upright(frame: Any) -> NDArray[np.uint8]:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
