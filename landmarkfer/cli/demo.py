"""`landmarkfer demo`: the whole path on synthetic faces."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="landmarkfer-demo",
    show_default=True,
    help="Folder for everything it makes.",
)
@click.option(
    "--per-class", type=click.IntRange(min=16), default=150, show_default=True, help="Faces per expression."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of both models. [30 for mlp, 20 for gnn]")
@click.option("--workers", type=click.IntRange(min=1), help="Processes. [number of cores]")
@click.option(
    "--landmarker", type=click.Path(path_type=Path), help="The landmarker's model, face_landmarker.task."
)
def demo(
    out: Path, per_class: int, seed: int, epochs: int | None, workers: int | None, landmarker: Path | None
) -> None:
    """Run the whole path on synthetic faces: no data, no download, no arguments, one to two minutes.

    Makes labelled faces by moving the mesh of a public-domain portrait into seven expressions, finds their
    landmarks with MediaPipe, trains an mlp and a gnn, evaluates both, and draws pictures. Called again, it
    reuses the faces and landmarks that are there and trains anew.

    \b
    Examples:
      landmarkfer demo
      landmarkfer demo --out quick --per-class 40 --epochs 5
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.cli.demo_report import print_demo, print_opening
    from landmarkfer.cli.extract_report import print_summary
    from landmarkfer.demo import run_demo
    from landmarkfer.progress import show_progress

    console = Console()
    print_opening(out, console)
    with show_progress(console) as progress:
        made = run_demo(
            out,
            console,
            per_class=per_class,
            seed=seed,
            epochs=epochs,
            workers=workers,
            landmarker=landmarker,
            progress=progress,
            summarise=print_summary,
        )
    print_demo(made, console)
