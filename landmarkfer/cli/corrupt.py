"""`landmarkfer corrupt`: corrupted copies of training images, to be trained on beside them."""

import sys
from pathlib import Path

import rich_click as click


@click.command()
@click.argument("source", metavar="CACHE")
@click.option("--cache", metavar="NAME|FOLDER", help="Where to write. [CACHE's name, and -corrupted]")
@click.option("--corruptions", metavar="NAME,...", help="Draw from these. [all]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes. [number of cores]")
@click.option(
    "--landmarker", type=click.Path(path_type=Path), help="The landmarker's model, face_landmarker.task."
)
def corrupt(
    source: str,
    cache: str | None,
    corruptions: str | None,
    seed: int,
    workers: int | None,
    landmarker: Path | None,
) -> None:
    """Blur, darken, turn or hide a part of every image of CACHE but the test images, and look for faces anew.

    Each image is corrupted in one way, at one of five strengths, drawn at random (`robustness --show` draws
    them all). `train --set data.also=...` trains on the copies beside the images themselves. Stopped, it goes
    on where it was.

    \b
    Examples:
      landmarkfer corrupt fer2013
      landmarkfer train --model mlp --cache fer2013 --set 'data.also=["fer2013-corrupted"]'
      landmarkfer corrupt fer2013 --corruptions occluded-eyes,mask --cache fer2013-hidden --seed 1
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.extract_report import cache_folder, print_summary
    from landmarkfer.data.cache import LandmarkCache, find_cache
    from landmarkfer.extraction.corrupt import make_training_copies
    from landmarkfer.extraction.corruptions import CORRUPTIONS
    from landmarkfer.progress import show_progress

    found = LandmarkCache.open(find_cache(source))
    folder = cache_folder(cache or f"{found.path.name}-corrupted", found.path)
    try:
        with show_progress() as progress:
            summary = make_training_copies(
                found,
                folder,
                corruptions.split(",") if corruptions else tuple(CORRUPTIONS),
                seed=seed,
                workers=workers,
                landmarker=landmarker,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo(
            f"Stopped. What is done is safe in {folder}; the same command goes on from there.", err=True
        )
        sys.exit(130)
    print_summary(summary)
