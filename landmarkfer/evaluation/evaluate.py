"""Evaluate finished runs, on their own test images or another cache's: one by one, averaged, or as folds."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from landmarkfer.calibration.ensemble import find_weights
from landmarkfer.calibration.priors import Prior
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.evaluation.elsewhere import Applied, write_elsewhere
from landmarkfer.evaluation.files import write_evaluation
from landmarkfer.evaluation.label_mapping import AS_IT_IS, LabelMapping
from landmarkfer.evaluation.opened import Opened, open_run
from landmarkfer.evaluation.shift import class_shares, own_figures, stated_prior
from landmarkfer.evaluation.slices import Slicer
from landmarkfer.evaluation.warned import with_warnings
from landmarkfer.metrics.bootstrap import LEVEL
from landmarkfer.metrics.combine import average_predictions, join_predictions
from landmarkfer.metrics.predictions import UNKNOWN, Predictions
from landmarkfer.metrics.report import Evaluation, evaluate_predictions
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.folder import RunFolder

logger = logging.getLogger(__name__)


def evaluate_run(
    run: RunFolder,
    cache: str | os.PathLike[str] | None = None,
    also: Sequence[str | os.PathLike[str]] = (),
    mapping: LabelMapping = AS_IT_IS,
    progress: Progress = SILENT,
    prior: Prior | None = None,
) -> tuple[Evaluation, Predictions]:
    """Evaluate a run on its test images, or on another cache.

    Args:
        run: A finished run.
        cache: A cache other than the one it was trained on; its test images, or all where it has no test
            split, are predicted, as far as their label is a class of the model. Where none has a label, all
            are predicted, and the evaluation has no figures.
        also: Further caches of the same images (another detector, other passes), over which the prediction of
            each image is averaged.
        mapping: How the labels of `cache` become classes of the model.
        progress: Reports the search for near-duplicates, where it is not stored beside the cache.
        prior: Share of each class among the images by name, `uniform`, or `train`; as in training if None.

    Returns:
        The evaluation, without slices, and the predictions that it is of. Nothing is written but the
        near-duplicates.

    Raises:
        RunError: The run is not finished or damaged, or a further cache holds other images.
        CacheError: The cache is missing, or has no image of the run's classes.
        SettingsError: Labels are numbers without names, or the mapping does not fit.
    """
    opened = open_run(run, cache, mapping, prior)
    predictions = opened.with_near_duplicates(_predict_test(opened, also, mapping), progress)
    return evaluate_opened(opened, predictions), predictions


def evaluate_opened(opened: Opened, predictions: Predictions) -> Evaluation:
    """The figures and warnings of a run, with what is left out of them.

    Args:
        opened: The run beside the images.
        predictions: Of these images, by the run.
    """
    return with_warnings(_figures(opened, predictions), opened, _training_warnings(opened.run))


def _training_warnings(run: RunFolder) -> list[str]:
    """What the training of a run warned of; a damaged file of that costs no evaluation."""
    try:
        return run.read_warnings()
    except RunError as error:
        logger.warning("%s", error)
        return []


def _figures(opened: Opened, predictions: Predictions) -> Evaluation:
    """The figures, with what is left out of them; none where no image has a label."""
    shared = [] if predictions.sets is None else opened.shared_sets
    found = {"prior": stated_prior(opened.prior), "shared_sets": shared}
    if opened.foreign is None:
        return evaluate_predictions(predictions).model_copy(update=found)
    other = opened.foreign.report(opened.dataset, predictions, opened.cache.path.name)
    if len(predictions) and (predictions.labels == UNKNOWN).all():
        classes = list(predictions.classes)
        return Evaluation(
            classes=classes, bootstrap=0, seed=0, level=LEVEL, subsets={}, other_data=other, **found
        )
    shift = {"own": own_figures(opened.run), "shares": class_shares(predictions, opened.trained_shares)}
    other = other.model_copy(update=shift)
    return evaluate_predictions(predictions).model_copy(update={"other_data": other, **found})


def _predict_test(
    opened: Opened, also: Sequence[str | os.PathLike[str]], mapping: LabelMapping
) -> Predictions:
    predictions = opened.predict_test()
    if not also:
        return predictions
    if opened.dataset.caches:
        raise SettingsError(
            f"run '{opened.run.name}' was trained on several caches, and further versions are of the images "
            f"of one; name it: --cache {opened.dataset.caches[0]}."
        )
    others = [open_run(opened.run, other, mapping, opened.prior).predict_test() for other in also]
    return average_predictions([predictions, *others])


def evaluate_runs(
    runs: Sequence[RunFolder],
    cache: str | os.PathLike[str] | None = None,
    out: Path | None = None,
    *,
    also: Sequence[str | os.PathLike[str]] = (),
    weights: Literal["equal", "validation"] = "equal",
    name: str | None = None,
    mapping: LabelMapping = AS_IT_IS,
    prior: Prior | None = None,
    progress: Progress = SILENT,
) -> list[tuple[str, Evaluation]]:
    """Evaluate runs one by one and, if there are several, the average of their probabilities.

    Args:
        runs: Finished runs.
        cache: See `evaluate_run`.
        out: Folder for the files of the evaluation: of the ensemble, or of the one run. Without it, each run
            has them in its folder, those of another cache, or under another prior, in a folder of their own
            there (`elsewhere.elsewhere_folder`), and nothing is written of an ensemble, or of `also` alone.
        also: See `evaluate_run`.
        weights: How much each run counts in the average: all alike, or as makes the labels of the validation
            images most likely, which must then be the same for all runs.
        name: Of the average; by default it tells the number of runs.
        mapping: See `evaluate_run`.
        prior: See `evaluate_run`.
        progress: Reports the search for near-duplicates and the measuring of confounds, where they are not
            stored beside the cache.

    Returns:
        Names and evaluations, with slices by the strongest confounds; the ensemble is the last.
    """
    found: list[tuple[str, Evaluation]] = []
    predictions: list[Predictions] = []
    validation: list[Predictions] = []
    sliced = Slicer(progress)
    for run in runs:
        opened = open_run(run, cache, mapping, prior)
        predictions.append(opened.with_near_duplicates(_predict_test(opened, also, mapping), progress))
        evaluation = sliced(evaluate_opened(opened, predictions[-1]), predictions[-1], opened.cache)
        found.append((run.name, evaluation))
        if cache is None and prior is None and not also:
            write_evaluation(run.path, found[-1][1], predictions[-1])
        elif (cache is not None or prior is not None) and out is None:
            applied = Applied(cache or opened.trained.config.cache.where, also, mapping, prior)
            write_elsewhere(run, applied, found[-1][1], predictions[-1])
        if len(runs) > 1 and weights == "validation":
            validation.append((opened if opened.own else open_run(run)).predict_validation())
    if len(runs) > 1:
        shares = find_weights(validation) if validation else None
        name = name or f"average of {len(runs)} runs"
        if shares is not None:
            name += ", weighted " + " : ".join(f"{share:.2f}" for share in shares)
        predictions.append(average_predictions(predictions, shares))
        evaluation = with_warnings(_figures(opened, predictions[-1]), opened)
        found.append((name, sliced(evaluation, predictions[-1], opened.cache)))
    if out is not None:
        write_evaluation(out, found[-1][1], predictions[-1])
    return found


def evaluate_folds(runs: Sequence[RunFolder], out: Path) -> tuple[Evaluation, Predictions]:
    """Evaluate runs together, each on the images that validated it: the folds of a cross-validation.

    Args:
        runs: Finished runs, one for each fold.
        out: Folder for the files; its predictions can be distilled (`training.distillation`).

    Returns:
        The evaluation and the predictions that it is of.

    Raises:
        RunError: A fold is missing, two runs were validated on the same image, or their classes differ.
    """
    _check_folds(runs)
    parts: list[Predictions] = []
    for run in runs:
        opened = open_run(run)
        part = opened.predict_validation()
        if parts and part.classes != parts[0].classes:
            raise RunError(f"run '{run.name}' has other classes than '{runs[0].name}'.")
        parts.append(part)
    ids = pd.Index([name for part in parts for name in part.ids])
    if ids.has_duplicates:
        raise RunError(
            f"{ids[ids.duplicated()][0]} validated more than one of these runs; give the folds of one "
            "cross-validation."
        )
    predictions = join_predictions(parts)
    evaluation = evaluate_predictions(predictions)
    evaluation = with_warnings(evaluation, opened, images="validation image")
    write_evaluation(out, evaluation, predictions)
    return evaluation, predictions


def _check_folds(runs: Sequence[RunFolder]) -> None:
    """Refuse runs of which one is no fold, or that are not all the folds of one cross-validation."""
    splits = {run.name: run.read_config().settings.split for run in runs}
    counts = sorted({split.folds for split in splits.values()})
    advice = "give the runs of one `landmarkfer train --folds`"
    if 0 in counts:
        name = next(name for name, split in splits.items() if split.folds == 0)
        raise RunError(f"run '{name}' is no fold of a cross-validation; {advice}.")
    if len(counts) > 1:
        raise RunError(f"some runs are of {counts[0]} folds and some of {counts[1]}; {advice}.")
    there = {split.fold for split in splits.values()}
    missing = [str(fold + 1) for fold in range(counts[0]) if fold not in there]
    if missing:
        numbers = f"fold {missing[0]} is" if len(missing) == 1 else f"folds {', '.join(missing)} are"
        raise RunError(f"{numbers} missing of the {counts[0]}; {advice}, all of them.")
