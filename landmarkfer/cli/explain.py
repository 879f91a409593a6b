"""`landmarkfer explain`: why each face is given its label, and whether that is to be believed."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from landmarkfer.cli.command import Command

if TYPE_CHECKING:
    from landmarkfer.inference.explain.attribution import Method
    from landmarkfer.inference.find import Wanted


@click.command(cls=Command)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--run", "model", metavar="RUN", help="A run, or a model that ships: `fusion`, `landmarks`. [fusion]"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("explanations"),
    help="Folder for pictures and JSON. [explanations]",
)
@click.option("--label", metavar="CLASS", help="Explain this class. [the predicted one]")
@click.option(
    "--method",
    type=click.Choice(["integrated-gradients", "gradient"]),
    default="integrated-gradients",
    help="How points are attributed. [integrated-gradients]",
)
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", help="Of each image. [all]")
@click.option("--no-check", is_flag=True, help="Leave out deletion, insertion and stability: faster.")
@click.option("--by-class", is_flag=True, help="INPUT is a cache: means over its test faces, class by class.")
@click.option(
    "--per-class", type=click.IntRange(min=1), default=50, help="Faces of a class, at most, --by-class. [50]"
)
@click.option("--device", default="auto", help="auto, cpu, cuda or mps. [auto]")
@click.option("--landmarker", type=click.Path(path_type=Path), help="The landmarker's model file.")
def explain(
    inputs: tuple[str, ...],
    model: str | None,
    out: Path,
    label: str | None,
    method: "Method",
    faces: "Wanted",
    no_check: bool,
    by_class: bool,
    per_class: int,
    device: str,
    landmarker: Path | None,
) -> None:
    """Explain the predicted expression of every face in photos.

    INPUT is what `predict` takes. For each face a picture and a JSON file say what its points, regions,
    edges and pixels contribute to the log-odds of the label, and each branch of a fusion. Each map is
    checked: what it says speaks for the label is deleted, and inserted, against random orders. One that does
    no better than random is said to be so. With --by-class, INPUT is a cache with labels.

    \b
    Examples:
      landmarkfer explain photo.jpg
      landmarkfer explain photos/ --run landmarks --faces largest --out why
      landmarkfer explain photo.jpg --label fear
      landmarkfer explain fer2013 --by-class --run gnn-s0
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.cli.explain_report import print_explanation, print_means, write_explanation, write_means
    from landmarkfer.cli.predict_options import listed
    from landmarkfer.cli.predict_report import print_model
    from landmarkfer.data.cache import LandmarkCache, find_cache
    from landmarkfer.errors import SourceError
    from landmarkfer.extraction.sources.inputs import open_inputs
    from landmarkfer.inference.load import load_predictor
    from landmarkfer.progress import show_progress

    if by_class and (len(inputs) > 1 or label is not None):
        raise click.UsageError("--by-class takes one cache, and explains each class; leave --label out.")
    predictor = load_predictor(model, device=device, landmarker=landmarker)
    print_model(predictor)
    if by_class:
        from landmarkfer.inference.explain.classes import class_means
        from landmarkfer.inference.explain.explainer import Explainer

        cache = LandmarkCache.open(find_cache(inputs[0]))
        with show_progress() as progress:
            means = class_means(
                Explainer(predictor.network),
                cache,
                per_class=per_class,
                method=method,
                check=not no_check,
                progress=progress,
            )
        print_means(means, write_means(means, out))
        return
    source = open_inputs(listed(inputs))
    count = 0
    with show_progress() as progress:
        for count, found in enumerate(
            predictor.explain(
                source, label=label, method=method, faces=faces, check=not no_check, progress=progress
            ),
            start=1,
        ):
            print_explanation(found, write_explanation(found, out, count))
    if not count:
        raise SourceError("no face was found in any of the images, so there is nothing to explain.")
