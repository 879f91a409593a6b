"""The annotated video: each tracked frame with its faces drawn, at its own time, and the sound."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from landmarkfer.errors import SourceError, extras_named
from landmarkfer.inference.video.frame import TrackedFrame

ANNOTATED = "annotated.mp4"
_TICKS = 90_000  # a second
_FRAGMENT_S = 1.0
# Each with options that let no frame wait for later ones.
_CODECS = {"libx264": {"preset": "veryfast", "tune": "zerolatency"}, "libopenh264": {}, "mpeg4": {"bf": "0"}}


class AnnotatedVideo:
    """Writes the annotated video; use it as a context manager.

    Args:
        path: The file, `.mp4`.
        source: The video whose sound is copied; None for none.
        rate: Frames a second, roughly.

    Raises:
        SourceError: The file cannot be written.
    """

    def __init__(self, path: Path, source: Path | None, rate: float) -> None:
        with extras_named():
            import av  # noqa: F401
        self.path = path
        self._source, self._rate = source, rate
        self._out: Any = None
        self._pictures: Any = None
        self._sound: Iterator[Any] = iter(())
        self._waiting: Any = None
        self._sound_in: Any = None

    def __enter__(self) -> "AnnotatedVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        """End the file, so that it can be played, also after an error."""
        if self._out is None:
            return
        try:
            self._out.mux(self._pictures.encode())
            self._copy_sound(float("inf") if exception[0] is None else 0.0)
        finally:
            self._out.close()
            if self._sound_in is not None:
                self._sound_in.close()

    def write(self, frame: TrackedFrame, time_s: float) -> None:
        """Append a frame.

        Args:
            frame: What was tracked.
            time_s: When it is shown, on the clock of the source.

        Raises:
            SourceError: The file cannot be written.
        """
        import av

        picture = np.asarray(frame.draw())
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]  # what H.264 can hold
        try:
            if self._out is None:
                self._open(picture.shape[1], picture.shape[0])
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if (image.width, image.height) != (self._pictures.width, self._pictures.height):
                image = image.reformat(self._pictures.width, self._pictures.height)
            image.pts, image.time_base = round(time_s * _TICKS), Fraction(1, _TICKS)
            self._out.mux(self._pictures.encode(image))
            self._copy_sound(time_s)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"cannot write {self.path}: {error.strerror or error}.") from error

    def _open(self, width: int, height: int) -> None:
        import av

        # In fragments, so that what was written can be played also where the process was killed.
        fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._out = av.open(str(self.path), "w", options=fragments)
        codec = next(name for name in _CODECS if name in av.codecs_available)
        rate = Fraction(self._rate or 25).limit_denominator(1001)
        pictures = self._out.add_stream(codec, rate=rate, options=_CODECS[codec])
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, _TICKS)
        pictures.codec_context.gop_size = max(1, round(_FRAGMENT_S * (self._rate or 25)))
        self._pictures = pictures
        if self._source is None:
            return
        self._sound_in = av.open(str(self._source))
        if self._sound_in.streams.audio:
            stream = self._sound_in.streams.audio[0]
            copied = self._out.add_stream_from_template(stream)
            self._sound = self._packets(stream, copied)

    def _packets(self, stream: Any, copied: Any) -> Iterator[Any]:
        """The packets of the sound, as far as they can be read."""
        import av

        packets = self._sound_in.demux(stream)
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.FFmpegError):
                return
            # Before zero lies what only starts the decoder, and fragments cannot say so.
            if packet.dts is not None and packet.dts >= 0:
                packet.stream = copied
                yield packet

    def _copy_sound(self, until_s: float) -> None:
        while True:
            packet = self._waiting or next(self._sound, None)
            if packet is None:
                return
            if packet.pts is not None and packet.pts * packet.time_base > until_s:
                self._waiting = packet
                return
            self._waiting = None
            self._out.mux(packet)
