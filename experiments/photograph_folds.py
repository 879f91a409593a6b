r"""What networks trained on photographs tell: landmarks, EfficientNet-Lite0 and both, over folds of people.

    landmarkfer extract photos.zip --labels labels.csv --group-column person --crop 112 --passes 3 \
        --cache photos-112
    python experiments/photograph_folds.py                   # every row that is not measured yet; resumable
    python experiments/photograph_folds.py --rows lite0 --rows fusion-late
    python experiments/photograph_folds.py --report          # only the page

First: the runs `mlp (FER2013)` and `image (FER2013)` of the transfer benchmark, `landmarkfer benchmark
experiments/benchmarks/transfer.toml`, from which all rows but two are trained further.

The people are divided into five parts, stratified by class. Each part is tested once, by networks that are
trained on the people of the others, a tenth of whom validate: they choose the epoch, and nothing is fitted to
the tested people. Photographs of contempt are left out, since there are four. A photograph without a face is
predicted too. Writes `experiments/results/photograph-folds.csv` and `.md`; the runs are
`experiments/runs/photographs-<row>-fold<k>`, the caches of the folds lie beside that of the photographs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.cache_writer import CacheWriter
from landmarkfer.data.row import Row
from landmarkfer.evaluation.opened import open_run
from landmarkfer.metrics.classification import per_class
from landmarkfer.metrics.combine import join_predictions
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.predictions import Predictions, read_predictions, write_predictions
from landmarkfer.metrics.significance import paired_differences
from landmarkfer.progress import Progress, show_progress
from landmarkfer.reporting.markdown import (
    Header,
    markdown_table,
    package_versions,
    probability_text,
    write_page,
)
from landmarkfer.training.fit import train_or_resume

RECIPES = Path("experiments/recipes")
RUNS = Path("experiments/runs")
RESULTS = Path("experiments/results/photograph-folds.csv")
SOURCE = "photos-112"
FOLDS = 5
LEFT_OUT = "contempt"
BASE = "lite0"
TUNED = "lite0-fer2013"
TUNED_MLP = "mlp-fer2013"
METRICS = ("accuracy", "balanced_accuracy")


class Trained(NamedTuple):
    """A row: what it is, its settings beside the cache, its recipe, and the rows it is compared with."""

    text: str
    settings: Mapping[str, Any] = {}
    recipe: str | None = None
    beside: Sequence[str] = (BASE,)


_LITE0, _FUSION = "fer2013-efficientnet-lite0.toml", "fer2013-fusion-lite0.toml"
_SHORT: Mapping[str, Any] = {"fit.epochs": 6, "fit.ema": 0.0}  # some 470 steps: too few to average
_BY_LOSS: Mapping[str, Any] = {"fit.monitor": "val_loss"}  # steadier than accuracy on 500 to 700 images
_WEIGHTED: Mapping[str, Any] = {"loss.class_weights": "sqrt_inverse"}
_UNWEIGHTED: Mapping[str, Any] = {"loss.class_weights": "none"}
_ALIGNED: Mapping[str, Any] = {"model.channels": 1, "model.crop": 0.8462}  # as in the transfer benchmark
_FURTHER_MLP: Mapping[str, Any] = {
    "model.name": "mlp",
    "model.hidden": [1024, 256],
    "init": "transfer-mlp-FER2013-s0",
    "fit.epochs": 12,
    "optimiser.lr": 1e-3,
}
_FURTHER: Mapping[str, Any] = {
    **_SHORT,
    **_BY_LOSS,
    **_ALIGNED,
    "init": "transfer-image-FER2013-s0",
    "model.weights": "none",
    "optimiser.lr": 1e-3,
}
_LATE: Mapping[str, Any] = {
    **_ALIGNED,
    "model.fusion": "late",
    "branches.freeze": ["image", "encoder"],
    "fit.epochs": 1,
}
_CONCAT: Mapping[str, Any] = {**_ALIGNED, "model.fusion": "concat", "fit.epochs": 6}


def _branches(image: str, encoder: str) -> dict[str, Any]:
    return {
        "model.encoder": "mlp",
        "branches.image": f"photographs-{image}-fold{{fold}}of{FOLDS}",
        "branches.encoder": f"photographs-{encoder}-fold{{fold}}of{FOLDS}",
    }


ROWS = {
    "mlp": Trained("landmarks alone: the perceptron, all defaults", {"model.name": "mlp"}),
    TUNED_MLP: Trained(
        "the perceptron of FER2013, trained further for 12 epochs, classes weighted by the inverse square "
        "root of their frequency",
        {**_FURTHER_MLP, **_WEIGHTED},
    ),
    f"{TUNED_MLP}-unweighted": Trained(
        "the same, classes not weighted", {**_FURTHER_MLP, **_UNWEIGHTED}, beside=(BASE, TUNED_MLP)
    ),
    BASE: Trained(
        "EfficientNet-Lite0 with ImageNet's weights, 96 px, 6 epochs, one cycle up to lr 1e-3, batch 64",
        {**_SHORT, **_BY_LOSS, "optimiser.lr": 1e-3},
        _LITE0,
    ),
    TUNED: Trained(
        "the EfficientNet-Lite0 of FER2013, trained further for 6 epochs, classes weighted by the inverse "
        "square root of their frequency",
        {**_FURTHER, **_WEIGHTED},
        _LITE0,
    ),
    f"{TUNED}-unweighted": Trained(
        "the same, classes not weighted", {**_FURTHER, **_UNWEIGHTED}, _LITE0, beside=(BASE, TUNED)
    ),
    "fusion-late": Trained(
        f"`{TUNED}` and `{TUNED_MLP}`, logits added",
        {**_branches(TUNED, TUNED_MLP), **_WEIGHTED, **_LATE},
        _FUSION,
        beside=(BASE, TUNED),
    ),
    "fusion-concat": Trained(
        f"`{TUNED}` and `{TUNED_MLP}`, features joined",
        {**_branches(TUNED, TUNED_MLP), **_WEIGHTED, **_CONCAT},
        _FUSION,
        beside=(BASE, TUNED),
    ),
    "fusion-late-unweighted": Trained(
        f"`{TUNED}-unweighted` and `{TUNED_MLP}-unweighted`, logits added",
        {**_branches(f"{TUNED}-unweighted", f"{TUNED_MLP}-unweighted"), **_UNWEIGHTED, **_LATE},
        _FUSION,
        beside=(BASE, f"{TUNED}-unweighted"),
    ),
    "fusion-late-mixed": Trained(
        f"`{TUNED}-unweighted` and `{TUNED_MLP}`, logits added: classes weighted for the landmarks alone",
        {**_branches(f"{TUNED}-unweighted", TUNED_MLP), **_UNWEIGHTED, **_LATE},
        _FUSION,
        beside=(BASE, f"{TUNED}-unweighted"),
    ),
    "fusion-late-raised": Trained(
        f"`{TUNED}-unweighted` and `{TUNED_MLP}-unweighted`, logits added, and those of classes raised whose "
        "recall on the validation people is below 45 %, the default of `train`",
        {
            **_branches(f"{TUNED}-unweighted", f"{TUNED_MLP}-unweighted"),
            **_UNWEIGHTED,
            **_LATE,
            "prediction.least_recall": 0.45,
        },
        _FUSION,
        beside=(BASE, f"{TUNED}-unweighted"),
    ),
}


def rows_of(cache: LandmarkCache) -> list[Row]:
    """All rows of a cache."""
    landmarks, deviations, blendshapes = cache.landmarks(), cache.deviations(), cache.blendshapes()
    faces = cache.faces(range(len(cache)))
    rows = []
    for number, record in enumerate(cache.table().to_pylist()):
        record |= {
            "landmarks": _known(landmarks[number]),
            "deviation": _known(deviations[number].astype(np.float16)),
            "blendshapes": None if blendshapes is None else _known(blendshapes[number]),
            "face": faces[number],
        }
        for name in ("box", "votes"):
            record[name] = None if record[name] is None else tuple(record[name])
        rows.append(Row(**record))
    return rows


def _known(values: NDArray[Any]) -> NDArray[Any] | None:
    return None if np.isnan(values).any() else values


def fold_caches(source: LandmarkCache, progress: Progress) -> list[Path]:
    """The cache of each fold: the photographs, with the people of one part as test images."""
    paths = [source.path.with_name(f"{source.name}-fold{fold + 1}of{FOLDS}") for fold in range(FOLDS)]
    if all(path.is_dir() and LandmarkCache.open(path).complete for path in paths):
        return paths
    rows = rows_of(source)
    for row in rows:
        row.label = None if row.label == LEFT_OUT else row.label
    labelled = [row for row in rows if row.label is not None]
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    parts = splitter.split(labelled, [row.label for row in labelled], [row.group for row in labelled])
    classes = [name for name in source.manifest.classes if name != LEFT_OUT]
    manifest = source.manifest.model_copy(update={"complete": False, "counts": None, "classes": classes})
    ids = [row.id for row in rows]
    for path, (_, tested) in progress.track(list(zip(paths, parts, strict=True)), "writing folds", FOLDS):
        people = {labelled[number].group for number in tested}
        for row in rows:
            row.split = "test" if row.group in people else "train"
        with CacheWriter(path, manifest, ids) as writer:
            for number in writer.missing_parts():
                writer.write_part(number, [rows[index] for index in manifest.part_range(number)])
            writer.finish()
    return paths


def predicted(name: str, caches: Sequence[Path], progress: Progress) -> Predictions:
    """What a row predicts of all photographs, each by networks that have not seen the person."""
    row = ROWS[name]
    found = []
    for fold, cache in enumerate(caches, start=1):
        settings: dict[str, Any] = {
            key: value.format(fold=fold) if isinstance(value, str) else value
            for key, value in row.settings.items()
        }
        settings |= {"cache": str(cache), "name": f"photographs-{name}-fold{fold}of{FOLDS}"}
        recipe = None if row.recipe is None else RECIPES / row.recipe
        run = train_or_resume(load_settings(recipe, overrides=settings), progress=progress)
        stored = run.path / "tested.parquet"
        if not stored.is_file():
            write_predictions(stored, open_run(run).predict_test())
        found.append(read_predictions(stored))
    return join_predictions(found)


def _sums(found: Predictions) -> NDArray[np.float64]:
    """For each photograph of each class, whether it is right and that it is there, `[N, 2 C]`."""
    of_class = found.labels[:, None] == np.arange(len(found.classes))
    return np.concatenate([of_class & found.correct[:, None], of_class], axis=1).astype(float)


def _figures(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy and balanced accuracy, `[..., 2]`, from sums `[..., 2 C]`."""
    hits, there = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        recalls = hits / there
    return np.stack([hits.sum(-1) / there.sum(-1), np.nanmean(recalls, axis=-1)], axis=-1)


def measure(known: Mapping[str, Predictions]) -> pd.DataFrame:
    """All figures, `row, metric, value`; those of a comparison have the metric `... beside <row>`."""
    table: list[tuple[str, str, float]] = []
    for name, found in known.items():
        assert found.groups is not None
        scores = per_class(found.labels, found.predicted, range(len(found.classes)))
        values = dict(zip(METRICS, _figures(_sums(found).sum(axis=0)), strict=True))
        values |= {f"recall_{of}": recall for of, recall in zip(found.classes, scores.recall, strict=True)}
        for number, of in enumerate(found.classes):
            there = found.labels == number
            values |= {f"images_{of}": there.sum(), f"people_{of}": len(set(found.groups[there]))}
        values |= {"images": len(found), "people": len(set(found.groups)), "found": found.found.mean()}
        for other in ROWS[name].beside:
            if other == name or other not in known:
                continue
            assert (found.ids == known[other].ids).all()
            sums = (_sums(found), _sums(known[other]))
            gaps = paired_differences(*sums, _figures, groups=group_numbers(found.groups))
            for number, metric in enumerate(METRICS):
                for part in ("difference", "low", "high", "p"):
                    values[f"{metric}_{part} beside {other}"] = getattr(gaps, part)[number]
        table += [(name, metric, float(value)) for metric, value in values.items()]
    return pd.DataFrame(table, columns=["row", "metric", "value"])


def with_earlier(measured: pd.DataFrame) -> pd.DataFrame:
    """Figures with those of rows that the CSV has and whose runs are not here."""
    if not RESULTS.is_file():
        return measured
    earlier = pd.read_csv(RESULTS)
    return pd.concat([earlier[~earlier["row"].isin(measured["row"])], measured], ignore_index=True)


def _gap(value: "pd.Series[float]", metric: str, other: str) -> str:
    """A difference as text, with its interval and p."""
    difference, low, high = (
        f"{100 * value[f'{metric}_{part} beside {other}']:+.1f}" for part in ("difference", "low", "high")
    )
    return f"{difference} ({low} to {high}), p {probability_text(value[f'{metric}_p beside {other}'])}"


def write(measured: pd.DataFrame) -> None:
    """Write the CSV and the page."""
    measured.to_csv(RESULTS, index=False, float_format="%.6g")
    by_row = {name: part.set_index("metric")["value"] for name, part in measured.groupby("row", sort=False)}
    first = next(iter(by_row.values()))
    classes = [metric.removeprefix("recall_") for metric in first.index if metric.startswith("recall_")]
    cells, gaps, recalls = [], [], []
    for name, row in ROWS.items():
        if name not in by_row:
            continue
        value = by_row[name]
        cells.append([f"`{name}`", row.text, *(f"{100 * value[metric]:.1f}" for metric in METRICS)])
        recalls.append([f"`{name}`", *(f"{100 * value[f'recall_{of}']:.1f}" for of in classes)])
        for other in row.beside:
            if f"accuracy_p beside {other}" in value:
                gaps.append([f"`{name}`", f"`{other}`", *(_gap(value, metric, other) for metric in METRICS)])
    counts = [
        ["photographs", *(f"{first[f'images_{of}']:,.0f}" for of in classes)],
        ["people", *(f"{first[f'people_{of}']:,.0f}" for of in classes)],
    ]
    header = Header(
        "Trained on photographs: what landmarks and pixels tell of people that are new",
        [
            "landmarkfer extract photos.zip --labels labels.csv --group-column person --crop 112 "
            f"--passes 3 --cache {SOURCE}",
            "python experiments/photograph_folds.py",
        ],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        machine="2 CPU cores",
        introduction=(
            f"{first['images']:,.0f} photographs of {first['people']:,.0f} people, in five parts by person, "
            "stratified by class, seed 0. Each part is predicted by networks trained on the people of the "
            "other parts, a tenth of whom validate; the epoch is that of their lowest loss, and "
            "of landmarks alone that of their highest accuracy. A face was found in "
            f"{100 * first['found']:.1f} % of the photographs; the others count. Differences are paired; "
            "their intervals and p-values are over people, not over seeds. Balanced accuracy is the mean "
            "recall of the classes, and that of a class of few photographs is uncertain."
        ),
    )
    parts = [
        markdown_table(["row", "what it is", "accuracy, %", "balanced, %"], cells, text_columns=2),
        "## Differences, points",
        markdown_table(["row", "beside", "accuracy", "balanced accuracy"], gaps, text_columns=2),
        "## Recall by class, %",
        markdown_table(["row", *classes], counts + recalls, text_columns=1),
    ]
    write_page(RESULTS.with_suffix(".md"), RESULTS, header, parts)


@click.command(help=__doc__.replace("\n\n    landmarkfer", "\n\n\b\n    landmarkfer"))
@click.option("--rows", multiple=True, type=click.Choice(list(ROWS)), help="Rows to train. [all]")
@click.option("--report", is_flag=True, help="Only write the page, of the rows that are or were trained.")
def main(rows: Sequence[str], report: bool) -> None:
    """Train the rows that are wanted, and write the page."""
    with show_progress() as progress:
        caches = fold_caches(LandmarkCache.open(find_cache(SOURCE)), progress)
        for name in () if report else rows or ROWS:
            found = predicted(name, caches, progress)
            progress.say(f"{name}: {100 * float(found.correct.mean()):.2f} %")
        known = {name: predicted(name, caches, progress) for name in ROWS if _finished(name)}
        write(with_earlier(measure(known)))


def _finished(name: str) -> bool:
    folds = range(1, FOLDS + 1)
    return all(
        (RUNS / f"photographs-{name}-fold{fold}of{FOLDS}" / "tested.parquet").is_file() for fold in folds
    )


if __name__ == "__main__":
    main()
