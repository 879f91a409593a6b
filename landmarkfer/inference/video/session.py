"""A video tracked and stored: the frames are streamed, and what was streamed is on the disk."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from landmarkfer.errors import SettingsError, SourceError
from landmarkfer.inference.options import Options
from landmarkfer.inference.video.annotate import ANNOTATED, AnnotatedVideo
from landmarkfer.inference.video.clip import Clip
from landmarkfer.inference.video.frame import TrackedFrame
from landmarkfer.inference.video.summary import TrackSummaries
from landmarkfer.inference.video.timeline import TIMELINE, TimelineWriter
from landmarkfer.inference.video.tracking import FaceModel, FrameSource, TrackOptions, track_frames
from landmarkfer.progress import Progress, shown


class Tracking(Iterator[TrackedFrame]):
    """The tracking of one video: iterate over it for the frames, or `run` it for what it writes.

    It starts with the first frame that is asked for. When it is closed, also by the end of a `with` block,
    all frames so far are in the folder.

    Args:
        model: Predicts the faces.
        source: The frames.
        options: How they are tracked.
        prediction: How faces are predicted.
        out: Folder of `timeline.csv`, `timeline.json` and `timeline.png`; None writes nothing.
        draw: Whether the annotated video is written there too.
        overwrite: Whether a timeline that lies there is replaced.
        landmarker: The model file of the `landmarker` detector.
        progress: True shows a bar; or where to report to.

    Attributes:
        folder: `out`.

    Raises:
        SettingsError: The annotated video has no folder to be written to.
    """

    def __init__(
        self,
        model: FaceModel,
        source: FrameSource,
        options: TrackOptions,
        prediction: Options,
        *,
        out: Path | None = None,
        draw: bool = False,
        overwrite: bool = False,
        landmarker: Path | None = None,
        progress: Progress | bool = False,
    ) -> None:
        if draw and out is None:
            raise SettingsError("an annotated video needs a folder to be written to; give out.")
        self.folder = out
        self._model, self._source, self._options = model, source, options
        self._draw, self._overwrite = draw, overwrite
        self._summaries = TrackSummaries(model.info.classes, options.gap_s(source.rate))
        self._frames = self._tracked(prediction, landmarker, progress)

    def __next__(self) -> TrackedFrame:
        return next(self._frames)

    def __enter__(self) -> "Tracking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and complete the files with the frames so far."""
        self._frames.close()

    def run(self) -> dict[str, Any]:
        """Track the video to its end.

        Returns:
            The summary.
        """
        for _ in self:
            pass
        return self.summary

    @property
    def summary(self) -> dict[str, Any]:
        """What the tracks show on the whole, as far as the video was tracked; see `video.summary`."""
        damaged = self._source.damaged if isinstance(self._source, Clip) else 0
        return {"damaged_packets": damaged, **self._summaries.result()}

    @property
    def header(self) -> dict[str, Any]:
        """What is tracked and how."""
        options = asdict(self._options)
        return {
            "video": self._source.name,
            "model": self._model.info.name,
            "detector": self._model.extraction.detector,
            "smoothing": {"method": "exponential", "time_constant_s": options.pop("smoothing_s")},
            "landmark_smoothing": "none",
            "gap_s": round(self._options.gap_s(self._source.rate), 6),
            **options,
        }

    def _tracked(
        self, prediction: Options, landmarker: Path | None, progress: Progress | bool
    ) -> Generator[TrackedFrame]:
        source, task = self._source, f"tracking {Path(self._source.name).name}"
        total = self._expected()
        with ExitStack() as opened:
            report = opened.enter_context(shown(progress))
            writer = video = None
            if self.folder is not None:
                writer = opened.enter_context(
                    TimelineWriter(self.folder, self.header, overwrite=self._overwrite)
                )
                opened.callback(self._plot)
                if self._draw:
                    sound = source.path if isinstance(source, Clip) and source.has_sound else None
                    rate = min(source.rate or 25.0, self._options.fps or 1e9)
                    video = opened.enter_context(AnnotatedVideo(self.folder / ANNOTATED, sound, rate))
            report(task, 0, total)
            try:
                for frame in track_frames(self._model, source, self._options, prediction, landmarker):
                    self._summaries.add(frame)
                    if writer is not None:
                        writer.write(frame)
                    if video is not None:
                        start = source.start_s if isinstance(source, Clip) else 0.0
                        video.write(frame, frame.time_s + start)
                    report(task, self._summaries.frames, max(total, self._summaries.frames))
                    yield frame
            except KeyboardInterrupt:
                stored = "" if writer is None else f"{writer.table_file} holds the frames so far."
                raise KeyboardInterrupt(stored) from None
            report(task, self._summaries.frames, self._summaries.frames)
            if writer is not None:
                writer.finish({"summary": self.summary})

    def _expected(self) -> int:
        """How many frames will be taken, as far as it is known."""
        if not isinstance(self._source, Clip):
            return 0
        rate, fps = self._source.rate, self._options.fps
        if fps is None or not rate or fps >= rate:
            return self._source.frames_stated
        return round(self._source.duration_s * fps)

    def _plot(self) -> None:
        """Draw the timeline of what was written."""
        from landmarkfer.reporting.timeline import write_timeline_figure

        assert self.folder is not None
        if not self._summaries.frames:
            return
        try:
            write_timeline_figure(self.folder / f"{TIMELINE}.csv", self.folder / f"{TIMELINE}.png")
        except OSError as error:
            raise SourceError(f"cannot write to {self.folder}: {error.strerror or error}.") from error


def folders_of(videos: Sequence[str], out: Path | None) -> dict[str, Path | None]:
    """A folder in `out` for each video, of its name, with a number where two have the same."""
    if out is None:
        return dict.fromkeys(videos)
    folders: dict[str, Path | None] = {}
    for video in videos:
        stem, number = Path(video).stem, 1
        while (folder := out / (stem if number == 1 else f"{stem}-{number}")) in folders.values():
            number += 1
        folders[video] = folder
    return folders
