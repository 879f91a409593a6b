"""`landmarkfer predict`: photos in, expressions out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from landmarkfer.cli.command import Command

if TYPE_CHECKING:
    from landmarkfer.inference.write import TableFormat


@click.command(cls=Command)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--run", "model", metavar="RUN|FILE", help="A run, an .onnx export, `fusion` or `landmarks`. [fusion]"
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the table and the pictures.")
@click.option(
    "--format", "table", type=click.Choice(["csv", "parquet", "jsonl"]), default="csv", help="[csv]"
)
@click.option("--draw", is_flag=True, help="Write annotated images to OUT/images.")
@click.option("--crops", is_flag=True, help="Write the faces, upright and of one size, to OUT/crops.")
@click.option("--overwrite", is_flag=True, help="Replace a finished prediction in OUT.")
@click.option("--extras", is_flag=True, help="Add the 52 blendshapes (of the landmarker) to the table.")
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", help="Of each image. [all]")
@click.option(
    "--boxes",
    type=click.Path(exists=True, path_type=Path),
    help="A CSV of faces: source,x0,y0,x1,y1 (pixels).",
)
@click.option(
    "--abstain", type=float, metavar="ACCURACY", help="Abstain until answers are as accurate, as 0.8."
)
@click.option("--coverage", type=float, help="How often the set holds the label. [0.9]")
@click.option("--prior", multiple=True, metavar="uniform|CLASS=SHARE", help="Class shares among the images.")
@click.option("--device", default="auto", help="Of a run: auto, cpu, cuda or mps. [auto]")
@click.option("--batch-size", type=click.IntRange(min=0), default=0, help="Faces predicted at a time.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that find faces. [cores, for many images]"
)
@click.option("--landmarker", type=click.Path(path_type=Path), help="The landmarker's model file.")
def predict(
    inputs: tuple[str, ...],
    model: str | None,
    out: Path | None,
    table: "TableFormat",
    draw: bool,
    crops: bool,
    extras: bool,
    overwrite: bool,
    device: str,
    workers: int | None,
    landmarker: Path | None,
    **options: Any,
) -> None:
    """Predict the expression of every face in photos.

    INPUT is a file, a folder, a glob pattern, a .zip, a .txt list of paths, a file: URL, or - for a list or
    an image from the standard input. An image without a face, or that cannot be read, gets a row that says
    so. With --out the table is written as it is made, and the same command resumes after an interruption.

    \b
    Examples:
      landmarkfer predict photo.jpg
      landmarkfer predict photos/ --out predictions --draw
      landmarkfer predict 'photos/*.jpg' --run landmarks --abstain 0.8
      landmarkfer predict photos.zip --run my-run --prior uniform --out out
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.predict_options import listed, prediction_options, workers_for
    from landmarkfer.cli.predict_report import print_faces, print_model, print_written
    from landmarkfer.errors import SourceError
    from landmarkfer.extraction.sources.inputs import open_inputs
    from landmarkfer.inference.load import load_predictor
    from landmarkfer.inference.write import Outputs, write_predictions
    from landmarkfer.progress import show_progress

    if out is None and (draw or crops or extras or table != "csv"):
        raise click.UsageError("--draw, --crops, --extras and --format write files; add --out FOLDER.")
    source = open_inputs(listed(inputs))
    wanted = prediction_options(source, **options)
    outputs = Outputs(table, draw, crops, extras, overwrite)
    wanted["workers"] = workers_for(workers, len(source.entries))
    predictor = load_predictor(model, device=device, landmarker=landmarker)
    print_model(predictor)
    with show_progress() as progress:
        if out is None:
            faces = predictor.predict(source, progress=progress, **wanted)
        else:
            written = write_predictions(predictor, source, out, wanted, outputs, progress)
    print_faces(faces) if out is None else print_written(written)
    if set(faces.statuses if out is None else written.counts) == {"unreadable"}:
        raise SourceError("none of the images could be read.")
