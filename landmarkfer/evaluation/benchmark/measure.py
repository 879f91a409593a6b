"""The finished runs of a benchmark: their predictions on test images and other data, and their costs."""

import json
import timeit
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from landmarkfer.errors import CacheError, RunError
from landmarkfer.evaluation.benchmark.archive import ArchivedRun, read_archived, write_archived
from landmarkfer.evaluation.benchmark.matrix import elsewhere_figures
from landmarkfer.evaluation.evaluate import evaluate_opened, evaluate_run
from landmarkfer.evaluation.files import METRICS_FILE, PREDICTIONS_FILE, read_evaluation, write_evaluation
from landmarkfer.evaluation.opened import Opened, open_run
from landmarkfer.files import replacing
from landmarkfer.inference.predict import predict_faces
from landmarkfer.metrics.predictions import Predictions, read_predictions
from landmarkfer.metrics.report import Evaluation
from landmarkfer.models.base import is_network
from landmarkfer.models.profile import count_cost
from landmarkfer.reporting.markdown import package_versions
from landmarkfer.reporting.results import RUN_SUBSET
from landmarkfer.runs.config import RunConfig
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.metrics_table import read_epochs

COST_FILE = "cost.json"
_LATENCY_CALLS = 20


def measure_run(run: RunFolder, other_data: Mapping[str, str]) -> ArchivedRun:
    """What the archive stores of a finished run, which is evaluated if it has not been.

    Args:
        run: The run.
        other_data: Further caches by name, on whose test images it is evaluated too.
    """
    predictions, config = evaluated(run), run.read_config()
    figures = [(RUN_SUBSET, metric, value) for metric, value in _costs(run, config).items()]
    evaluations = {name: _elsewhere(run, name, cache) for name, cache in other_data.items()}
    return _archived(config, predictions, figures, evaluations)


def _archived(
    config: RunConfig,
    predictions: Predictions | None,
    figures: Sequence[tuple[str, str, float]],
    evaluations: Mapping[str, tuple[Evaluation, Predictions]],
) -> ArchivedRun:
    further = [
        figure
        for name, (evaluation, _) in evaluations.items()
        for figure in elsewhere_figures(evaluation.subsets["test"], name)
    ]
    return ArchivedRun(
        predictions=predictions,
        model=config.settings.model.name,
        graph=config.graph.name if config.graph else None,
        created=config.created,
        changed=config.changed,
        figures=[*figures, *further],
        versions=package_versions(),
        trained_on=config.cache.names,
        elsewhere={name: found for name, (_, found) in evaluations.items()},
    )


def measure_weights(run: RunFolder, other_data: Mapping[str, str]) -> ArchivedRun:
    """What the archive stores of weights without their training; nothing is written beside them.

    Their own test images are predicted where the cache is there, and it need not be.

    Args:
        run: The folder of `config.json` and the weights.
        other_data: Further caches by name, on whose test images they are evaluated.

    Raises:
        CacheError: There is neither the cache that the run was trained on nor other data.
    """
    config = run.read_config()
    opened = _open_somewhere(run, other_data)
    predictions = opened.predict_test() if opened.own else None
    figures = [] if config.parameters is None else [(RUN_SUBSET, "parameters", float(config.parameters))]
    figures += [(RUN_SUBSET, metric, value) for metric, value in measure_cost(opened).items()]
    evaluations = {name: _evaluate_on(run, name, cache) for name, cache in other_data.items()}
    return _archived(config, predictions, figures, evaluations)


def _open_somewhere(run: RunFolder, other_data: Mapping[str, str]) -> Opened:
    """A run beside its own cache, or, where that is not there, beside the first of the other data."""
    try:
        return open_run(run)
    except CacheError:
        if not other_data:
            raise
        return open_run(run, next(iter(other_data.values())))


def evaluated(run: RunFolder) -> Predictions:
    """The predictions of a run on its test images; it is evaluated and its cost measured where need be."""
    predictions = None
    if _up_to_date(run, PREDICTIONS_FILE) and _up_to_date(run, METRICS_FILE):
        with suppress(RunError):  # written by another version: evaluated again
            read_evaluation(run.path)
            predictions = read_predictions(run.path / PREDICTIONS_FILE)
    measured = _up_to_date(run, COST_FILE)
    if predictions is not None and measured:
        return predictions
    opened = open_run(run)
    if predictions is None:
        predictions = opened.predict_test()
        write_evaluation(run.path, evaluate_opened(opened, predictions), predictions)
    if not measured:
        _write_cost(run, opened)
    return predictions


def _up_to_date(run: RunFolder, name: str) -> bool:
    """Whether a file of a run is there and no older than its weights."""
    file = run.path / name
    weights = run.weights_file if run.weights_file.exists() else run.estimator_file
    return file.exists() and file.stat().st_mtime >= weights.stat().st_mtime


def measure_cost_again(run: RunFolder, archived: Path, other_data: Mapping[str, str]) -> None:
    """Measure what a prediction of a run costs once more.

    Args:
        run: The run, whose file of costs is replaced, unless it is weights alone.
        archived: Its file in the archive, if it is there: the new costs replace the old ones.
        other_data: Further caches by name, whose faces are predicted where the run's own is not there.
    """
    alone = not run.metrics_file.exists()
    cost = measure_cost(_open_somewhere(run, other_data)) if alone else _write_cost(run, open_run(run))
    if archived.exists():
        old = read_archived(archived)
        figures = [
            (subset, metric, cost.get(metric, value) if subset == RUN_SUBSET else value)
            for subset, metric, value in old.figures
        ]
        write_archived(archived, replace(old, figures=figures))


def _write_cost(run: RunFolder, opened: Opened) -> dict[str, float]:
    cost = measure_cost(opened)
    with replacing(run.path / COST_FILE) as path:
        path.write_text(json.dumps(cost, indent=2) + "\n", encoding="utf-8")
    return cost


def measure_cost(opened: Opened) -> dict[str, float]:
    """Multiply-accumulates of one prediction, and the milliseconds it takes on a CPU core, TTA included.

    One core and the best of some calls: other work on the machine lengthens calls and never shortens one.
    """
    model, settings = opened.trained.model, opened.trained.config.settings.prediction
    model.to("cpu")
    seen = np.flatnonzero(model.has_input(opened.dataset.faces).numpy())[:1]
    one = opened.dataset.faces.rows(torch.as_tensor(seen))
    one = replace(one, labels=None, targets=None)
    cost: dict[str, float] = {}
    if is_network(model):
        cost["macs"] = count_cost(model, one)[1]
    with threadpool_limits(1):
        calls = partial(predict_faces, model, one, settings)
        seconds = min(timeit.repeat(calls, number=1, repeat=_LATENCY_CALLS))
    return cost | {"latency_ms": 1000 * seconds}


def _costs(run: RunFolder, config: RunConfig) -> dict[str, float]:
    """What training the run has cost, and what a prediction costs."""
    figures: dict[str, float] = {} if config.parameters is None else {"parameters": config.parameters}
    figures |= json.loads((run.path / COST_FILE).read_text(encoding="utf-8"))
    if run.metrics_file.exists():
        figures["train_seconds"] = float(read_epochs(run.metrics_file)["seconds"].sum())
    return figures


def _elsewhere(run: RunFolder, name: str, cache: str) -> tuple[Evaluation, Predictions]:
    """The evaluation of a run on other data, and its predictions, which are stored in its folder."""
    folder = run.path / "elsewhere" / name
    try:
        return read_evaluation(folder), read_predictions(folder / PREDICTIONS_FILE)
    except RunError:  # not evaluated yet, or by another version
        evaluation, predictions = _evaluate_on(run, name, cache)
        write_evaluation(folder, evaluation, predictions)
    return evaluation, predictions


def _evaluate_on(run: RunFolder, name: str, cache: str) -> tuple[Evaluation, Predictions]:
    """Evaluate a run on other data; images of classes that it lacks are left out."""
    evaluation, predictions = evaluate_run(run, cache)
    if not evaluation.subsets:
        raise CacheError(f"the other data '{name}' ({cache}) has no labels to evaluate on.")
    return evaluation, predictions
