"""`landmarkfer robustness`: what blur, darkness, masks and the like do to trained systems."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--images", type=click.IntRange(min=1), default=500, show_default=True, help="How many test images."
)
@click.option(
    "--corruption",
    "corruptions",
    multiple=True,
    metavar="NAME",
    help="Only this corruption; repeated, these. [all]",
)
@click.option("--baseline", metavar="NAME", help="The system that the others are tested against. [the first]")
@click.option(
    "--cache",
    "of_caches",
    multiple=True,
    metavar="CACHE",
    help="Whose test images, of runs that were trained on several caches; repeated where these differ.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes of the detection. [cores]")
@click.option(
    "--landmarker", type=click.Path(path_type=Path), help="The landmarker's model, face_landmarker.task."
)
@click.option("--page", default="robustness", show_default=True, help="Name of the page.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("experiments/results"),
    show_default=True,
    help="Folder for the page, the CSV and the picture.",
)
@click.option(
    "--caches",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("cache"),
    show_default=True,
    help="Folder for the corrupted images.",
)
def robustness(
    runs: tuple[str, ...],
    images: int,
    corruptions: tuple[str, ...],
    baseline: str | None,
    of_caches: tuple[str, ...],
    workers: int | None,
    landmarker: Path | None,
    page: str,
    out: Path,
    caches: Path,
) -> None:
    """Evaluate RUNs on test images that are blurred, noisy, dark, compressed, small, rotated or half hidden.

    Each image is corrupted before a face is looked for in it, at five severities, so that faces which are not
    found any more count. Runs that differ by their seed alone are one system; NAME=RUN,RUN names one by its
    seeds, and RUN+RUN in place of a run averages probabilities. Writes a Markdown report with paired tests,
    its CSV and a figure. Images and predictions are stored: an interrupted suite resumes.

    \b
    Examples:
      landmarkfer robustness mlp-s0 mlp-s1 gnn-tesselation-s0
      landmarkfer robustness 'fused-s*' 'pixels-s*' --baseline pixels
      landmarkfer robustness mlp-s0 'both=mlp-s0+gnn-s0' --corruption mask
      landmarkfer robustness mlp-s0 both-s0 --cache fer2013
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.evaluation.robustness.run import robustness as run_robustness
    from landmarkfer.evaluation.systems import read_systems
    from landmarkfer.extraction.corruptions import CORRUPTIONS
    from landmarkfer.progress import show_progress

    with show_progress() as progress:
        written = run_robustness(
            read_systems(runs),
            images=images,
            corruptions=corruptions or tuple(CORRUPTIONS),
            baseline=baseline,
            page=page,
            caches=of_caches,
            results_root=out,
            caches_root=caches,
            workers=workers,
            landmarker=landmarker,
            progress=progress,
        )
    click.echo(f"Report: {written}; figures: {written.with_suffix('.csv')}")
