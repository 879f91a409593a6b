"""The files of an evaluation in a run's folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.metrics.few import is_few
from landmarkfer.metrics.groups import group_numbers
from landmarkfer.metrics.predictions import Predictions, write_predictions
from landmarkfer.metrics.report import Evaluation

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"
PICTURES = ("confusion.png", "reliability.png", "class_reliability.png", "risk_coverage.png")
FIGURE_FILES = ("per_class.csv", *PICTURES)
"""What else an evaluation with figures leaves."""


def per_class_frame(evaluation: Evaluation) -> pd.DataFrame:
    """One row per subset and class with precision, recall, F1, the ends of their intervals, and support.

    `few` says whether the class has fewer than `metrics.few.FEW_IMAGES` images in the subset; the columns
    from `share` on are those of `metrics.class_calibration.ClassCalibration`.
    """
    rows = []
    for subset, report in evaluation.subsets.items():
        for name, scores in report.per_class.items():
            row: dict[str, object] = {"subset": subset, "class": name, "support": scores.support}
            row["few"] = is_few(scores.support)
            for score in ("precision", "recall", "f1"):
                row[score] = getattr(scores, score)
                row[f"{score}_low"], row[f"{score}_high"] = scores.intervals[score]
            if name in report.calibration:
                own = report.calibration[name]
                row |= {"share": own.share, "expected": own.expected, "ece": own.ece}
                low, high = own.interval or (None, None)
                row |= {"coverage": own.coverage, "coverage_low": low, "coverage_high": high}
                row["in_sets"] = own.in_sets
            rows.append(row)
    return pd.DataFrame(rows)


def write_evaluation(folder: Path, evaluation: Evaluation, predictions: Predictions) -> None:
    """Write the figures (`metrics.json`, `per_class.csv`), the predictions and the pictures.

    The pictures are `confusion.png`, `reliability.png`, `class_reliability.png` and `risk_coverage.png`, over
    all test images.
    Each file is written under a temporary name and moved, and `metrics.json` last, so that where it exists
    the others do and belong to it. Of images without labels, there are the predictions alone.
    """
    from landmarkfer.reporting.evaluation_figures import (
        draw_class_reliability,
        draw_confusion,
        draw_reliability,
        draw_risk_coverage,
    )

    (folder / METRICS_FILE).unlink(missing_ok=True)
    if not evaluation.subsets:
        for name in FIGURE_FILES:  # of an earlier evaluation
            (folder / name).unlink(missing_ok=True)
        write_predictions(folder / PREDICTIONS_FILE, predictions)
        return
    confidence, correct = predictions.confidence, predictions.correct
    groups = group_numbers(predictions.groups)
    before = None
    if not np.array_equal(predictions.ranking, predictions.probabilities):
        before = replace(predictions, probabilities=predictions.ranking).confidence
    write_predictions(folder / PREDICTIONS_FILE, predictions)
    with replacing(folder / "per_class.csv") as path:
        per_class_frame(evaluation).to_csv(path, index=False, float_format="%.6f")
    with replacing(folder / "confusion.png") as path:
        draw_confusion(path, np.array(evaluation.subsets["test"].confusion), evaluation.classes)
    with replacing(folder / "reliability.png") as path:
        draw_reliability(path, confidence, correct, before, groups)
    with replacing(folder / "class_reliability.png") as path:
        draw_class_reliability(
            path, predictions.probabilities, predictions.labels, evaluation.classes, groups
        )
    with replacing(folder / "risk_coverage.png") as path:
        draw_risk_coverage(path, confidence, correct, groups)
    with replacing(folder / METRICS_FILE) as path:
        path.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation that `write_evaluation` left in `folder`.

    Raises:
        RunError: If there is none, or it is not one this version can read.
    """
    path = folder / METRICS_FILE
    try:
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{folder} has no {METRICS_FILE}; run `landmarkfer evaluate {folder}` first."
        ) from None
    except ValueError as error:
        raise RunError(f"{path} is not an evaluation of this version ({error}); evaluate again.") from error
