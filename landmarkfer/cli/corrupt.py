"""`landmarkfer corrupt`: corrupted copies of training images, to be trained on beside them."""

import sys
from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.cli.extract import CropSize


@click.command(cls=Command)
@click.argument("cache", required=False)
@click.option(
    "--out", metavar="NAME|FOLDER", help="Where to write the new cache. [CACHE's name, and -corrupted]"
)
@click.option(
    "--corruption",
    "corruptions",
    multiple=True,
    metavar="NAME",
    help="Draw from this corruption; repeated, from these. [all]",
)
@click.option(
    "--crop", type=CropSize(), help="Store an aligned face of SIZE pixels instead of the image. [as CACHE]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes. [number of cores]")
@click.option(
    "--landmarker", type=click.Path(path_type=Path), help="The landmarker's model, face_landmarker.task."
)
@click.option(
    "--preview",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only draw every corruption at every severity into this picture.",
)
def corrupt(
    cache: str | None,
    out: str | None,
    corruptions: tuple[str, ...],
    crop: int | None,
    seed: int,
    workers: int | None,
    landmarker: Path | None,
    preview: Path | None,
) -> None:
    """Corrupt every image of CACHE but the test images, and look for faces in the corrupted images.

    Each image is blurred, darkened, rotated, partly hidden or the like, in one way and at one of five
    severities, both drawn at random; --preview draws them all. --corruption reframed makes them look as
    `predict` would see them in a photograph. The result is a cache of its own, which `train --set
    data.also=...` trains on beside the first. Interrupted, the same command resumes.

    \b
    Examples:
      landmarkfer corrupt --preview corruptions.png
      landmarkfer corrupt faces
      landmarkfer train --cache faces --set 'data.also=["faces-corrupted"]'
      landmarkfer corrupt faces --corruption mask --out masked --seed 1
      landmarkfer corrupt faces --corruption reframed --out faces-reframed
    """  # noqa: D301 (click wants the character, not a backslash)
    if preview is not None:
        from landmarkfer.reporting.corruption_sheet import write_corruption_sheet

        write_corruption_sheet(preview)
        click.echo(f"Wrote {preview}")
        return
    from landmarkfer.cli.extract_report import print_summary
    from landmarkfer.data.cache import LandmarkCache, cache_folder, find_cache
    from landmarkfer.extraction.corrupt import make_training_copies
    from landmarkfer.extraction.corruptions import CORRUPTIONS
    from landmarkfer.progress import show_progress

    found = LandmarkCache.open(find_cache(cache))
    folder = cache_folder(out or f"{found.path.name}-corrupted", found.path)
    try:
        with show_progress() as progress:
            summary = make_training_copies(
                found,
                folder,
                corruptions or tuple(CORRUPTIONS),
                seed=seed,
                crop=crop,
                workers=workers,
                landmarker=landmarker,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted. {folder} holds what was done; the same command resumes from there.", err=True
        )
        sys.exit(130)
    print_summary(summary)
