"""`landmarkfer evaluate`: the protocol's figures and pictures of trained runs."""

from pathlib import Path
from typing import Literal

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.cli.prior_option import read_prior
from landmarkfer.cli.train_options import merged_classes


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--cache", help="Evaluate on another cache than the one trained on.")
@click.option(
    "--label-names",
    multiple=True,
    metavar="VALUE=NAME|FILE",
    help="Name of a label of --cache, empty where it is no class, or a file of them; may be repeated.",
)
@click.option(
    "--merge",
    multiple=True,
    metavar="NEW=OLD+OLD",
    callback=merged_classes,
    help="Make one class of several, of --cache or of the model; may be repeated.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="CACHE",
    help="Average over the same images in another cache, of another detector, say; may be repeated.",
)
@click.option(
    "--weights",
    type=click.Choice(["equal", "validation"]),
    default="equal",
    show_default=True,
    help="Weights of the average: equal, or fitted to the validation images.",
)
@click.option(
    "--prior",
    multiple=True,
    metavar="train|uniform|CLASS=SHARE",
    help="Class shares among the images, where they differ from training's; a share for each class.",
)
@click.option(
    "--out-of-fold",
    is_flag=True,
    help="Evaluate the folds of a cross-validation as one, each on the images that validated it.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
def evaluate(
    runs: tuple[str, ...],
    cache: str | None,
    label_names: tuple[str, ...],
    merge: dict[str, list[str]] | None,
    also: tuple[str, ...],
    weights: Literal["equal", "validation"],
    prior: tuple[str, ...],
    out_of_fold: bool,
    out: Path | None,
) -> None:
    """Evaluate runs on their test images; several runs also as the average of their probabilities.

    NAME=RUN+RUN,RUN+RUN averages the runs of each seed. Prints accuracy, calibration, selective prediction
    and prediction sets. Writes metrics.json, predictions.parquet, per_class.csv, confusion.png,
    reliability.png, class_reliability.png and risk_coverage.png into each run's folder, for another cache
    into a folder on-CACHE there, or into --out, which an average needs. An image without a face counts, with
    the training prior as its prediction.

    Of another cache its test images are predicted, or all where it has no test images. Labels that the model
    lacks, and classes of the model without an image, are listed. Without labels there are predictions and no
    figures. Labels that are numbers need names. How far calibration and coverage are from those on the run's
    own test images is printed beside them; --prior predicts under other class shares.

    \b
    Examples:
      landmarkfer evaluate gnn-tesselation-s0
      landmarkfer evaluate mlp-s0 mlp-s1 mlp-s2 --out mlp-ensemble
      landmarkfer evaluate mlp-s0 gnn-tesselation-s0 --weights validation
      landmarkfer evaluate 'both=mlp-s0+gnn-s0,mlp-s1+gnn-s1'
      landmarkfer evaluate mlp-s0 --cache other-faces --out other
      landmarkfer evaluate mlp-s0 --cache raf-db --label-names raf-db.txt
      landmarkfer evaluate mlp-s0 --cache others --label-names 7=contempt
      landmarkfer evaluate mlp-s0 --cache valence --merge negative=angry+sad
      landmarkfer evaluate mlp-s0 --cache others --prior uniform
      landmarkfer evaluate cnn-s0-fold{1,2,3}of3 --out-of-fold --out cnn-folds
    """  # noqa: D301 (click wants the character, not a backslash)
    from rich.console import Console

    from landmarkfer.cli.evaluate_report import of_validation, print_evaluation
    from landmarkfer.data.label_names import read_label_names
    from landmarkfer.evaluation.elsewhere import Applied, elsewhere_folder
    from landmarkfer.evaluation.evaluate import evaluate_folds, evaluate_runs
    from landmarkfer.evaluation.label_mapping import LabelMapping
    from landmarkfer.evaluation.systems import read_averages
    from landmarkfer.progress import show_progress

    console = Console()
    shares = read_prior(prior)
    mapping = LabelMapping(read_label_names(label_names), merge or {})
    averages = read_averages(runs)
    folders = [run for average in averages for run in average.runs]
    if out_of_fold:
        if out is None or cache is not None or also or mapping or prior or weights != "equal":
            raise click.UsageError("--out-of-fold needs --out FOLDER, and takes no other option.")
        title = f"{len(folders)} folds, each on the images that validated it"
        found = [(title, of_validation(evaluate_folds(folders, out)[0]))]
    else:
        if out is not None and sum(len(average.seeds) for average in averages) > 1:
            raise click.UsageError("--out takes the files of one run or one average; name fewer.")
        with show_progress() as progress:
            found = [
                one
                for average in averages
                for seed, members in average.seeds.items()
                for one in evaluate_runs(
                    members,
                    cache,
                    out,
                    also=also,
                    weights=weights,
                    name=f"{average.name}, seed {seed}" if len(average.seeds) > 1 else average.name,
                    mapping=mapping,
                    prior=shares,
                    progress=progress,
                )
            ]
    for title, evaluation in found:
        print_evaluation(evaluation, title, console)
    written = [out] if out else []
    if (cache is not None or shares is not None) and out is None:
        applied = [Applied(cache or run.read_config().cache.where, also, mapping, shares) for run in folders]
        written = [elsewhere_folder(run, one) for run, one in zip(folders, applied, strict=True)]
    elif out is None and not also:
        written = [run.path for run in folders]
    if written:
        what = "Figures, predictions and pictures" if found[-1][1].subsets else "Predictions"
        console.print(f"{what}: {', '.join(map(str, written))}", highlight=False, markup=False)
