"""`landmarkfer compare`: for which expressions, confusions and images two systems differ, and when."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


class _TwoLists(Command):
    """Takes several values after `--with`, as the shell's braces give them: up to the next option."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        inside = False
        for one in args:
            if one.startswith("-"):
                inside = one == "--with"
            if one != "--with":
                spread += ["--with", one] if inside else [one]
        return super().parse_args(context, spread)


@click.command(cls=_TwoLists)
@click.argument("first", nargs=-1, required=True, metavar="FIRST...")
@click.option(
    "--with", "second", multiple=True, required=True, metavar="SECOND...", help="Runs of the other system."
)
@click.option("--cache", metavar="CACHE", help="Cache of the images. [default: that of the runs]")
@click.option("--images/--no-images", default=True, help="Draw images of the data set. [default: images]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files. [experiments/runs/compare-FIRST-with-SECOND]",
)
def compare(
    first: tuple[str, ...],
    second: tuple[str, ...],
    cache: str | None,
    images: bool,
    out: Path | None,
) -> None:
    """Find where two systems differ, each given by its runs, one for each seed.

    NAME=RUN,RUN names a side; RUN+RUN in place of a run averages their probabilities. Writes differences.csv,
    a report differences.md, figures of the differences by class, confusion and slice (head pose, size of the
    face, detector confidence), images.csv with the predictions on each image, and contact sheets of the
    images on which only one system is correct. The contact sheets show images of the data set: keep them out
    of version control. Runs that are not evaluated yet are.

    In place of a run, a CSV or Parquet file of any system's predictions will do, with the columns id (the
    path of the image in the data set), label, and p_CLASS for the probability of each class.

    \b
    Examples:
      landmarkfer compare mlp-s{0,1,2} --with gnn-tesselation-s{0,1,2}
      landmarkfer compare fused-s0 --with pixels-s0 --no-images --out fused
      landmarkfer compare 'both=mlp-s0+gnn-tesselation-s0' --with pixels-s0
      landmarkfer compare mine.csv --with pixels-s0 pixels-s1 pixels-s2
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.cli.compare_report import print_differences
    from landmarkfer.evaluation.compare.run import compare_runs
    from landmarkfer.progress import show_progress

    with show_progress() as progress:
        found, report = compare_runs(first, second, out, cache=cache, images=images, progress=progress)
    print_differences(found, report, Console())
