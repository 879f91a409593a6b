"""What each choice of the EfficientNet recipe gives, on validation images.

    python experiments/image_choices.py                      # every row that is not trained yet; resumable
    python experiments/image_choices.py --rows size-96
    python experiments/image_choices.py --report             # only the page

Every row is `experiments/recipes/fer2013-efficientnet-lite0.toml` at 64 px and a peak learning rate of 2e-3,
without EMA, for 3 epochs on half of FER2013's training images, one choice changed; the other half validates,
and test images take no part. Writes
`experiments/results/efficientnet-choices.csv` and `.md`; the runs are `experiments/runs/lite0-choice-<row>`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.config.recipes import load_settings
from landmarkfer.evaluation.opened import open_run
from landmarkfer.metrics.classification import balanced_accuracy
from landmarkfer.metrics.predictions import Predictions, read_predictions, write_predictions
from landmarkfer.metrics.significance import paired_difference
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import (
    Header,
    markdown_table,
    package_versions,
    probability_text,
    write_page,
)
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.fit import train_or_resume

RECIPE = Path("experiments/recipes/fer2013-efficientnet-lite0.toml")
RESULTS = Path("experiments/results/efficientnet-choices.csv")
SHORT = {
    "split.validation": 0.5,
    "model.size": 64,
    "fit.epochs": 3,
    "fit.ema": 0.0,
    "optimiser.lr": 2e-3,
    "prediction.calibrate": False,
}
BASE = "base"


class Choice(NamedTuple):
    """A row: what it changes, the row that it is compared with, and its settings."""

    text: str
    settings: Mapping[str, Any]
    against: str = BASE


CHOICES = {
    BASE: Choice("64 px, all layers at once, lr 2e-3, no EMA, grey copied to three channels", {}, ""),
    "from-scratch": Choice("weights drawn at random", {"model.weights": "none"}),
    "size-48": Choice("48 px", {"model.size": 48}),
    "size-80": Choice("80 px", {"model.size": 80}),
    "size-96": Choice("96 px", {"model.size": 96}),
    "size-112": Choice("112 px", {"model.size": 112}),
    "stem-stride": Choice(
        "48 px, the stem without its stride", {"model.size": 48, "model.keep_resolution": True}
    ),
    "stages": Choice(
        "head for 1 epoch, then all for 2",
        {
            "stages": [{"train": "head", "epochs": 1}, {"train": "full", "epochs": 2}],
            "optimiser.schedule": "cosine",  # one cycle cannot restart with each stage
        },
    ),
    "lr-7e-4": Choice("lr 7e-4", {"optimiser.lr": 7e-4}),
    "lr-4e-3": Choice("lr 4e-3", {"optimiser.lr": 4e-3}),
    "layer-decay": Choice(
        "layer-wise decay 0.8, lr 4e-3",
        {"optimiser.layer_decay": 0.8, "optimiser.lr": 4e-3},
        against="lr-4e-3",
    ),
    "channels-1": Choice("grey, the stem's channels summed", {"model.channels": 1}),
    "mixup": Choice("mixup 0.2", {"mixing.mixup": 0.2}),
    "ema-0.99": Choice("EMA of the weights, decay 0.99", {"fit.ema": 0.99}),
    "ema-0.998": Choice("EMA of the weights, decay 0.998", {"fit.ema": 0.998}),
    "weak-augmentation": Choice(
        "half the rotation, scale and shift, no erasing",
        {
            **{"augment.image.rotation": 7.5, "augment.image.scale": 0.08, "augment.image.shift": 0.04},
            **{"augment.image.erasing": 0.0},
        },
    ),
    "epochs-6": Choice("6 epochs", {"fit.epochs": 6}),
}


def train(name: str, progress: Any) -> RunFolder:
    """The run of a row, trained as far as it is not there."""
    given = {**SHORT, **CHOICES[name].settings, "name": f"lite0-choice-{name}"}
    if "stages" in given:
        del given["fit.epochs"]
    return train_or_resume(load_settings(RECIPE, overrides=given), progress=progress)


def predictions_of(run: RunFolder) -> Predictions:
    """What a run predicts of its validation images; stored in its folder."""
    stored = run.path / "validation.parquet"
    if not stored.is_file():
        write_predictions(stored, open_run(run).predict_validation())
    return read_predictions(stored)


def figures(name: str, run: RunFolder, known: dict[str, Predictions]) -> dict[str, float]:
    """The figures of a row, by metric."""
    found = known[name]
    values = {
        "accuracy": float(found.correct.mean()),
        "balanced_accuracy": balanced_accuracy(found.labels, found.predicted, range(len(found.classes))),
        "seconds": float(read_epochs(run.metrics_file)["seconds"].sum()),
    }
    against = CHOICES[name].against
    if against in known:
        assert (found.ids == known[against].ids).all()
        right: list[NDArray[np.bool_]] = [one.correct for one in (found, known[against])]
        difference = paired_difference(*right)
        values |= {"difference": difference.difference, "low": difference.low, "high": difference.high}
        values["p"] = difference.p
    return values


def write(measured: pd.DataFrame) -> None:
    """Write the CSV and the page."""
    measured.to_csv(RESULTS, index=False, float_format="%.6g")
    cells = []
    for name, of_row in measured.groupby("row", sort=False):
        value = of_row.set_index("metric")["value"]
        gain = ""
        if "difference" in value:
            interval = f"{100 * value['low']:+.2f} to {100 * value['high']:+.2f}"
            gain = f"{100 * value['difference']:+.2f} ({interval}), p {probability_text(value['p'])}"
            gain += "" if CHOICES[str(name)].against == BASE else f" (`{CHOICES[str(name)].against}`)"
        percent = [f"{100 * value[one]:.2f}" for one in ("accuracy", "balanced_accuracy")]
        cells.append([f"`{name}`", CHOICES[str(name)].text, *percent, gain, f"{value['seconds'] / 60:.1f}"])
    headings = [
        "row",
        "what it is",
        "accuracy, %",
        "balanced, %",
        "gain (95 % interval), points",
        "training, min",
    ]
    header = Header(
        "EfficientNet-Lite0 on FER2013: what each choice gives",
        [
            "landmarkfer extract fer2013.zip --passes 7 --threshold 0.1 --cache fer2013-7",
            "python experiments/image_choices.py",
        ],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        machine="2 CPU cores, beside other work: times are upper bounds",
        introduction=(
            "ImageNet's weights, fine-tuned for 3 epochs on half of FER2013's training images, seed 0; "
            "figures are of the other half, averaged with the mirrored image. Each of the other rows differs "
            "from the first, or from the row in brackets, in one choice. Gains are paired, by image; their "
            "intervals are over images, not over seeds."
        ),
    )
    write_page(RESULTS.with_suffix(".md"), RESULTS, header, [markdown_table(headings, cells, text_columns=2)])


@click.command(help=__doc__.replace("\n\n    python", "\n\n\b\n    python"))
@click.option("--rows", multiple=True, type=click.Choice(list(CHOICES)), help="Rows to train. [all]")
@click.option("--report", is_flag=True, help="Only write the page, of the rows that are trained.")
def main(rows: Sequence[str], report: bool) -> None:
    """Train the rows that are wanted, and write the page."""
    with show_progress() as progress:
        for name in () if report else rows or CHOICES:
            found = predictions_of(train(name, progress))
            progress.say(f"{name}: {100 * float(found.correct.mean()):.2f} %")
        finished = {
            name: run
            for name in CHOICES
            if (run := RunFolder(Path("experiments/runs") / f"lite0-choice-{name}")).weights_file.is_file()
        }
        known = {name: predictions_of(run) for name, run in finished.items()}
        table = [
            (name, metric, value)
            for name, run in finished.items()
            for metric, value in figures(name, run, known).items()
        ]
        write(pd.DataFrame(table, columns=["row", "metric", "value"]))


if __name__ == "__main__":
    main()
