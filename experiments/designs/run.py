"""Which landmark network is best: whitening, capacity, and designs of graph networks, by cross-validation.

    python experiments/designs/run.py                    # every row that is not measured yet; resumable
    python experiments/designs/run.py --rows learned-edges --rows spectral
    python experiments/designs/run.py --report           # only the page

Each row is trained on two thirds of FER2013's training images, three times, and predicts the third that it
has not seen; test images take no part. Needs the caches `fer2013-7` and, for rows of both detectors,
`fer2013-landmarker-7`. Writes `experiments/results/landmark-designs.csv` and `.md`; predictions lie under
`experiments/runs/designs`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from networks import GraphNetwork, Perceptron
from rows import DESIGNS, FACEMESH, LANDMARKER, SECTIONS
from torch import Tensor, nn
from training import (
    BATCH,
    FOLDS,
    Faces,
    Features,
    Outcome,
    Plan,
    Whitening,
    averaged,
    cross_validate,
    fit,
    predict,
    prepare,
    read_faces,
    read_labels,
    without_pose,
)

from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.metrics.classification import balanced_accuracy
from landmarkfer.metrics.significance import paired_difference
from landmarkfer.progress import SILENT, Progress, show_progress
from landmarkfer.reporting.markdown import (
    Header,
    markdown_table,
    package_versions,
    probability_text,
    write_page,
)

RESULTS = Path("experiments/results/landmark-designs.csv")
STORE = Path("experiments/runs/designs")
RESAMPLES = 2000


def pretrain(model: nn.Module, features: Features, rows: Tensor, progress: Progress, epochs: int = 6) -> None:
    """Train the graph convolutions to predict the features of landmarks that are hidden, half of a face's."""
    assert isinstance(model, GraphNetwork)
    decoder = nn.Linear(model.input.out_features, 3)
    optimiser = torch.optim.AdamW([*model.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in progress.track(range(epochs), "pre-training", epochs):
        for chosen in rows[torch.randperm(len(rows))].split(BATCH):
            x = features.plain[chosen]
            hidden = torch.rand(len(x), N_LANDMARKS, 1) < 0.5
            guessed = decoder(model.nodes(torch.where(hidden, 0, x))).transpose(0, 1)
            loss = ((guessed - x).square() * hidden).sum() / hidden.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


@dataclass
class Bench:
    """The data of all rows, read when a row first needs it."""

    progress: Progress
    _faces: dict[str, Faces] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.labels, self.folds = read_labels(find_cache(FACEMESH))

    def faces(self, caches: Sequence[str]) -> list[Faces]:
        """Of some caches."""
        for name in caches:
            if name not in self._faces:
                self._faces[name] = read_faces(LandmarkCache.open(find_cache(name)))
        return [self._faces[name] for name in caches]

    def teacher(self, fold: int, features: Features, rows: Tensor) -> Tensor:
        """Probabilities `[N, C]` of training images, by perceptrons that were trained on the other half."""
        train = self.folds[fold][0]
        taught = torch.zeros(len(self.labels), int(self.labels.max()) + 1)
        halves = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))].chunk(2)
        for caches in ((FACEMESH,), (LANDMARKER,)):
            known = prepare(self.faces(caches), train, Whitening(), views=False)
            for half, other in (halves, halves[::-1]):
                torch.manual_seed(fold)
                model = Perceptron()
                fit(model, known, self.labels, half, Plan(), fold, SILENT)
                taught[other] += predict(model, known, other, Plan()) / 2
        return taught

    def measure(self, name: str, seed: int, folds: int) -> Outcome:
        """Cross-validate a row, on the first of the folds."""
        design = DESIGNS[name]
        faces = self.faces(design.caches)
        faces = [averaged(faces)] if design.averaged else faces
        return cross_validate(
            design.make,
            [without_pose(one) if design.frontal else one for one in faces],
            self.labels,
            self.folds[:folds],
            design.whitening,
            design.plan,
            seed,
            self.progress,
            self.teacher if design.distilled else None,
            pretrain if design.pretrained else None,
        )


def stored(name: str, seed: int) -> Path:
    """Where the out-of-fold probabilities of a row lie."""
    return STORE / f"{name}-s{seed}.npy"


def record(name: str, seed: int, outcome: Outcome, labels: Tensor) -> None:
    """Store the predictions of a row, and its figures as rows of the CSV."""
    known = np.isfinite(outcome.probabilities).all(axis=1)
    truth, predicted = labels.numpy()[known], outcome.probabilities[known].argmax(axis=1)
    figures = {
        "images": len(truth),
        "accuracy": float((truth == predicted).mean()),
        "balanced_accuracy": balanced_accuracy(truth, predicted, range(int(labels.max()) + 1)),
        "train_accuracy": outcome.train_accuracy,
        "seconds": outcome.seconds,
        "parameters": outcome.parameters,
    }
    STORE.mkdir(parents=True, exist_ok=True)
    np.save(stored(name, seed), outcome.probabilities)
    rows = pd.DataFrame(
        [
            (name, seed, metric, value, datetime.now(UTC).date().isoformat())
            for metric, value in figures.items()
        ],
        columns=["row", "seed", "metric", "value", "date"],
    )
    if RESULTS.is_file():
        before = pd.read_csv(RESULTS)
        rows = pd.concat([before[(before["row"] != name) | (before["seed"] != seed)], rows])
    rows.to_csv(RESULTS, index=False, float_format="%.6g")


def compared(name: str, against: str, seed: int, labels: Tensor) -> str:
    """The difference of two rows with its interval and p-value, where both have their predictions."""
    paths = stored(name, seed), stored(against, seed)
    if not against or not all(path.is_file() for path in paths):
        return ""
    first, second = (np.load(path) for path in paths)
    known = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    right = [one[known].argmax(axis=1) == labels.numpy()[known] for one in (first, second)]
    found = paired_difference(*right, resamples=RESAMPLES, permutations=RESAMPLES)
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
    return f"{100 * found.difference:+.2f} ({interval}), p {probability_text(found.p)}"


def write(labels: Tensor) -> None:
    """Write the page."""
    measured = pd.read_csv(RESULTS)
    parts = []
    for title, rows in SECTIONS.items():
        cells = []
        for name, design in rows.items():
            known = measured[measured["row"] == name]
            if known.empty:
                continue
            value = known.groupby("metric")["value"].mean()
            difference = compared(name, design.against, 0, labels)
            cells.append(
                [
                    f"`{name}`",
                    design.text,
                    *(
                        f"{100 * value[one]:.2f}"
                        for one in ("accuracy", "balanced_accuracy", "train_accuracy")
                    ),
                    f"{difference} (`{design.against}`)" if difference else "",
                    f"{value['images']:,.0f}",
                    f"{value['parameters'] / 1e6:.1f}",
                    f"{value['seconds'] / 60:.1f}",
                ]
            )
        if cells:
            headings = ["row", "what it is", "accuracy, %", "balanced, %", "training accuracy, %"]
            headings += ["difference (95 % interval), points", "images", "parameters, M", "training, min"]
            parts += [f"## {title}", markdown_table(headings, cells, text_columns=2)]
    header = Header(
        "Designs of landmark networks",
        [
            "landmarkfer extract fer2013.zip --passes 7 --threshold 0.1 --cache fer2013-7",
            "landmarkfer extract fer2013.zip --passes 7 --threshold 0.1 --detector landmarker "
            "--cache fer2013-landmarker-7",
            "python experiments/designs/run.py",
        ],
        package_versions(),
        str(measured["date"].max()),
        machine="2 CPU cores, beside other work: times are upper bounds",
        introduction=(
            f"Landmarks of FER2013's 28,709 training images, {FOLDS}-fold cross-validation, seed 0: each "
            "image is predicted by a network that has seen neither it nor any identical one. Images without "
            "a face are predicted by the shares of the classes. All rows train 12 epochs (batch 256, AdamW, "
            "one cycle up to 2e-3, weight decay 0.01, smoothing 0.1, dropout 0.5 after dense layers of 2,048 "
            "and 256, whitening as in `noise-10`, mirrored at random, averaged with the mirrored face in "
            "validation) unless they say otherwise. Rows of 9,553 images are of the first fold alone "
            "(`--folds 1`); compare them by their differences, which are of the same images. Differences are "
            "paired, by image, over the images that both rows have; their intervals and p-values are over "
            "images, not over seeds."
        ),
    )
    write_page(RESULTS.with_suffix(".md"), RESULTS, header, parts)


@click.command(help=__doc__.replace("\n\n    python", "\n\n\b\n    python"))
@click.option("--rows", multiple=True, type=click.Choice(list(DESIGNS)), help="Rows to measure. [all]")
@click.option("--folds", default=FOLDS, show_default=True, help="How many of the folds.")
@click.option("--seed", default=0, show_default=True)
@click.option("--again", is_flag=True, help="Measure also what is measured.")
@click.option("--report", is_flag=True, help="Only write the page.")
def main(rows: Sequence[str], folds: int, seed: int, again: bool, report: bool) -> None:
    """Measure the rows that are wanted, and write the page."""
    with show_progress() as progress:
        bench = Bench(progress)
        wanted = (
            [] if report else [name for name in rows or DESIGNS if again or not stored(name, seed).is_file()]
        )
        for name in progress.track(wanted, "rows", len(wanted)):
            outcome = bench.measure(name, seed, folds)
            record(name, seed, outcome, bench.labels)
            known = pd.read_csv(RESULTS).query("row == @name and seed == @seed").set_index("metric")["value"]
            progress.say(
                f"{name}: {100 * known['accuracy']:.2f} %, training {100 * known['train_accuracy']:.1f} %"
            )
        write(bench.labels)


if __name__ == "__main__":
    main()
