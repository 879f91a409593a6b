"""`landmarkfer extract`: images in, landmark cache out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from landmarkfer.extraction.sources.tree.layouts import Layout


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


@click.command()
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
@click.option(
    "--layout",
    type=click.Choice(["auto", "classes", "unlabelled"]),
    default="auto",
    help="Whether folder names are labels. [auto]",
)
@click.option(
    "--labels", type=click.Path(exists=True, path_type=Path), help="A CSV or Parquet table of labels."
)
@click.option("--path-column", help="The table's column of image paths.")
@click.option("--label-column", help="The table's column of labels.")
@click.option("--split-column", help="The table's column of splits.")
def extract(
    source: Path,
    cache: str | None,
    workers: int | None,
    landmarker: Path | None,
    layout: "Layout",
    labels: Path | None,
    path_column: str | None,
    label_column: str | None,
    split_column: str | None,
    **options: Any,
) -> None:
    """Find the face and its 478 landmarks in every image of SOURCE and store them in a cache.

    SOURCE is a folder or a .zip of images (class folders, with or without split folders above them), a CSV
    with the columns emotion,pixels,Usage, or a folder with a table of labels (--labels). Interrupted, the
    same command resumes; on a finished cache it detects nothing.

    \b
    Examples:
      landmarkfer extract photos/
      landmarkfer extract fer2013.zip --passes 7 --threshold 0.3
      landmarkfer extract photos.zip --labels labels.csv --cache faces
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.extract_report import interruption_text, print_summary
    from landmarkfer.data.cache import cache_folder
    from landmarkfer.extraction.pipeline import extract as run
    from landmarkfer.extraction.settings import make_settings
    from landmarkfer.extraction.sources.open import open_source
    from landmarkfer.progress import show_progress

    settings = make_settings({name: value for name, value in options.items() if value is not None})
    images = open_source(
        source,
        layout=layout,
        labels=labels,
        path_column=path_column,
        label_column=label_column,
        split_column=split_column,
    )
    for remark in images.remarks:
        click.echo(remark, err=True)
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
