"""Measures calibration under skew: of the same networks with one temperature, and as trainings fit it.

    python experiments/calibration.py

Takes the runs of `experiments/skew.py` and, on FER2013, the image networks of `experiments/weights/`. Each
is predicted once; *before* scales its probabilities by one temperature and takes one threshold for the
prediction sets of all classes, *after* is `calibration.fitted`: training weights undone, the scaling chosen
on held-out folds, thresholds by class. Labels are the same. Writes `experiments/results/calibration.csv` and
`.md`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from landmarkfer.calibration.conformal import find_thresholds, label_sets, threshold_for
from landmarkfer.calibration.fitted import Calibration, fit_calibration
from landmarkfer.calibration.temperature import find_temperature, temper
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.evaluation.opened import split_ids
from landmarkfer.inference.tta import mean_probabilities
from landmarkfer.metrics.calibration import expected_calibration_error, negative_log_likelihood
from landmarkfer.metrics.class_calibration import class_calibration, classwise_calibration_error
from landmarkfer.metrics.classification import balanced_accuracy
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.intervals import hit_interval
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.sets import STATED, set_scores
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, mean_sd, package_versions, write_page
from landmarkfer.runs.folder import RunFolder, find_run
from landmarkfer.training.calibrate import validation_folds
from landmarkfer.training.class_weighting import log_class_weights

RESULTS = Path("experiments/results")
DATA = {
    "photos": "Photographs, split by person",
    "fer2013-skewed": "FER2013 drawn with the shares of photographs",
    "fer2013": "FER2013",
}
MODELS = ("mlp", "gnn", "image", "fusion", "hog-svm")
SEEDS = (0, 1, 2)
WEIGHTS = ("none", "sqrt_inverse", "inverse")
TOP, ABOVE = 0.05, 0.95
"""The share of the images of highest confidence, and the confidence, whose accuracy is compared with it."""
ENOUGH = 30
"""Test images of a class whose coverage is reported."""
KEY = ["data", "model", "weights", "seed"]
COLUMNS = [*KEY, "variant", "metric", "value", "low", "high", "images"]


@dataclass(frozen=True)
class Part:
    """What a run gives of the images of one split, uncalibrated.

    Attributes:
        ids: `[N]`.
        given: `[N, C]`.
        labels: `[N]`.
        usable: Bool `[N]`.
        groups: `[N]`, None where there is none.
    """

    ids: NDArray[np.object_]
    given: NDArray[np.float64]
    labels: NDArray[np.int64]
    usable: NDArray[np.bool_]
    groups: NDArray[np.object_]


@dataclass(frozen=True)
class Given:
    """What a run gives of its validation and test images, and how it weighted the classes."""

    classes: tuple[str, ...]
    val: Part
    test: Part
    log_weights: NDArray[np.float64]


def predict(run: RunFolder, cache: str | None = None) -> Given:
    """Predict the validation and test images of a run; `cache` names another cache of the same images."""
    trained = run.load()
    config = trained.config
    settings = config.settings
    source = LandmarkCache.open(find_cache(cache or config.cache.path))
    labels = label_images(source, settings.data, config.classes)
    dataset = load_dataset(source, settings.normalisation, labels, config.images)
    ids = split_ids(run, dataset.frame)
    rows = {part: np.flatnonzero(dataset.frame["id"].isin(ids[part])) for part in ("train", "val", "test")}
    assert dataset.faces.labels is not None
    y = dataset.faces.labels.numpy()

    def part(name: str) -> Part:
        faces = dataset.faces.rows(torch.as_tensor(rows[name]))
        return Part(
            dataset.frame["id"].to_numpy(object)[rows[name]],
            mean_probabilities(trained.model, faces, settings.prediction).numpy(),
            y[rows[name]],
            trained.model.has_input(faces).numpy(),
            dataset.frame["group"].astype(object).to_numpy()[rows[name]],
        )

    counts = np.bincount(y[rows["train"]], minlength=len(config.classes))
    weights = log_class_weights(trained.model, settings, counts, counts / counts.sum())
    offset = getattr(trained.model, "class_offset", torch.zeros(len(config.classes)))
    return Given(config.classes, part("val"), part("test"), weights + offset.double().numpy())


def before(given: Given) -> Predictions:
    """The test images with one temperature and one threshold for all classes."""
    val, test = given.val, given.test
    temperature = find_temperature(val.given[val.usable], val.labels[val.usable])
    scaled = [temper(part.given, np.where(part.usable, temperature, 1.0)) for part in (val, test)]
    rows = np.arange(len(val.labels))
    threshold = threshold_for(find_thresholds(scaled[0][rows, val.labels]), STATED)
    return _predictions(given, scaled[1], threshold)


def fitted(given: Given) -> Calibration:
    """The calibration as trainings fit it."""
    val = given.val
    folds = validation_folds(val.labels, val.groups)
    return fit_calibration(val.given, val.labels, val.usable, folds, given.log_weights)


def after(given: Given) -> Predictions:
    """The test images as they are calibrated."""
    calibration, test = fitted(given), given.test
    assert calibration.set_thresholds is not None
    return _predictions(
        given,
        calibration.calibrated(test.given, test.usable),
        threshold_for(calibration.set_thresholds, STATED),
    )


def _predictions(given: Given, probabilities: NDArray, threshold: NDArray) -> Predictions:
    test = given.test
    predicted = test.given.argmax(axis=1)
    return Predictions(
        ids=test.ids,
        labels=test.labels,
        predicted=predicted,
        probabilities=probabilities,
        classes=given.classes,
        status=np.where(test.usable, "ok", "no_face").astype(object),
        uncalibrated=test.given,
        sets=label_sets(probabilities, threshold, predicted),
        groups=test.groups,
    )


def figures(found: Predictions) -> Iterator[tuple[str, float, float, float, int]]:
    """Metric, value, ends of its interval and images, a row each."""
    groups = group_numbers(found.groups)
    n, hits, confidence = len(found), found.correct, found.confidence
    nan = float("nan")
    low, high = hit_interval(hits, groups)
    yield "accuracy", hits.mean(), low, high, n
    balanced = balanced_accuracy(found.labels, found.predicted, range(len(found.classes)))
    yield "balanced_accuracy", balanced, nan, nan, n
    probable = found.probabilities.argmax(axis=1)
    yield "accuracy_most_probable", (probable == found.labels).mean(), nan, nan, n
    balanced = balanced_accuracy(found.labels, probable, range(len(found.classes)))
    yield "balanced_most_probable", balanced, nan, nan, n
    yield "nll", negative_log_likelihood(found.probabilities, found.labels), nan, nan, n
    yield "ece", expected_calibration_error(confidence, hits), nan, nan, n
    by_class = class_calibration(found, groups)
    yield "classwise_ece", classwise_calibration_error(by_class), nan, nan, n
    sets = set_scores(found.sets, found.labels, groups)
    yield "coverage", sets.coverage, sets.low, sets.high, n
    yield "set_size", sets.size, nan, nan, n
    for name, one in by_class.items():
        images = int((found.labels == found.classes.index(name)).sum())
        yield f"expected_{name}", one.expected, nan, nan, images
        yield f"share_{name}", one.share, nan, nan, images
        if one.coverage is not None:
            yield f"coverage_{name}", one.coverage, *one.interval, images
            recall = hits[found.labels == found.classes.index(name)].mean()
            yield f"recall_{name}", recall, nan, nan, images
    order = np.argsort(-confidence, kind="stable")
    highest = np.zeros(n, bool)
    highest[order[: max(1, round(TOP * n))]] = True
    for name, chosen in (("top", highest), ("above", confidence > ABOVE)):
        if not chosen.any():
            continue
        own = None if groups is None else np.unique(groups[chosen], return_inverse=True)[1]
        low, high = hit_interval(hits[chosen], own)
        count = int(chosen.sum())
        yield f"{name}_accuracy", hits[chosen].mean(), low, high, count
        yield f"{name}_confidence", confidence[chosen].mean(), nan, nan, count


def systems() -> Iterator[tuple[str, str, str, int, RunFolder, str | None]]:
    """Data, model, weights, seed, run, and another cache for it, as far as the runs are there."""
    for data in DATA:
        for model in MODELS:
            for weights in ("-",) if model == "hog-svm" else WEIGHTS:
                for seed in SEEDS:
                    middle = "" if weights == "-" else f"-{weights}"
                    run = RunFolder(Path("experiments/runs") / f"{data}-{model}{middle}-s{seed}")
                    if run.finished:
                        yield data, model, weights, seed, run, None
    for seed in SEEDS:
        run = find_run(f"experiments/weights/fer2013-resnet-fer-16-s{seed}")
        yield "fer2013", "image", "none", seed, run, "fer2013"


def tables(measured: pd.DataFrame) -> Iterator[str]:
    """The page's tables from the measured figures."""
    for data, title in DATA.items():
        known = measured[measured["data"] == data]
        if known.empty:
            continue
        yield f"## {title}"
        sizes = known[known["metric"].str.startswith("share_") & (known["variant"] == "after")]
        counts = sizes.drop_duplicates("metric").set_index("metric")["images"]
        names = [f"{name.removeprefix('share_')} {count:,}" for name, count in counts.items()]
        yield f"Test images: {', '.join(names)}."
        rows = []
        for (model, weights), of_model in known.groupby(["model", "weights"], sort=False):
            rows.append([model, weights, f"{of_model['seed'].nunique()}", *_cells(of_model)])
        headings = ["model", "class weights", "seeds", "accuracy, %", "balanced, %"]
        headings += ["most probable class: accuracy, %", "balanced, %"]
        for name in ("NLL", "classwise ECE, %", "coverage of 90 % sets, %", "labels per set"):
            headings.append(f"{name}: before → after")
        headings.append(f"lowest coverage of a class of {ENOUGH} images, %: before → after")
        yield markdown_table(headings, rows, text_columns=2)
        yield "The predictions of highest confidence, all seeds: accuracy / mean confidence, %."
        yield markdown_table(
            ["model", "class weights", "highest 5 %: before", "after", "p > 0.95: before", "after"],
            [
                [model, weights, *_confident_cells(of_model)]
                for (model, weights), of_model in known.groupby(["model", "weights"], sort=False)
            ],
            text_columns=2,
        )
        yield from _class_table(known)


def _cells(of_model: pd.DataFrame) -> list[str]:
    def values(metric: str, variant: str) -> Sequence[float]:
        chosen = of_model[(of_model["metric"] == metric) & (of_model["variant"] == variant)]
        return chosen["value"].tolist()

    def both(metric: str, kind: str) -> str:
        return " → ".join(mean_sd(values(metric, variant), kind) for variant in ("before", "after"))

    def lowest(variant: str) -> str:
        chosen = of_model[of_model["metric"].str.startswith("coverage_") & (of_model["variant"] == variant)]
        means = chosen[chosen["images"] >= ENOUGH].groupby("metric")["value"].mean()
        return f"{100 * means.min():.1f} ({means.idxmin().removeprefix('coverage_')})"

    return [
        mean_sd(values("accuracy", "after"), "percent"),
        mean_sd(values("balanced_accuracy", "after"), "percent"),
        mean_sd(values("accuracy_most_probable", "after"), "percent"),
        mean_sd(values("balanced_most_probable", "after"), "percent"),
        both("nll", "nats"),
        both("classwise_ece", "percent"),
        both("coverage", "percent"),
        both("set_size", "number"),
        f"{lowest('before')} → {lowest('after')}",
    ]


def _confident_cells(of_model: pd.DataFrame) -> list[str]:
    cells = []
    for name in ("top", "above"):
        for variant in ("before", "after"):
            chosen = of_model[of_model["variant"] == variant]
            accuracy = chosen[chosen["metric"] == f"{name}_accuracy"].set_index("seed")
            confidence = chosen[chosen["metric"] == f"{name}_confidence"].set_index("seed")["value"]
            if accuracy.empty:
                cells.append("none")
                continue
            n = accuracy["images"].to_numpy()
            means = [np.average(values, weights=n) for values in (accuracy["value"], confidence)]
            below = int((accuracy["high"] < confidence).sum())
            text = f"{100 * means[0]:.1f} / {100 * means[1]:.1f} ({n.sum():,})"
            cells.append(text + (f", **below in {below} of {len(n)} runs**" if below else ""))
    return cells


def _class_table(known: pd.DataFrame) -> Iterator[str]:
    """Share, expected share and coverage of each class, of the perceptron with the default weights."""
    chosen = known[(known["model"] == "mlp") & (known["weights"] == "sqrt_inverse")]
    if chosen.empty:
        return
    mean = chosen.groupby(["variant", "metric"])["value"].mean()
    names = [m.removeprefix("share_") for m in chosen["metric"].unique() if m.startswith("share_")]
    rows = []
    for name in names:
        images = chosen.loc[chosen["metric"] == f"share_{name}", "images"].iloc[0]
        values = [mean["after", f"share_{name}"]]
        values += [mean[variant, f"expected_{name}"] for variant in ("before", "after")]
        values += [mean.get((variant, f"coverage_{name}"), np.nan) for variant in ("before", "after")]
        rows.append([name, f"{images:,}", *("–" if np.isnan(v) else f"{100 * v:.1f}" for v in values)])
    yield "By class, the perceptron with `sqrt_inverse`, mean over seeds, %:"
    headings = ["class", "test images", "share", "mean probability: before", "after", "coverage: before"]
    yield markdown_table([*headings, "after"], rows, text_columns=1)


def main() -> None:
    """Measure all runs that are there, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--more", action="store_true", help="keep what the CSV has, and add what it lacks")
    path = RESULTS / "calibration.csv"
    earlier = (
        pd.read_csv(path) if parser.parse_args().more and path.exists() else pd.DataFrame(columns=COLUMNS)
    )
    known = set(earlier[KEY].itertuples(index=False, name=None))
    rows = []
    with show_progress() as progress:
        found = [one for one in systems() if one[:4] not in known]
        for data, model, weights, seed, run, cache in progress.track(found, "predicting", len(found)):
            given = predict(run, cache)
            for variant, calibrated in (("before", before(given)), ("after", after(given))):
                rows += [(data, model, weights, seed, variant, *row) for row in figures(calibrated)]
    measured = pd.concat([earlier, pd.DataFrame(rows, columns=COLUMNS)])
    order = [list(DATA), list(MODELS), ["-", *WEIGHTS]]
    for name, values in zip(KEY[:3], order, strict=True):
        measured[name] = pd.Categorical(measured[name], categories=values, ordered=True)
    measured.sort_values(KEY, kind="stable").to_csv(path, index=False, float_format="%.6f")
    measured = pd.read_csv(path)
    header = Header(
        "Calibration under skew",
        ["python experiments/skew.py", "python experiments/calibration.py"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            "The same networks with their probabilities scaled by one temperature and one threshold for the "
            "prediction sets of all classes (before), and calibrated as trainings do it: class weights of "
            "the training undone, the scaling chosen on held-out validation folds, thresholds of sets by "
            "class (after). Labels are the same before and after. Means ± SD over seeds. The highest 5 % are "
            "the images of highest confidence; *below* counts runs whose accuracy is below their mean "
            "confidence by more than the 95 % interval of the accuracy allows (Clopper-Pearson, over people "
            "of the photographs Korn-Graubard)."
        ),
    )
    write_page(RESULTS / "calibration.md", RESULTS / "calibration.csv", header, list(tables(measured)))


if __name__ == "__main__":
    main()
