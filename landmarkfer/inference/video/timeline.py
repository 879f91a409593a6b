"""The timeline of a video, written as it goes: what was tracked is on the disk whatever happens next.

`timeline.csv` has a row per face and frame, see `frame`. `timeline.json` is valid at any time: what was
tracked and how, the frames so far, and at the end a summary of each track, with `"complete": true`.
"""

import csv
import io
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from landmarkfer.errors import SourceError
from landmarkfer.inference.video.annotate import ANNOTATED
from landmarkfer.inference.video.frame import TrackedFrame

TIMELINE = "timeline"


class TimelineWriter:
    """Writes the timeline of one video; use it as a context manager.

    Args:
        folder: Made if need be.
        header: What is tracked and how, plain values.
        overwrite: Whether a timeline that lies there is replaced.

    Attributes:
        frames: Frames written.

    Raises:
        SourceError: The folder cannot be written, or holds a timeline that is not to be replaced.
    """

    def __init__(self, folder: Path, header: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder = folder
        self.table_file, self.json_file = (folder / f"{TIMELINE}.{kind}" for kind in ("csv", "json"))
        self.frames = 0
        self._header, self._overwrite = header, overwrite
        self._table: IO[bytes] | None = None
        self._json: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> "TimelineWriter":
        if self.table_file.is_file() and not self._overwrite:
            raise SourceError(
                f"{self.folder} holds {self.table_file.name} already; give another --out, or --overwrite to "
                "replace it and what lies beside it."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (f"{TIMELINE}.png", ANNOTATED):  # they are of the earlier timeline
                (self.folder / name).unlink(missing_ok=True)
            self._table, self._json = self.table_file.open("wb"), self.json_file.open("wb")
            start = json.dumps({**self._header, "frames": []}, ensure_ascii=False, indent=1)
            self._json.write(start.removesuffix("]\n}").encode())
            self._end = self._json.tell()
            self._close_json({"complete": False})
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (self._table, self._json):
            if file is not None:
                file.close()

    def write(self, frame: TrackedFrame) -> None:
        """Append a frame.

        Raises:
            SourceError: The folder cannot be written.
        """
        assert self._table is not None and self._json is not None
        try:
            rows, text = frame.rows, io.StringIO()
            lines = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            if not self.frames:
                lines.writeheader()
            lines.writerows(rows)
            self._table.write(text.getvalue().encode())
            self._table.flush()
            self._json.seek(self._end)
            line = json.dumps(frame.to_dict(), ensure_ascii=False)
            self._json.write((",\n" if self.frames else "\n").encode() + line.encode())
            self._end = self._json.tell()
            self._close_json({"complete": False})
            self.frames += 1
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, summary: dict[str, Any]) -> None:
        """State that the video was tracked to its end, with its summary.

        Raises:
            SourceError: The folder cannot be written.
        """
        assert self._json is not None
        try:
            self._json.seek(self._end)
            self._close_json({**summary, "complete": True})
            os.fsync(self._json.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def _close_json(self, rest: dict[str, Any]) -> None:
        """End the list of frames and the whole; the next frame is written over it."""
        assert self._json is not None
        text = json.dumps(rest, ensure_ascii=False, indent=1)
        self._json.write(f"\n],\n{text.removeprefix('{').lstrip()}\n".encode())
        self._json.truncate()
        self._json.flush()

    def _failed(self, error: OSError) -> SourceError:
        return SourceError(f"cannot write to {self.folder}: {error.strerror or error}.")
