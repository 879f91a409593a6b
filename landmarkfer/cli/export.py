"""`landmarkfer export`: a run as one ONNX file."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The file. [RUN.onnx]")
@click.option("--cache", metavar="NAME|FOLDER", help="Faces to check it on. [the run's own]")
@click.option("--int8", is_flag=True, help="8-bit weights, if they lose at most 0.5 points of accuracy.")
def export(run: str, out: Path | None, cache: str | None, int8: bool) -> None:
    """Write RUN as one ONNX file that predicts without torch, with its preprocessing inside.

    The file takes landmarks and, where the model looks at pixels, images, and gives probabilities, prediction
    sets and features. It is compared with PyTorch on faces of the run's cache.

    \b
    Examples:
      landmarkfer export gnn-tesselation-s0
      landmarkfer export mlp-s0 --out mlp.onnx --int8
      landmarkfer predict photo.jpg --run mlp.onnx
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.errors import extras_named

    with extras_named():  # before torch, of another extra: this one brings both
        import onnxscript  # noqa: F401
    from landmarkfer.evaluation.exported import export_run
    from landmarkfer.progress import counted
    from landmarkfer.runs.folder import find_run

    folder = find_run(run)
    done = export_run(folder, out or Path(f"{folder.name}.onnx"), cache, int8=int8)
    click.echo(
        f"{done.path}: {done.path.stat().st_size / 1e6:.1f} MB; on {counted(done.check.faces, 'face')} of "
        f"{done.faces_of} probabilities differ from PyTorch's by {done.check.largest:.1e} at most "
        f"({done.check.of_run:.1e} where it normalises in single precision), and no label differs."
    )
    for split, found in (done.accuracy or {}).items():
        click.echo(
            f"8-bit weights: accuracy {100 * found.before:.2f} % -> {100 * found.after:.2f} % on "
            f"{counted(found.images, f'{split} image')}."
        )
    click.echo(f"Next: landmarkfer predict PHOTOS --run {done.path}")
