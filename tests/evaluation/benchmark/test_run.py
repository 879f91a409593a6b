import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.config.benchmark import read_benchmark, row_settings, run_name
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.benchmark.measure import COST_FILE
from landmarkfer.evaluation.benchmark.run import benchmark, plan
from landmarkfer.metrics.significance import mcnemar
from landmarkfer.models import build_model
from landmarkfer.models.fusion import FusionModel
from landmarkfer.reporting.results import ALL_SEEDS, read_results
from landmarkfer.training.resolve import resolve

BENCHMARKS = sorted((Path(__file__).parents[3] / "experiments" / "benchmarks").glob("*.toml"))
RECIPE = """
title = "Small against smaller"
introduction = "Two perceptrons."
seeds = [0, 1]
baseline = "small"

[other_data]
again = "{cache}"

[[rows]]
name = "small"
recipe = "mlp.toml"

[[rows]]
name = "smaller"
recipe = "mlp.toml"
set = {{"model.hidden" = [2], "fit.epochs" = 1}}

[[rows]]
name = "both of them"
average = ["small", "smaller"]

[[pairs]]
first = "smaller"
second = "small"

[[published]]
name = "theirs"
source = "a paper"
values = {{"test.accuracy" = 0.5}}
beside = "smaller"
"""
TRAINING = """
cache = "{cache}"
[model]
name = "mlp"
hidden = [16]
[optimiser]
lr = 0.01
[fit]
epochs = 2
batch_size = 16
device = "cpu"
"""


def write_recipe(folder, cache):
    for name, text in (("tiny.toml", RECIPE), ("mlp.toml", TRAINING)):
        (folder / name).write_text(text.format(cache=cache.path.as_posix()))
    return folder / "tiny.toml"


def benchmark_in(folder, **keywords):
    roots = {"runs_root": folder / "runs", "results_root": folder / "results"}
    return benchmark(folder / "tiny.toml", **roots, **keywords)


@pytest.fixture
def recipe(tiny_cache, tmp_path):
    return write_recipe(tmp_path, tiny_cache)


@pytest.fixture(scope="module")
def finished(tiny_cache, tmp_path_factory):
    """The folder of a benchmark that is done; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_recipe(folder, tiny_cache)
    benchmark_in(folder)
    return folder


@pytest.fixture
def made(finished):
    return finished / "results" / "tiny.md"


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


class TestPage:
    def test_what_it_says(self, made, finished):
        page = made.read_text()
        assert page.startswith("# Small against smaller\n\nTwo perceptrons.")
        for part in ("| smaller | mlp | none | 0, 1 |", "| *theirs* |", "| both of them | ensemble |"):
            assert part in page
        assert "## Beside small" in page
        assert "## On other data" in page
        assert "one-core latency, ms" in page
        assert f"landmarkfer benchmark {finished.as_posix()}/tiny.toml\n" in page
        with Image.open(made.with_suffix(".png")) as picture:
            assert picture.width > 800
        assert "[smaller and small](tiny-smaller-with-small/differences.md)" in page
        apart = made.parent / "tiny-smaller-with-small"
        assert "# Where smaller and small differ" in (apart / "differences.md").read_text()
        assert not (apart / "won.png").exists(), "results hold no images of the data"

    def test_figures_are_those_of_the_predictions(self, made, finished):
        results = read_results(made.with_suffix(".csv")).set_index(["experiment", "seed", "subset", "metric"])
        tables = {
            (row, seed): pd.read_parquet(finished / "runs" / f"tiny-{row}-s{seed}" / "predictions.parquet")
            for row in ("small", "smaller")
            for seed in (0, 1)
        }
        right = {key: table["predicted"] == table["label"] for key, table in tables.items()}
        for (row, seed), hits in right.items():
            assert results.loc[(row, seed, "test", "accuracy"), "value"] == pytest.approx(hits.mean())
            elsewhere = results.loc[(row, seed, "on again", "accuracy"), "value"]
            assert elsewhere == pytest.approx(hits.mean()), "the same images under another name"
        gap = sum(right["smaller", s].mean() - right["small", s].mean() for s in (0, 1)) / 2
        paired = results.xs("paired", level="subset")["value"]
        assert paired["smaller", ALL_SEEDS, "difference"] == pytest.approx(gap)
        assert paired["smaller", ALL_SEEDS, "difference_low"] <= gap
        assert gap <= paired["smaller", ALL_SEEDS, "difference_high"]
        first, second = tables["smaller", 1], tables["small", 1]
        expected = mcnemar(first["label"], first["predicted"], second["predicted"]).mid_p
        assert paired["smaller", 1, "p_mcnemar"] == pytest.approx(expected)
        p = [paired[name, ALL_SEEDS, "p_permutation"] for name in ("smaller", "both of them")]
        corrected = [paired[name, ALL_SEEDS, "p_holm"] for name in ("smaller", "both of them")]
        assert min(corrected) == pytest.approx(min(1, 2 * min(p)))
        assert results.loc[("small", 0, "run", "macs"), "value"] == 1434 * 1434 + 1434 * 16 + 16 * 3
        assert results.loc[("small", 0, "run", "latency_ms"), "value"] > 0

    def test_an_equal_call_trains_nothing_and_leaves_equal_files(self, made, finished, monkeypatch):
        before = {kind: made.with_suffix(kind).read_bytes() for kind in (".md", ".csv", ".png")}
        for name in (
            "landmarkfer.training.multirun.train",
            "landmarkfer.evaluation.benchmark.measure.open_run",
        ):
            monkeypatch.setattr(name, lambda *_, **__: pytest.fail("done before"))
        benchmark_in(finished)
        assert {kind: made.with_suffix(kind).read_bytes() for kind in before} == before

    def test_stopped_midway_it_goes_on(self, recipe, made, tmp_path, monkeypatch):
        runs, results = tmp_path / "other", tmp_path / "other-results"
        from landmarkfer.training import multirun as repeat

        real, calls = repeat.train, []

        def stopping(settings, **keywords):
            calls.append(settings.name)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(settings, **keywords)

        monkeypatch.setattr(repeat, "train", stopping)
        with pytest.raises(KeyboardInterrupt):
            benchmark(recipe, runs_root=runs, results_root=results)
        page = benchmark(recipe, runs_root=runs, results_root=results)
        names = [f"tiny-{row}-s{seed}" for row in ("small", "smaller") for seed in (0, 1)]
        assert calls == [*names[:3], *names[2:]], "what was finished is not trained again"
        ours, theirs = (read_results(csv.with_suffix(".csv")) for csv in (page, made))
        timed = ours["metric"].isin(["train_seconds", "latency_ms"])
        pd.testing.assert_frame_equal(ours[~timed], theirs[~timed])

    def test_made_again_from_what_is_kept_without_runs_and_cache(self, copied, monkeypatch):
        benchmark_in(copied)
        results = copied / "results"
        made = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
        shutil.rmtree(copied / "runs")
        for kind in (".md", ".csv", ".png"):
            (results / f"tiny{kind}").unlink()

        def no_cache(where):
            raise CacheError(f"there is no {where}")

        monkeypatch.setattr("landmarkfer.evaluation.benchmark.report.find_cache", no_cache)
        benchmark_in(copied, train=False)
        assert [path.name for path, content in made.items() if path.read_bytes() != content] == []

    def test_rows_of_another_machine_stand_beside_those_made_here(self, copied):
        for seed in (0, 1):
            shutil.rmtree(copied / "runs" / f"tiny-small-s{seed}")
        before = read_results(copied / "results" / "tiny.csv")
        benchmark_in(copied, only=["smaller"])
        assert not (copied / "runs" / "tiny-small-s0").exists(), "only what is asked for is trained"
        pd.testing.assert_frame_equal(read_results(copied / "results" / "tiny.csv"), before)

    def test_weights_alone_leave_what_is_kept_as_it_is(self, copied):
        """And so what their training took; where nothing is kept they are evaluated."""
        before = (copied / "results" / "tiny.csv").read_bytes()
        run = copied / "runs" / "tiny-small-s1"
        for file in set(run.iterdir()) - {run / "config.json", run / "model.safetensors"}:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        benchmark_in(copied)
        assert (copied / "results" / "tiny.csv").read_bytes() == before
        assert not (run / COST_FILE).exists()
        (copied / "results" / "tiny-predictions" / "small-s1.parquet").unlink()
        benchmark_in(copied)
        ours, theirs = read_results(copied / "results" / "tiny.csv"), read_results(io.BytesIO(before))
        missing = theirs.merge(ours, how="left", indicator=True).query("_merge == 'left_only'")
        assert set(missing["metric"]) - {"latency_ms"} == {"train_seconds"}

    def test_what_lacks_its_cost_alone_is_not_predicted_again(self, copied, monkeypatch):
        (copied / "runs" / "tiny-small-s1" / COST_FILE).unlink()
        monkeypatch.setattr(
            "landmarkfer.evaluation.evaluate.Opened.predict_test", lambda *_, **__: pytest.fail("done before")
        )
        benchmark_in(copied)
        assert (copied / "runs" / "tiny-small-s1" / COST_FILE).exists()

    def test_latency_is_measured_again_when_asked_for(self, copied, monkeypatch):
        """Of weights alone too; nothing else changes."""
        run = copied / "runs" / "tiny-small-s1"
        for file in set(run.iterdir()) - {run / "config.json", run / "model.safetensors"}:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        shutil.rmtree(copied / "runs" / "tiny-smaller-s0")
        before = read_results(copied / "results" / "tiny.csv")
        monkeypatch.setattr(
            "landmarkfer.evaluation.benchmark.measure.timeit.repeat", lambda *_, **__: [0.5, 0.25]
        )
        benchmark_in(copied, train=False, latency=True)
        after = read_results(copied / "results" / "tiny.csv")
        at_hand = (after["experiment"] != "smaller") | (after["seed"] != 0)
        timed = (after["metric"] == "latency_ms") & at_hand
        assert after[timed]["value"].tolist() == [250.0] * 3
        pd.testing.assert_frame_equal(after[~timed], before[~timed])

    def test_a_run_that_cannot_be_evaluated_leaves_what_is_kept_as_it_is(self, copied, recorder):
        before = (copied / "results" / "tiny.csv").read_bytes()
        run = copied / "runs" / "tiny-small-s1"
        (run / COST_FILE).unlink()
        told = json.loads((run / "config.json").read_text())
        told["cache"]["fingerprint"] = "of another machine's"
        (run / "config.json").write_text(json.dumps(told))
        benchmark_in(copied, progress=recorder)
        assert (copied / "results" / "tiny.csv").read_bytes() == before
        assert any("what is kept of tiny-small-s1 stands" in line for line in recorder.said)
        (copied / "results" / "tiny-predictions" / "small-s1.parquet").unlink()
        with pytest.raises(CacheError, match="no longer the cache"):
            benchmark_in(copied)

    def test_what_was_kept_of_other_settings_is_left_out(self, copied, recorder):
        shutil.rmtree(copied / "runs")
        text = (copied / "tiny.toml").read_text()
        (copied / "tiny.toml").write_text(text.replace('"fit.epochs" = 1', '"fit.epochs" = 3'))
        page = benchmark_in(copied, train=False, progress=recorder).read_text()
        assert "Not measured yet: smaller, both of them." in page
        left_out = "tiny-smaller-s1 was trained with other settings than the row 'smaller'"
        assert any(left_out in line for line in recorder.said)

    def test_nothing_finished_and_nothing_kept(self, recipe, tmp_path):
        with pytest.raises(SettingsError, match="nothing to tell of"):
            benchmark_in(tmp_path, train=False)
        assert not (tmp_path / "runs").exists()

    def test_a_page_of_some_rows(self, recipe, tmp_path):
        page = benchmark(
            recipe, seeds=[3], only=["small"], runs_root=tmp_path / "runs", results_root=tmp_path / "results"
        )
        assert "Not measured yet: smaller, both of them." in page.read_text()
        assert "## Beside" not in page.read_text()
        assert f"landmarkfer benchmark {recipe.as_posix()} --seeds 3\n" in page.read_text()

    def test_new_weights_are_evaluated_anew(self, copied):
        run = copied / "runs" / "tiny-small-s0"
        (run / COST_FILE).unlink()
        benchmark_in(copied)
        assert (run / COST_FILE).exists()

    def test_figures_of_another_version_are_made_again(self, copied):
        run = copied / "runs" / "tiny-small-s0"
        files = [run / "metrics.json", run / "elsewhere" / "again" / "metrics.json"]
        now = [file.read_text() for file in files]
        for file, text in zip(files, now, strict=True):
            old = json.loads(text)
            for figures in old["subsets"].values():
                for name in ("nll", "brier", "aurc", "accuracy_at_80", "accuracy_at_50", "sets"):
                    del figures[name]
            file.write_text(json.dumps(old))
        benchmark_in(copied)
        assert [file.read_text() for file in files] == now


class TestPlan:
    def test_what_is_left(self, recipe, tmp_path):
        runs = tmp_path / "runs"
        states = [(one.row.name, one.seed, one.state) for one in plan(recipe, runs_root=runs)]
        assert states == [(row, seed, "missing") for row in ("small", "smaller") for seed in (0, 1)]
        assert all(one.seconds > 0 for one in plan(recipe, runs_root=runs))
        assert not runs.exists(), "nothing is trained"
        benchmark(recipe, seeds=[0], only=["small"], runs_root=runs, results_root=tmp_path)
        done, left, *_ = plan(recipe, runs_root=runs)
        assert (done.state, done.seconds) == ("finished", 0)
        epochs = pd.read_csv(runs / "tiny-small-s0" / "metrics.csv")
        assert left.seconds == pytest.approx(epochs["seconds"].sum())

    def test_on_the_command_line(self, recipe, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        told = CliRunner().invoke(cli, ["benchmark", "tiny.toml", "--dry-run"], catch_exceptions=False)
        assert told.exit_code == 0
        assert "tiny-smaller-s1" in told.output
        assert "left in all" in told.output
        arguments = ["benchmark", "tiny.toml", "--seeds", "0", "--only", "smaller", "--out", "pages"]
        told = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert "Page: pages/tiny.md" in told.output
        assert (tmp_path / "pages" / "tiny.csv").exists()


class TestRecipe:
    def test_seeds_are_put_in(self, recipe, tmp_path):
        (tmp_path / "fused.toml").write_text(
            'title = "x"\n[[rows]]\nname = "a + b"\n'
            'set = {"model.name" = "fusion", "branches.image" = "pixels-s{seed}"}\n'
        )
        benchmark_settings = read_benchmark(tmp_path / "fused.toml")
        settings = row_settings(tmp_path / "fused.toml", benchmark_settings, benchmark_settings.rows[0], 4)
        assert settings.branches.image == "pixels-s4"
        assert (settings.name, settings.seed) == ("fused-a-b-s4", 4)

    def test_runs_that_others_share_and_the_next_seed(self, tmp_path):
        path = tmp_path / "fused.toml"
        path.write_text(
            'title = "x"\nseeds = [0, 5]\n[[rows]]\nname = "a"\nrun = "mine-s{seed}-of-2"\n'
            'set = {"model.name" = "fusion", "branches.encoder" = "pixels-s{next}"}\n'
        )
        benchmark_settings = read_benchmark(path)
        made = [
            row_settings(path, benchmark_settings, benchmark_settings.rows[0], seed) for seed in (0, 5, 7)
        ]
        assert [one.name for one in made] == ["mine-s0-of-2", "mine-s5-of-2", "mine-s7-of-2"]
        assert [one.branches.encoder for one in made] == ["pixels-s5", "pixels-s0", "pixels-s8"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('title = "x"\nrows = []', "'rows'"),
            ('title = "x"\n[[rows]]\nname = "a"\n[[rows]]\nname = "a"', "two rows 'a'"),
            ('title = "x"\nbaseline = "b"\n[[rows]]\nname = "a"', "baseline is 'b', and the rows are a"),
            ('title = "x"\n[[rows]]\nname = "a"\naverage = ["b"]', "averages 'b'"),
            ('title = "x"\n[[rows]]\nname = "a"\nrecipe = "a"\naverage = ["b"]', "either trained"),
            ('title = "x"\n[[rows]]\nname = "a"\nrun = "a"', "'rows.0.run'"),
            ('title = "x"\n[[rows]]\nname = "a, b"', "'rows.0.name'"),
            ('title = "x"\nseeds = [1, 1]\n[[rows]]\nname = "a"', "different numbers"),
            (
                'title = "x"\n[[rows]]\nname = "a"\n[[pairs]]\nfirst = "a"\nsecond = "b"',
                "a row of a pair is 'b', and the rows are a",
            ),
            ('title = "x"\nbase = "a"\n[[rows]]\nname = "a"', "no setting 'base'"),
        ],
    )
    def test_what_does_not_fit(self, tmp_path, text, message):
        (tmp_path / "wrong.toml").write_text(text)
        with pytest.raises(SettingsError, match=message):
            read_benchmark(tmp_path / "wrong.toml")

    def test_a_wrong_row_is_found_before_anything_is_trained(self, recipe, tmp_path):
        text = recipe.read_text().replace('"model.hidden" = [2]', '"model.hiden" = [2]')
        recipe.write_text(text)
        with pytest.raises(SettingsError, match="'hiden'"):
            benchmark(recipe, runs_root=tmp_path / "runs", results_root=tmp_path)
        assert not (tmp_path / "runs").exists()
        with pytest.raises(SettingsError, match="no row 'smal'"):
            plan(recipe, only=["smal"])

    @pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
    def test_the_projects_own_can_be_trained(self, path):
        benchmark_settings = read_benchmark(path)
        for row in benchmark_settings.rows:
            if not row.average:
                resolve(row_settings(path, benchmark_settings, row, 0))

    def test_a_model_that_cannot_be_built_is_told_before_anything_is_trained(self, recipe, tmp_path):
        (tmp_path / "image.toml").write_text(
            TRAINING.format(cache=read_benchmark(recipe).other_data["again"]).replace(
                'name = "mlp"\nhidden = [16]', 'name = "image"\nbackbone = "cnn-small"\nwidth = 16'
            )
        )
        recipe.write_text(recipe.read_text() + '[[rows]]\nname = "pixels"\nrecipe = "image.toml"\n')
        with pytest.raises(SettingsError, match="'cnn-small' has no width to set"):
            benchmark_in(tmp_path)
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
    def test_the_branches_of_the_projects_own_fit(self, path):
        """Every model can be built, and every fusion takes the runs it begins with."""
        wanted, models = read_benchmark(path), {}
        for row in wanted.rows:
            if row.average:
                continue
            settings = resolve(row_settings(path, wanted, row, 0))
            model = build_model(settings.model.name, 7, **settings.model.keywords)
            models |= {run_name(path, row, seed): model.state_dict() for seed in wanted.seeds}
            for branch in ("image", "encoder") if isinstance(model, FusionModel) else ():
                model.initialise_branch(branch, models[getattr(settings.branches, branch)])
        assert any("fusion" in run for run in models)
