"""`landmarkfer track`: videos in, expression over time out."""

from pathlib import Path
from typing import Any

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.argument("videos", nargs=-1, metavar="[VIDEO...]")
@click.option(
    "--camera", type=click.IntRange(min=0), metavar="N", help="Follow a camera live; 0 is the first."
)
@click.option("--seconds", type=float, help="Of the camera. [until q, Esc or Ctrl-C]")
@click.option(
    "--run", "model", metavar="RUN|FILE", help="A run, an .onnx export, `fusion` or `landmarks`. [fusion]"
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the timelines, a folder a video.")
@click.option("--fps", type=float, metavar="N", help="Take at most N frames a second. [all]")
@click.option("--draw", is_flag=True, help="Write the annotated video, with its sound.")
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", help="Of each frame. [all]")
@click.option(
    "--search",
    type=click.Choice(["video", "image"]),
    default="video",
    help="Follow faces, or search each frame: slower, finds smaller ones. [video]",
)
@click.option(
    "--smoothing", type=float, default=0.5, metavar="SECONDS", help="Time constant; 0 for none. [0.5]"
)
@click.option("--overwrite", is_flag=True, help="Replace a timeline in OUT.")
@click.option("--abstain", type=float, metavar="ACCURACY", help="No label below it, as 0.8; see predict.")
@click.option("--device", default="auto", help="Of a run: auto, cpu, cuda or mps. [auto]")
@click.option("--landmarker", type=click.Path(path_type=Path), help="The landmarker's model file.")
def track(
    videos: tuple[str, ...],
    camera: int | None,
    seconds: float | None,
    model: str | None,
    out: Path | None,
    smoothing: float,
    abstain: float | None,
    device: str,
    landmarker: Path | None,
    **options: Any,
) -> None:
    """Track the expressions of the faces of videos over time.

    Prints what each face shows on the whole. With --out, each video gets a folder in OUT: timeline.csv and
    timeline.json with a row per face and frame, written as the video goes, and timeline.png. Faces keep their
    number over time. Probabilities are given as they are and smoothed. With --camera, a window shows the
    newest frame with its faces.

    \b
    Examples:
      landmarkfer track clip.mp4
      landmarkfer track clip.mp4 --fps 5 --out timelines
      landmarkfer track *.mp4 --out timelines --draw --faces largest
      landmarkfer track --camera 0
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.predict_report import print_model
    from landmarkfer.cli.track_report import print_live, print_timeline
    from landmarkfer.errors import SettingsError, SourceError
    from landmarkfer.inference.load import load_predictor
    from landmarkfer.inference.video.live import Window, show_live
    from landmarkfer.inference.video.newest import Camera, Newest
    from landmarkfer.inference.video.session import folders_of
    from landmarkfer.progress import show_progress

    if bool(videos) == (camera is not None):
        raise click.UsageError("give videos, or --camera N.")
    if seconds is not None and camera is None:
        raise click.UsageError("--seconds is of a camera; a video is tracked to its end.")
    predictor = load_predictor(model, device=device, landmarker=landmarker)
    print_model(predictor)
    wanted = {**options, "smoothing_s": smoothing, "accuracy": abstain}
    if camera is not None:
        source = Newest(Camera(camera))
        with Window(source.name, seconds) as window:
            if not window.display and out is None:
                raise SettingsError("there is no display for a window; give --out FOLDER for the timeline.")
            tracking = predictor.track(source, out=out, **wanted)
            print_live(show_live(tracking, source, window))
        print_timeline(source.name, out, tracking.summary)
        return
    failed = []
    for video, folder in folders_of(videos, out).items():
        try:
            with show_progress() as progress:
                summary = predictor.track(video, out=folder, progress=progress, **wanted).run()
        except SourceError as error:
            if len(videos) == 1:
                raise
            failed.append(video)
            click.echo(f"Error: {error}", err=True)
        else:
            print_timeline(video, folder, summary)
    if failed:
        raise SourceError(f"{len(failed)} of {len(videos)} videos could not be tracked.")
