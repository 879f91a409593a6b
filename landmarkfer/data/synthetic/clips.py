"""Synthetic videos: synthetic faces that move, change their expression, cross, leave and come back.

For trying and testing what follows faces over time. Needs PyAV (`landmarkfer[video]`).

    actor = Actor(shape=(1.0, -1.0), expressions=((0.0, "neutral"), (2.0, "happy")), path=((0.0, 160, 240),))
    write_clip("clip.mp4", [Scene(4.0, (actor,))])
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.synthetic.action_units import EXPRESSIONS
from landmarkfer.data.synthetic.parameters import FaceParameters
from landmarkfer.data.synthetic.rendering import render
from landmarkfer.errors import extras_named

Pixels = NDArray[np.uint8]

_TICKS = 90_000
_SOUND_RATE = 16_000
_LEVELS = 6  # of an expression's intensity
_RISE_S = 0.4  # in which an expression appears


@dataclass(frozen=True)
class Actor:
    """One face of a scene.

    Attributes:
        shape: Of the face, see `parameters.FaceParameters`; faces of one shape are of one person.
        expressions: From which second on it shows which expression.
        path: `(second, x, y)` of the face's middle in pixels, straight between them.
        side: Of the square that shows the face, in pixels.
        seen: Seconds from and to which it is there.
    """

    shape: tuple[float, ...] = ()
    expressions: tuple[tuple[float, str], ...] = ((0.0, "neutral"),)
    path: tuple[tuple[float, float, float], ...] = ((0.0, 320.0, 240.0),)
    side: int = 200
    seen: tuple[tuple[float, float], ...] = ((0.0, float("inf")),)

    def at(self, time_s: float) -> tuple[Pixels, int, int] | None:
        """The picture of the face and its upper left corner; None where it is not there."""
        if not any(start <= time_s < stop for start, stop in self.seen):
            return None
        times, x, y = np.array(self.path, float).T
        label, since = "neutral", 0.0
        for start, name in self.expressions:
            if start <= time_s:
                label, since = name, start
        level = min(_LEVELS, round((time_s - since) / _RISE_S * _LEVELS))
        middle = (np.interp(time_s, times, x), np.interp(time_s, times, y))
        left, top = (round(float(place) - self.side / 2) for place in middle)
        return _picture(self.shape, label, level, self.side), left, top


@dataclass(frozen=True)
class Scene:
    """One shot: its length in seconds, its faces, those behind first, and the grey of the background."""

    seconds: float
    actors: tuple[Actor, ...] = ()
    background: int = 120

    def at(self, time_s: float, width: int, height: int) -> Pixels:
        """The picture at a time, uint8 `[height, width, 3]`."""
        image = np.full((height, width, 3), self.background, np.uint8)
        image[:, :: max(1, width // 16)] = self.background // 2  # something to see
        for actor in self.actors:
            found = actor.at(time_s)
            if found is not None:
                _paste(image, *found)
        return image


def clip_frames(
    scenes: Sequence[Scene], times: Sequence[float], size: tuple[int, int] = (640, 480)
) -> Iterator[Pixels]:
    """The pictures of scenes, one after the other, at times in seconds from the start of the first one."""
    starts = np.cumsum([0.0, *(scene.seconds for scene in scenes)])
    for time_s in times:
        number = min(int(np.searchsorted(starts, time_s, side="right")) - 1, len(scenes) - 1)
        yield scenes[number].at(time_s - starts[number], *size)


def even_times(scenes: Sequence[Scene], fps: float) -> list[float]:
    """The times of frames that are evenly apart."""
    return [number / fps for number in range(round(sum(scene.seconds for scene in scenes) * fps))]


def write_clip(
    path: str | Path,
    scenes: Sequence[Scene],
    *,
    fps: float = 25.0,
    size: tuple[int, int] = (640, 480),
    times: Sequence[float] | None = None,
    sound: bool = False,
) -> Path:
    """Write a video.

    Args:
        path: The file; its ending says which kind.
        scenes: One after the other.
        fps: Frames a second.
        size: Width and height in pixels.
        times: Of the frames, in seconds, where they are not evenly apart.
        sound: Whether it has a sound track, a quiet tone.

    Returns:
        The file.

    Raises:
        MissingExtra: PyAV is not installed.
    """
    with extras_named():
        import av
    at = even_times(scenes, fps) if times is None else list(times)
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        tone: Any = out.add_stream("aac", rate=_SOUND_RATE, layout="mono") if sound else None
        for time_s, pixels in zip(at, clip_frames(scenes, at, size), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * _TICKS), Fraction(1, _TICKS)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if tone is not None:
            wave = np.sin(np.arange(round(at[-1] * _SOUND_RATE)) * 2 * np.pi * 440 / _SOUND_RATE) / 20
            samples = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = _SOUND_RATE, 0
            out.mux(tone.encode(samples))
            out.mux(tone.encode())
    return Path(path)


@cache
def _picture(shape: tuple[float, ...], label: str, level: int, side: int) -> Pixels:
    intensities = {number: value * level / _LEVELS for number, value in EXPRESSIONS[label][0].items()}
    units = {number: (value, value) for number, value in intensities.items()}
    image, _ = render(FaceParameters(action_units=units, shape=shape), side)
    return np.rint(image).clip(0, 255).astype(np.uint8)


@cache
def _mask(side: int) -> NDArray[np.bool_]:
    """Where a picture shows the head rather than what is around it."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return np.asarray(np.square(x / 0.42) + np.square(y / 0.5) <= 1)[..., None]


def _paste(image: Pixels, picture: Pixels, left: int, top: int) -> None:
    height, width = image.shape[:2]
    side = len(picture)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x0 >= x1 or y0 >= y1:
        return
    cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    there = image[y0:y1, x0:x1]
    there[:] = np.where(_mask(side)[cut], picture[cut], there)
