"""Can the shares of the classes in a data set be estimated from predictions of it, without labels?

    python experiments/priors.py

Applies the perceptrons of `experiments/skew.py` to another data set than their own, and compares accuracy,
calibration and coverage under the training prior, the true shares, and shares that are estimated from the
predictions alone: by expectation maximisation (Saerens et al. 2002), by black-box shift estimation (Lipton et
al. 2018) and its regularised version (Azizzadenesheli et al. 2019). Writes `experiments/results/priors.csv`
and `.md`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from calibration import Given, after, fitted, predict  # type: ignore[import-not-found]
from numpy.typing import NDArray
from scipy.optimize import minimize

from landmarkfer.calibration.conformal import label_sets, threshold_for
from landmarkfer.evaluation.opened import open_run
from landmarkfer.evaluation.shift import predictions_under
from landmarkfer.metrics.calibration import negative_log_likelihood
from landmarkfer.metrics.class_calibration import class_calibration, classwise_calibration_error
from landmarkfer.metrics.classification import balanced_accuracy
from landmarkfer.metrics.sets import STATED, set_scores
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, mean_sd, package_versions, write_page
from landmarkfer.runs.folder import RunFolder

Floats = NDArray[np.float64]
RESULTS = Path("experiments/results")
PAIRS = (
    ("fer2013", "photos"),
    ("photos", "fer2013"),
    ("fer2013", "fer2013-skewed"),
    ("fer2013-skewed", "fer2013"),
)
"""Data that a model was trained on, and data that it is applied to."""
SEEDS = (0, 1, 2)
PENALTY = 1.0
"""Of the regularised estimate: times the distance of the ratios from 1, by their number."""
ROUNDS = 1000
DRAWS = 100
"""Of the bootstrap for the intervals of an estimate."""


class Validation(NamedTuple):
    """Calibrated probabilities `[n, C]` and labels `[n]` of validation images."""

    probabilities: Floats
    labels: NDArray[np.int64]


def expectation_maximisation(validation: Validation, target: Floats) -> Floats:
    """The shares that make the predictions of the target likeliest."""
    prior = _shares(validation)
    shares = prior.copy()
    for _ in range(ROUNDS):
        weighted = target * (shares / np.maximum(prior, 1e-9))
        new = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(new - shares).max() < 1e-7:
            break
        shares = new
    return shares


def black_box(validation: Validation, target: Floats) -> Floats:
    """The shares under which the mean prediction of the validation images would be that of the target."""
    means = _mean_by_label(validation)
    ratio = np.linalg.lstsq(means, target.mean(axis=0), rcond=None)[0]
    return _normalised(np.clip(ratio, 0, None) * _shares(validation))


def regularised(validation: Validation, target: Floats) -> Floats:
    """As `black_box`, with a penalty on ratios other than 1, the larger the fewer the images."""
    means, mean = _mean_by_label(validation), target.mean(axis=0)
    penalty = PENALTY * np.sqrt(1 / len(validation.labels) + 1 / len(target))

    def loss(change: Floats) -> float:
        return float(np.linalg.norm(means @ (1 + change) - mean) + penalty * np.linalg.norm(change))

    classes = len(mean)
    found = minimize(loss, np.zeros(classes), bounds=[(-1, None)] * classes, method="L-BFGS-B")
    return _normalised((1 + found.x) * _shares(validation))


ESTIMATORS: dict[str, Callable[[Validation, Floats], Floats]] = {
    "expectation maximisation": expectation_maximisation,
    "black-box": black_box,
    "black-box, regularised": regularised,
}


def _mean_by_label(validation: Validation) -> Floats:
    """Mean over validation images of probability i where the label is j, `[C, C]`."""
    member = np.eye(validation.probabilities.shape[1])[validation.labels]
    return validation.probabilities.T @ member / len(validation.labels)


def _shares(validation: Validation) -> Floats:
    counts = np.bincount(validation.labels, minlength=validation.probabilities.shape[1]) + 0.5
    return counts / counts.sum()


def _normalised(values: Floats) -> Floats:
    return values / values.sum()


def validation_of(given: Given) -> Validation:
    """The calibrated predictions of the validation images."""
    found = after(Given(given.classes, given.val, given.val, given.log_weights))
    return Validation(found.probabilities, found.labels)


def measure(trained: str, applied: str, seed: int) -> Iterator[tuple[str, str, float]]:
    """Prior, metric and value of each way to predict."""
    run = RunFolder(Path("experiments/runs") / f"{trained}-mlp-none-s{seed}")
    given = predict(run)
    validation = validation_of(given)
    calibration = fitted(given)
    target = open_run(run, f"cache/{applied}").predict_test()
    target = target.rows(np.isin(target.labels, np.unique(validation.labels)) & target.found)
    probabilities = calibration.calibrated(target.uncalibrated, target.found)
    threshold = threshold_for(calibration.set_thresholds, STATED)
    sets = label_sets(probabilities, threshold, target.predicted)
    target = replace(target, probabilities=probabilities, sets=sets)
    prior = _shares(validation)
    true = np.bincount(target.labels, minlength=len(prior)) / len(target)
    rng = np.random.default_rng(0)
    priors = {"training": prior, "true": true, "uniform": np.full(len(prior), 1 / len(prior))}
    for name, estimate in ESTIMATORS.items():
        priors[name] = estimate(validation, target.probabilities)
        drawn = []
        for _ in range(DRAWS if name != "expectation maximisation" else 0):
            rows = rng.integers(len(validation.labels), size=len(validation.labels))
            some = Validation(validation.probabilities[rows], validation.labels[rows])
            other = target.probabilities[rng.integers(len(target), size=len(target))]
            drawn.append(estimate(some, other))
        if drawn:
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            yield name, "shares_held", float(((low <= true) & (true <= high)).mean())
    for name, shares in priors.items():
        found = predictions_under(target, np.maximum(shares, 1e-9) / prior)
        yield name, "distance", float(np.abs(shares - true).sum() / 2)
        yield name, "accuracy", float(found.correct.mean())
        classes = range(len(found.classes))
        yield name, "balanced_accuracy", balanced_accuracy(found.labels, found.predicted, classes)
        yield name, "nll", negative_log_likelihood(found.probabilities, found.labels)
        yield name, "classwise_ece", classwise_calibration_error(class_calibration(found))
        assert found.sets is not None
        yield name, "coverage", set_scores(found.sets, found.labels).coverage


def tables(measured: pd.DataFrame) -> Iterator[str]:
    """A table for each pair of data sets."""
    for trained, applied in PAIRS:
        known = measured[(measured["trained"] == trained) & (measured["applied"] == applied)]
        if known.empty:
            continue
        yield f"## Trained on `{trained}`, applied to `{applied}`"
        rows = []
        order = ["training", "true", "uniform", *ESTIMATORS]
        for prior, of_prior in sorted(known.groupby("prior"), key=lambda one: order.index(str(one[0]))):
            values = {metric: part["value"].tolist() for metric, part in of_prior.groupby("metric")}
            kinds = {"distance": "percent", "accuracy": "percent", "balanced_accuracy": "percent"}
            kinds |= {"nll": "nats", "classwise_ece": "percent", "coverage": "percent"}
            kinds |= {"shares_held": "percent"}
            rows.append([str(prior), *(mean_sd(values.get(one, []), kind) for one, kind in kinds.items())])
        headings = ["prior", "distance from the true shares, points", "accuracy, %", "balanced, %", "NLL"]
        headings += ["classwise ECE, %", "coverage of 90 % sets, %", "true shares in their interval, %"]
        yield markdown_table(headings, rows, text_columns=1)


def main() -> None:
    """Measure all pairs, and write the page."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    rows = []
    with show_progress() as progress:
        tasks = [(trained, applied, seed) for trained, applied in PAIRS for seed in SEEDS]
        for trained, applied, seed in progress.track(tasks, "predicting", len(tasks)):
            rows += [(trained, applied, seed, *row) for row in measure(trained, applied, seed)]
    measured = pd.DataFrame(rows, columns=["trained", "applied", "seed", "prior", "metric", "value"])
    measured.to_csv(RESULTS / "priors.csv", index=False, float_format="%.6f")
    header = Header(
        "Priors of other data sets",
        ["python experiments/skew.py", "python experiments/priors.py"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            "Perceptrons on landmarks, applied to other data than they were trained on, under several "
            "priors: how far the shares are from the true ones (total variation), and what that does to the "
            "predictions. Test images with a face, of classes that the validation images have; means ± SD "
            "over three seeds."
        ),
    )
    write_page(RESULTS / "priors.md", RESULTS / "priors.csv", header, list(tables(measured)))


if __name__ == "__main__":
    main()
