"""`landmarkfer robustness`: what blur, darkness, masks and the like do to trained systems."""

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("runs", nargs=-1, metavar="RUN...")
@click.option(
    "--images", type=click.IntRange(min=1), default=500, show_default=True, help="How many test images."
)
@click.option("--corruptions", metavar="NAME,...", help="Some of the corruptions. [all]")
@click.option("--baseline", metavar="NAME", help="The system that the others are tested against. [the first]")
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
@click.option(
    "--show",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only draw every corruption at every strength into this picture.",
)
def robustness(
    runs: tuple[str, ...],
    images: int,
    corruptions: str | None,
    baseline: str | None,
    workers: int | None,
    landmarker: Path | None,
    page: str,
    out: Path,
    caches: Path,
    show: Path | None,
) -> None:
    """Evaluate RUNs on test images that are blurred, noisy, dark, compressed, small, turned or half hidden.

    Each image is corrupted before a face is looked for in it, at five strengths, so that faces which are not
    found any more count. Runs that differ by their seed alone are one system; NAME=RUN,RUN names one by its
    seeds, and RUN+RUN in place of a run averages probabilities. Writes a Markdown page with paired tests, its
    CSV and a picture. What is made is kept: a suite that was stopped goes on where it was.

    \b
    Examples:
      landmarkfer robustness mlp-s0 mlp-s1 gnn-tesselation-s0
      landmarkfer robustness 'fused-s*' 'pixels-s*' --baseline pixels --images 1000
      landmarkfer robustness 'mlp-s*' 'both=mlp-s0+gnn-s0,mlp-s1+gnn-s1' --corruptions blur,mask
      landmarkfer robustness --show corruptions.png
    """  # noqa: D301 (click wants the character, not a backslash)
    if show is not None:
        from landmarkfer.reporting.corruption_sheet import write_corruption_sheet

        write_corruption_sheet(show)
        click.echo(f"Wrote {show}")
        return
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.")
    from landmarkfer.evaluation.robustness.run import read_systems
    from landmarkfer.evaluation.robustness.run import robustness as run_robustness
    from landmarkfer.extraction.corruptions import CORRUPTIONS
    from landmarkfer.progress import show_progress

    with show_progress() as progress:
        written = run_robustness(
            read_systems(runs),
            images=images,
            corruptions=corruptions.split(",") if corruptions else list(CORRUPTIONS),
            baseline=baseline,
            page=page,
            results_root=out,
            caches_root=caches,
            workers=workers,
            landmarker=landmarker,
            progress=progress,
        )
    click.echo(f"Page: {written}; figures: {written.with_suffix('.csv')}")
