"""The committed reports of benchmarks follow from the predictions that are archived beside them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from landmarkfer.config.benchmark import read_benchmark, row_settings
from landmarkfer.config.recipes import changed_settings
from landmarkfer.config.removed import same_settings
from landmarkfer.evaluation.benchmark.archive import archive_file, read_archived
from landmarkfer.evaluation.compare.report import render_differences
from landmarkfer.evaluation.robustness.report import render_robustness
from landmarkfer.metrics.report import evaluate_predictions
from landmarkfer.reporting.markdown import read_header
from landmarkfer.reporting.results import ALL_SEEDS, PAIRED, read_results

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
RESULTS = EXPERIMENTS / "results"
RECIPES = sorted(
    path
    for path in (EXPERIMENTS / "benchmarks").glob("*.toml")
    if (RESULTS / f"{path.stem}-predictions").is_dir()
)


IN_THE_CSV_ALONE = {
    "Every system on FER2013": {
        "cnn-small", "mlp", "hog-svm", "landmark-svm", "landmark-forest", "landmark-boosting",
        "resnet-fer-16", "transformer", "mlp-whitened", "gnn",
    }
}  # fmt: skip
"""Rows whose runs were made before predictions were archived, by the title of their page."""


@pytest.fixture(scope="module", params=RECIPES, ids=lambda path: path.stem)
def page(request):
    """The figures of a CSV by experiment, seed, subset and metric; archived runs by experiment and seed."""
    settings = read_benchmark(request.param)
    rows = read_results(RESULTS / f"{request.param.stem}.csv")
    archived = {}
    for row in settings.rows:
        for seed in settings.seeds:
            path = archive_file(request.param, row, seed, RESULTS)
            if path.exists():
                archived[row.name, seed] = read_archived(path)
                wanted = json.loads(
                    json.dumps(changed_settings(row_settings(request.param, settings, row, seed)))
                )
                known = archived[row.name, seed]
                assert same_settings(known.changed, known.created, wanted), "trained as the recipe says"
    return settings, rows.set_index(["experiment", "seed", "subset", "metric"])["value"], archived


def test_there_is_one():
    assert RECIPES


def test_every_trained_row_has_its_predictions(page):
    settings, rows, archived = page
    averages = {row.name for row in settings.rows if row.average}
    tested = rows.xs(("test", "accuracy"), level=("subset", "metric")).index
    trained = {one for one in tested if one[0] not in averages}
    alone = {one for one in trained if one[0] in IN_THE_CSV_ALONE.get(settings.title, ())}
    assert not alone or settings.measured.date, "how those were measured is stated in the recipe"
    assert set(archived) == trained - alone


@pytest.mark.slow
def test_figures_are_those_of_the_predictions(page):
    _, rows, archived = page
    for (name, seed), one in archived.items():
        found = evaluate_predictions(one.predictions, bootstrap=1).subsets
        for subset, report in found.items():
            for metric in ("n", "accuracy", "macro_f1", "ece", "nll"):
                expected = rows[name, seed, subset, metric]
                assert getattr(report, metric) == pytest.approx(expected, rel=1e-7), (name, seed, subset)


def test_differences_are_those_of_the_predictions(page):
    settings, rows, archived = page
    right = {key: one.predictions.correct.mean() for key, one in archived.items()}

    def mean(row):
        return np.mean([share for (name, _), share in right.items() if name == row])

    if settings.baseline is None:
        assert PAIRED not in rows.index.get_level_values("subset")
        return
    gaps = rows.xs((ALL_SEEDS, PAIRED, "difference"), level=("seed", "subset", "metric"))
    trained = [name for name in gaps.index if (name, settings.seeds[0]) in archived]
    assert trained
    for name in trained:
        assert gaps[name] == pytest.approx(mean(name) - mean(settings.baseline), abs=1e-9)


@pytest.mark.parametrize("csv", sorted(RESULTS.glob("*robustness*.csv")), ids=lambda path: path.stem)
def test_robustness_pages_are_their_csv(csv, tmp_path):
    for kind in (".csv", ".md"):
        shutil.copy(csv.with_suffix(kind), tmp_path)
    page = render_robustness(tmp_path / csv.name)
    assert page.read_text() == csv.with_suffix(".md").read_text()


@pytest.mark.parametrize("csv", sorted(RESULTS.glob("*/differences.csv")), ids=lambda path: path.parent.name)
def test_pages_of_differences_are_their_csv(csv, tmp_path):
    text = csv.with_suffix(".md").read_text()
    names = re.match(r"# Where (.*) and (.*) differ\n", text).groups()
    shutil.copy(csv, tmp_path)
    page = render_differences(tmp_path / csv.name, names, read_header(csv.with_suffix(".md")))
    assert page.read_text() == text
