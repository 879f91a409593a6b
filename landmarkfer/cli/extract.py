"""`landmarkfer extract`: images in, landmark cache out."""

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.cli.source_options import SOURCE_OPTIONS, source_options


class CropSize(click.ParamType):
    """`none`, or the side of the crop in pixels."""

    name = "SIZE|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the side in pixels, or None for no crop."""
        if value is None or str(value).lower() == "none":
            return None
        try:
            return click.IntRange(16, 1024).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither `none` nor a number of pixels from 16 to 1024.", param, ctx)


@click.command(cls=Command)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--cache", metavar="NAME|FOLDER", help="Where to write; a name lies under ./cache. [SOURCE's name]"
)
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes. [number of cores]")
@click.option(
    "--detector", type=click.Choice(["facemesh", "landmarker"]), help="[facemesh where there is one]"
)
@click.option(
    "--landmarker", type=click.Path(path_type=Path), help="The landmarker's model, face_landmarker.task."
)
@click.option(
    "--passes", type=click.IntRange(min=1), help="Detections of each image, averaged; 7 for small faces. [1]"
)
@click.option(
    "--retries", type=click.IntRange(min=0), help="Further tries where no face is found. [all there are]"
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Detector's score from which a face counts.")
@click.option("--max-faces", type=click.IntRange(min=1), help="How many faces to look for. [1]")
@click.option("--keep", type=click.Choice(["largest", "central"]), help="Which face of several. [largest]")
@click.option(
    "--crop", type=CropSize(), help="Store an aligned face of SIZE pixels instead of the image. [none]"
)
@click.option("--dry-run", is_flag=True, help="Print how SOURCE is read, and detect nothing.")
@source_options
def extract(
    source: Path,
    cache: str | None,
    workers: int | None,
    landmarker: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Find the face and its 478 landmarks in every image of SOURCE and store them in a cache.

    SOURCE is a folder, a .zip or a tar of images with class folders and split folders in any order, a CSV
    with the columns emotion,pixels,Usage, Parquet files or a folder of Hugging Face datasets, NumPy files, or
    a folder with a table of labels (--labels). How it is read is printed first; what can be read in two ways
    is refused. Interrupted, the same command resumes; on a finished cache it detects nothing.

    \b
    Examples:
      landmarkfer extract photos/
      landmarkfer extract photos/ --dry-run
      landmarkfer extract fer2013.zip --passes 7 --threshold 0.3
      landmarkfer extract photos.zip --labels labels.csv --cache faces
      landmarkfer extract DATASET/ --label-names 1=surprise --label-names 2=fear
      landmarkfer extract ck+/ --group-pattern ck+
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.extract_report import interruption_text, print_source, print_summary
    from landmarkfer.data.cache import cache_folder
    from landmarkfer.extraction.pipeline import extract as run
    from landmarkfer.extraction.settings import make_settings
    from landmarkfer.extraction.sources.open import open_source
    from landmarkfer.progress import show_progress

    reading = {name: options.pop(name) for name in SOURCE_OPTIONS}
    settings = make_settings({name: value for name, value in options.items() if value is not None})
    with show_progress() as progress:
        images = open_source(source, progress, **reading)
    print_source(images)
    if dry_run:
        return
    folder = cache_folder(cache, source)
    try:
        with show_progress() as progress:
            summary = run(
                images,
                folder,
                settings,
                workers=workers,
                landmarker=landmarker,
                task=images.name,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(interruption_text(folder, len(images.entries)), err=True)
        sys.exit(130)
    print_summary(summary)
