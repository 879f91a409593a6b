"""Videos as sequences of frames: so many a second, each an image, all of one group."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from landmarkfer.errors import SourceError, extras_named
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.containers.folder import FolderReader
from landmarkfer.extraction.sources.entry import Key
from landmarkfer.progress import SILENT, Progress

_AHEAD = 3.0
"""Seconds up to which frames are decoded to reach the next one, rather than sought."""


@dataclass
class VideoReader:
    """Reads frames of videos and image files below a folder.

    Keys are `<path>` of image files and `<path>#<seconds>` of frames.
    """

    root: str
    _path: str = field(default="", init=False, repr=False)
    _container: Any = field(default=None, init=False, repr=False)
    _frames: Any = field(default=None, init=False, repr=False)
    _at: float = field(default=-1.0, init=False, repr=False)

    def __reduce__(self) -> tuple[type["VideoReader"], tuple[str]]:
        return VideoReader, (self.root,)

    def read(self, key: Key) -> bytes | np.ndarray:
        """Return a frame, `uint8 [H, W, 3]`, or an image file's bytes; see `Reader.read`."""
        path, sign, seconds = str(key).rpartition("#")
        if not sign:
            return FolderReader(self.root).read(key)
        try:
            return self._frame(path, float(seconds))
        except UnreadableImage:
            raise
        except Exception as error:
            # PyAV raises many kinds of errors on damaged files.
            self._close()
            raise UnreadableImage(f"damaged: {error}") from error

    def _frame(self, path: str, seconds: float) -> np.ndarray:
        import av

        if path != self._path or seconds <= self._at or seconds - self._at > _AHEAD:
            if path != self._path:
                self._close()
                self._container = av.open(str(Path(self.root) / path))
                self._path = path
            stream = self._container.streams.video[0]
            self._container.seek(int(max(0.0, seconds - 0.01) / stream.time_base), stream=stream)
            self._frames = self._container.decode(stream)
        for frame in self._frames:
            self._at = float(frame.time or 0.0)
            if self._at >= seconds - 1e-3:
                return frame.to_ndarray(format="rgb24")
        raise UnreadableImage(f"the video ends before {seconds:g} s")

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._path, self._container, self._frames, self._at = "", None, None, -1.0


def list_frames(
    root: Path, names: Sequence[str], fps: float, progress: Progress = SILENT
) -> list[tuple[str, str]]:
    """The frames of videos.

    Args:
        root: Folder that the names are relative to.
        names: The videos.
        fps: Frames a second.
        progress: Reports the videos opened.

    Returns:
        Ids, `<video>#<seconds>`, and keys. A video that cannot be opened is one frame at 0 s, which will say
        why.

    Raises:
        MissingExtra: PyAV is not installed.
        SourceError: `fps` is not above 0.
    """
    if not fps > 0:
        raise SourceError(f"--fps is {fps:g}; give frames a second above 0.")
    with extras_named():
        import av
    frames = []
    for number, name in enumerate(names):
        progress("opening videos", number, len(names))
        try:
            with av.open(str(root / name)) as container:
                stream = container.streams.video[0]
                rate = float(stream.average_rate or 25)
                length = (
                    float((stream.duration or 0) * (stream.time_base or 0))
                    or float(container.duration or 0) / 1e6
                )
        except (av.FFmpegError, IndexError, OSError, ValueError):
            rate, length = fps, 0.0
        last = max(0.0, length - 1 / rate)
        count = int(last * min(fps, rate) + 1e-6) + 1
        step = 1 / min(fps, rate)
        frames += [(f"{name}#{place * step:09.3f}", f"{name}#{place * step:.3f}") for place in range(count)]
    progress("opening videos", len(names), len(names))
    return frames
