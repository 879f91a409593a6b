import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.synthetic import write_dataset
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.robustness.run import robustness
from landmarkfer.evaluation.systems import read_systems
from landmarkfer.extraction import extract
from landmarkfer.reporting.results import ALL_SEEDS, read_results
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import train

pytestmark = pytest.mark.slow

SYSTEMS = ["mlp-s0", "mlp-s1", "both=mlp-s0+image-s0,mlp-s1+image-s1"]
ARGUMENTS = [
    *SYSTEMS,
    "--corruption",
    "half-face",
    "--corruption",
    "mask",
    "--workers",
    "2",
    "--page",
    "made",
]


@pytest.fixture(scope="module")
def place(detector, synthetic_dataset, tmp_path_factory):
    """A working folder with a cache of synthetic faces, two seeds of two models, and a page about them."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        extract(synthetic_dataset, "cache/made", workers=2)
        for seed in (0, 1):
            small = {"cache": "made", "seed": seed, "fit.epochs": 2, "fit.batch_size": 8}
            small |= {"fit.device": "cpu", "split.validation": 0.4}
            train(
                load_settings(
                    overrides=small
                    | {"model.name": "mlp", "model.hidden": [16], "model.features": "displacement"}
                )
            )
            image = {
                "name": f"image-s{seed}",
                "model.name": "image",
                "model.width": 4,
                "model.size": 16,
                "model.channels": 1,
            }
            train(load_settings(overrides=small | image))
        result = CliRunner().invoke(cli, ["robustness", *ARGUMENTS], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, result


@pytest.fixture(autouse=True)
def inside(request, monkeypatch):
    if "place" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("place")[0])


def run(*arguments):
    return CliRunner().invoke(cli, ["robustness", *arguments], catch_exceptions=False)


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_what_a_user_sees(place):
    folder, result = place
    assert result.stdout.strip() == (
        "Report: experiments/results/made.md; figures: experiments/results/made.csv"
    )
    assert "finding landmarks: 88 of 88" in result.stderr
    page = (folder / "experiments/results/made.md").read_text()
    for part in (
        "8 test images, each corrupted in 2 ways at 5 severities",
        "## All corruptions",
        "## half-face",
        "| mlp | 0, 1 |",
        "| both | 0, 1 |",
        "landmarkfer robustness",
        "'both=mlp-s0+image-s0,mlp-s1+image-s1'",
        "--corruption half-face --corruption mask",
    ):
        assert part in page, part
    with Image.open(folder / "experiments/results/made.png") as picture:
        assert picture.width > 800


def test_figures_are_those_of_evaluating_each_run_on_each_copy(place):
    folder, _ = place
    results = read_results(folder / "experiments/results/made.csv")
    value = results.set_index(["experiment", "seed", "subset", "metric"])["value"]
    root = folder / "cache/made-robustness-8"
    for seed in (0, 1):
        accuracies = []
        for severity in range(1, 6):
            copy = root / f"mask-{severity}"
            evaluation, predictions = evaluate_run(RunFolder(folder / f"experiments/runs/mlp-s{seed}"), copy)
            accuracies.append(evaluation.subsets["test"].accuracy)
            assert len(predictions) == 8
            assert value["mlp", seed, f"mask-{severity}", "accuracy"] == pytest.approx(accuracies[-1])
            counts = LandmarkCache.open(copy).manifest.counts
            assert value["mlp", seed, f"mask-{severity}", "found"] == pytest.approx(counts["ok"] / 8)
        assert value["mlp", seed, "mask", "corruption_accuracy"] == pytest.approx(sum(accuracies) / 5)
        own = evaluate_run(RunFolder(folder / f"experiments/runs/mlp-s{seed}"))[0].subsets["test"]
        assert value["mlp", seed, "clean-0", "accuracy"] == pytest.approx(own.accuracy)
    assert ("both", ALL_SEEDS, "all", "corruption_accuracy_p_holm") in value.index
    assert ("mlp", ALL_SEEDS, "all", "corruption_accuracy_p_holm") not in value.index, "it is the baseline"


def test_a_second_call_does_nothing_again(place, monkeypatch):
    folder, _ = place
    before = files(folder / "cache")
    pages = {path: path.read_bytes() for path in (folder / "experiments/results").iterdir()}
    runs = files(folder / "experiments/runs")
    for name in (
        "landmarkfer.evaluation.robustness.run.evaluate_run",
        "landmarkfer.extraction.corrupt.start_workers",
    ):
        monkeypatch.setattr(name, lambda *_, **__: pytest.fail("done before"))
    assert run(*ARGUMENTS).exit_code == 0
    assert files(folder / "cache") == before
    assert {path: path.read_bytes() for path in pages} == pages
    assert files(folder / "experiments/runs") == runs, "a run is never written to"


def test_new_weights_are_predicted_anew_and_the_rest_is_not(place, monkeypatch):
    folder, _ = place
    weights = folder / "experiments/runs/mlp-s0/model.safetensors"
    kept = weights.read_bytes()
    calls = []

    def counted(run, cache):
        calls.append(run.name)
        return evaluate_run(run, cache)

    monkeypatch.setattr("landmarkfer.evaluation.robustness.run.evaluate_run", counted)
    weights.write_bytes((folder / "experiments/runs/mlp-s1/model.safetensors").read_bytes())
    robustness(read_systems(["mlp-s0", "image-s0"]), corruptions=["mask"], results_root=folder / "other")
    weights.write_bytes(kept)
    assert calls == ["mlp-s0"] * 6
    value = read_results(folder / "other/robustness.csv").set_index(["experiment", "subset", "metric"])
    assert value.loc[("mlp-s0", "mask", "corruption_accuracy"), "value"].size == 1


class TestWeightsAlone:
    """A run as it is shipped: `config.json` and the weights."""

    @pytest.fixture
    def shipped(self, place, tmp_path):
        for name in ("config.json", "model.safetensors"):
            (tmp_path / name).write_bytes((place[0] / "experiments/runs/mlp-s0" / name).read_bytes())
        return tmp_path

    def test_are_tried_on_the_test_images_of_their_training(self, shipped, place):
        page = robustness(
            read_systems([f"shipped={shipped}", "mlp-s0"]), corruptions=["mask"], results_root=shipped
        )
        rows = read_results(page.with_suffix(".csv"))
        accuracy = rows[rows["metric"] == "accuracy"].pivot(
            index="subset", columns="experiment", values="value"
        )
        assert len(accuracy) == 6 and (accuracy["shipped"] == accuracy["mlp-s0"]).all()


class TestWhatDoesNotFit:
    def test_names_that_are_not_there(self, place):
        with pytest.raises(SettingsError, match="no system 'pixels'; there are mlp"):
            robustness(read_systems(["mlp-s*"]), baseline="pixels")
        with pytest.raises(SettingsError, match="no corruption 'fog'"):
            run("mlp-s0", "--corruption", "fog")

    def test_other_test_images_than_the_cache_has(self, place, tmp_path):
        folder, _ = place
        moved = tmp_path / "moved"
        moved.mkdir()
        for name in ("config.json", "model.safetensors"):
            (moved / name).write_bytes((folder / "experiments/runs/mlp-s0" / name).read_bytes())
        splits = RunFolder(folder / "experiments/runs/mlp-s0").read_splits()
        RunFolder(moved).write_splits(splits | {"test": [*splits["test"], "gone.jpg"]})
        with pytest.raises(CacheError, match="holds 8 of the 9 test images of run 'moved'"):
            robustness(read_systems([str(moved)]))


def test_landmark_models_fall_back_to_the_prior_where_no_face_is_found(place):
    folder, _ = place
    kept = (folder / "cache/made-robustness-8/predictions").glob("mlp-s0-*/half-face-5-*.parquet")
    table = pd.read_parquet(next(kept))
    missing = table[table["status"] == "no_face"]
    assert len(missing), "faces are lost when most of each is hidden"
    columns = [name for name in table if name.startswith("p_")]
    assert len(missing[columns].round(6).drop_duplicates()) == 1


@pytest.fixture(scope="module")
def both(place, detector, tmp_path_factory):
    """A run on the cache of `place` and on one of other faces."""
    folder, _ = place
    faces = tmp_path_factory.mktemp("more") / "faces"
    write_dataset(faces, per_class=7, seed=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        extract(faces, "cache/more", workers=2)
        small = {"cache": ["made", "more"], "model.name": "mlp", "model.hidden": [16], "fit.epochs": 1}
        small |= {"name": "both-s0", "fit.device": "cpu", "split.validation": 0.4}
        return train(load_settings(overrides=small))


class TestRunsOfSeveralCaches:
    def test_on_the_test_images_of_one(self, place, both, tmp_path):
        folder, _ = place
        arguments = ["--corruption", "mask", "--cache", "made", "--baseline", "both-s0"]
        result = run("both-s0", "mlp-s0", *arguments, "--out", str(tmp_path))
        assert result.exit_code == 0, result.output
        assert "--page robustness --cache made" in (tmp_path / "robustness.md").read_text()
        results = read_results(tmp_path / "robustness.csv")
        value = results.set_index(["experiment", "subset", "metric"])["value"]
        copy = folder / "cache/made-robustness-8/mask-3"
        evaluation, predictions = evaluate_run(both, copy)
        assert len(predictions) == 8
        assert value["both-s0", "mask-3", "accuracy"] == pytest.approx(evaluation.subsets["test"].accuracy)
        own = evaluate_run(both, "made")[0].subsets["test"].accuracy
        assert value["both-s0", "clean-0", "accuracy"] == pytest.approx(own)

    @pytest.mark.usefixtures("both")
    def test_on_a_cache_that_one_was_not_trained_on(self):
        with pytest.raises(
            SettingsError, match=r"'mlp-s0' was trained on .*made, and has no test images in "
        ):
            robustness(read_systems(["mlp-s0"]), caches=["more"])

    def test_a_cache_of_none_of_them_is_refused(self):
        with pytest.raises(SettingsError, match=r"no run was trained on .*more; leave it out"):
            robustness(read_systems(["mlp-s0"]), caches=["made", "more"])

    def test_each_run_takes_the_cache_that_is_its_own(self, both):
        with pytest.raises(SettingsError, match=r"'mlp-s0' .* has no test images in .*more; name that cache"):
            robustness(read_systems([both.name, "mlp-s0"]), caches=["more"])
        with pytest.raises(SettingsError, match=r"has test images in .*made and .*more; name one of these"):
            robustness(read_systems(["mlp-s0", both.name]), caches=["made", "more"])
