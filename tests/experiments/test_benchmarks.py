"""The project's benchmarks: their rows can be trained, and their reports show what the CSV has."""

from pathlib import Path

import pytest

from landmarkfer.config.benchmark import read_benchmark, row_settings, run_name
from landmarkfer.config.recipes import changed_settings
from landmarkfer.models import build_model
from landmarkfer.models.fusion import FusionModel
from landmarkfer.reporting.results import read_results
from landmarkfer.training.resolve import resolve

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
BENCHMARKS = sorted((EXPERIMENTS / "benchmarks").glob("*.toml"))
FUSIONS = [path for path in BENCHMARKS if "fusion" in path.read_text()]
BRANCHES_OF = {"transfer-landmarker": ["transfer"]}
"""Benchmarks whose runs are branches of another one's fusions."""


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_row_can_be_trained_and_every_setting_changes_something(path):
    benchmark = read_benchmark(path)
    for row in benchmark.rows:
        if not row.trained:
            continue
        settings = row_settings(path, benchmark, row, 0)
        resolve(settings)
        without = row_settings(path, benchmark, row.model_copy(update={"set": {}}), 0)
        changed, plain = changed_settings(settings), changed_settings(without)
        differing = {key for key in changed.keys() | plain.keys() if changed.get(key) != plain.get(key)}
        of_seed = {key for key, value in row.set.items() if "{" in str(value)}  # may be the recipe's own
        assert set(row.set) - of_seed <= differing <= set(row.set), row.name


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_the_report_is_about_the_rows_of_the_csv(path):
    """`run` refuses a CSV with others; `check_rows` has the test."""
    csv = EXPERIMENTS / "results" / f"{path.stem}.csv"
    if not csv.exists():
        pytest.skip("not measured yet")
    benchmark, results = read_benchmark(path), read_results(csv)
    assert set(results["experiment"]) <= {row.name for row in benchmark.rows}
    page = csv.with_suffix(".md").read_text()
    assert page.startswith(f"# {benchmark.title}\n\n{benchmark.introduction.strip()}\n")
    for name in dict.fromkeys(results["experiment"]):
        assert f"\n| {name} | " in page
    for contrast in benchmark.contrasts:
        assert f"| {contrast.choice} | {contrast.row} | {contrast.against} | " in page


@pytest.mark.parametrize("path", FUSIONS, ids=lambda path: path.stem)
def test_the_branches_of_fusions_fit(path, made_run, tmp_path, monkeypatch):
    """Every model can be built, and every fusion takes the weights that it is initialised from.

    A branch may be a run of another benchmark.
    """
    models = {}
    monkeypatch.chdir(tmp_path)
    for one in [*(path.with_stem(stem) for stem in BRANCHES_OF.get(path.stem, ())), path]:
        wanted = read_benchmark(one)
        for row in wanted.rows:
            if not row.trained or (one != path and "fusion" in row.name):
                continue
            settings = resolve(row_settings(one, wanted, row, 0))
            model = build_model(settings.model.name, 7, **settings.model.keywords)
            models |= {run_name(one, wanted, row, seed): model.state_dict() for seed in wanted.seeds}
            keywords = {f"model.{key}": value for key, value in settings.model.keywords.items()}
            for seed in wanted.seeds:
                made_run(run_name(one, wanted, row, seed), **keywords | {"model.name": settings.model.name})
            for branch in ("image", "encoder") if isinstance(model, FusionModel) else ():
                model.initialise_branch(branch, models[Path(getattr(settings.branches, branch)).name])
    assert any("fusion" in run for run in models)
