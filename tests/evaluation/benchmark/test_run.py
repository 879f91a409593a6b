import io
import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli import cli
from landmarkfer.config.benchmark import read_benchmark
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.benchmark.measure import COST_FILE
from landmarkfer.evaluation.benchmark.plan import plan
from landmarkfer.evaluation.benchmark.run import benchmark
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import read_predictions
from landmarkfer.metrics.significance import mcnemar
from landmarkfer.reporting.results import ALL_SEEDS, read_results
from landmarkfer.reporting.results_page import OWN_TEST_LEGEND

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

[[rows]]
name = "all of them"
average = ["small", "smaller"]
over_seeds = true

[[pairs]]
first = "smaller"
second = "small"

[[contrasts]]
choice = "fewer units"
row = "smaller"
against = "small"

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
features = "displacement"
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


def _not_measured(page):
    lines = page.split("## Not measured yet\n\n")[1].split("\n\n")[0].splitlines()
    return [line.removeprefix("- ").split(":")[0] for line in lines]


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
        assert "## Compared with small" in page
        assert "| fewer units | smaller | small |" in page
        assert "## On other data" in page
        assert "one-core latency, ms" in page
        out = made.parent.as_posix()
        assert f"landmarkfer benchmark {finished.as_posix()}/tiny.toml --out {out}\n" in page
        with Image.open(made.with_suffix(".png")) as picture:
            assert picture.width > 800
        assert "[smaller and small](tiny-smaller-with-small/differences.md)" in page
        apart = made.parent / "tiny-smaller-with-small"
        assert "# Where smaller and small differ" in (apart / "differences.md").read_text()
        assert not (apart / "won.png").exists(), "results hold no images of the data"

    def test_an_average_over_seeds_is_that_of_all_runs(self, made, finished):
        found = read_results(made.with_suffix(".csv"))
        found = found[(found["experiment"] == "all of them") & (found["metric"] == "accuracy")]
        runs = [f"tiny-{row}-s{seed}" for row in ("small", "smaller") for seed in (0, 1)]
        tables = [read_predictions(finished / "runs" / run / "predictions.parquet") for run in runs]
        whole = average_predictions(tables)
        for subset in ("test", "on again"):
            values = found[found["subset"] == subset].set_index("seed")["value"]
            assert list(values.index) == [0]
            assert values[0] == pytest.approx(float(whole.correct.mean()))

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
        compared = ("smaller", "both of them", "all of them")
        p = [paired[name, ALL_SEEDS, "p_permutation"] for name in compared]
        corrected = [paired[name, ALL_SEEDS, "p_holm"] for name in compared]
        assert min(corrected) == pytest.approx(min(1, 3 * min(p)))
        assert results.loc[("small", 0, "run", "macs"), "value"] == 1434 * 16 + 16 * 3
        assert results.loc[("small", 0, "run", "latency_ms"), "value"] > 0

    def test_an_equal_call_trains_nothing_and_leaves_equal_files(self, made, finished, monkeypatch):
        before = {kind: made.with_suffix(kind).read_bytes() for kind in (".md", ".csv", ".png")}
        for name in (
            "landmarkfer.training.fit._train",
            "landmarkfer.evaluation.benchmark.measure.open_run",
        ):
            monkeypatch.setattr(name, lambda *_, **__: pytest.fail("done before"))
        benchmark_in(finished)
        assert {kind: made.with_suffix(kind).read_bytes() for kind in before} == before

    @pytest.mark.slow
    def test_stopped_midway_it_goes_on(self, recipe, made, tmp_path, monkeypatch):
        runs, results = tmp_path / "other", tmp_path / "other-results"
        from landmarkfer.training import fit

        real, calls = fit._train, []

        def stopping(settings, *arguments):
            calls.append(settings.name)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(settings, *arguments)

        monkeypatch.setattr(fit, "_train", stopping)
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

        monkeypatch.setattr("landmarkfer.evaluation.benchmark.run.open_cache", no_cache)
        benchmark_in(copied, train=False)
        assert [path.name for path, content in made.items() if path.read_bytes() != content] == []

    @pytest.mark.slow
    def test_rows_of_another_machine_stand_beside_those_made_here(self, copied):
        for seed in (0, 1):
            shutil.rmtree(copied / "runs" / f"tiny-small-s{seed}")
        before = read_results(copied / "results" / "tiny.csv")
        benchmark_in(copied, only=["smaller"])
        assert not (copied / "runs" / "tiny-small-s0").exists(), "only what is asked for is trained"
        pd.testing.assert_frame_equal(read_results(copied / "results" / "tiny.csv"), before)

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_what_lacks_its_cost_alone_is_not_predicted_again(self, copied, monkeypatch):
        (copied / "runs" / "tiny-small-s1" / COST_FILE).unlink()
        monkeypatch.setattr(
            "landmarkfer.evaluation.evaluate.Opened.predict_test", lambda *_, **__: pytest.fail("done before")
        )
        benchmark_in(copied)
        assert (copied / "runs" / "tiny-small-s1" / COST_FILE).exists()

    @pytest.mark.slow
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

    @pytest.mark.slow
    def test_a_run_that_cannot_be_evaluated_leaves_what_is_kept_as_it_is(self, copied, recorder):
        before = (copied / "results" / "tiny.csv").read_bytes()
        run = copied / "runs" / "tiny-small-s1"
        (run / COST_FILE).unlink()
        saved = json.loads((run / "config.json").read_text())
        saved["cache"]["fingerprint"] = "of another machine's"
        (run / "config.json").write_text(json.dumps(saved))
        benchmark_in(copied, progress=recorder)
        assert (copied / "results" / "tiny.csv").read_bytes() == before
        assert any(
            "tiny-small-s1 cannot be evaluated, so its archived figures stay" in line
            for line in recorder.said
        )
        (copied / "results" / "tiny-predictions" / "small-s1.parquet").unlink()
        with pytest.raises(CacheError, match="no longer the cache"):
            benchmark_in(copied)

    def test_what_was_kept_of_other_settings_is_left_out(self, copied, recorder):
        shutil.rmtree(copied / "runs")
        text = (copied / "tiny.toml").read_text()
        (copied / "tiny.toml").write_text(text.replace('"fit.epochs" = 1', '"fit.epochs" = 3'))
        page = benchmark_in(copied, train=False, progress=recorder).read_text()
        assert _not_measured(page) == ["smaller", "both of them", "all of them"]
        left_out = "tiny-smaller-s1 was trained with other settings than the row 'smaller'"
        assert any(left_out in line for line in recorder.said)

    def test_nothing_finished_and_nothing_kept(self, recipe, tmp_path):
        with pytest.raises(SettingsError, match="nothing to report"):
            benchmark_in(tmp_path, train=False)
        assert not (tmp_path / "runs").exists()

    @pytest.mark.slow
    def test_a_page_of_some_rows(self, recipe, tmp_path):
        page = benchmark(
            recipe, seeds=[3], only=["small"], runs_root=tmp_path / "runs", results_root=tmp_path / "results"
        )
        assert _not_measured(page.read_text()) == ["smaller", "both of them", "all of them"]
        command = f"landmarkfer benchmark {recipe.as_posix()} --seed 0 --seed 1 --seed 3 --out "
        assert f"`{command}{page.parent.as_posix()} --only smaller`" in page.read_text()
        assert "## Compared with" not in page.read_text()

    def test_new_weights_are_evaluated_anew(self, copied):
        run = copied / "runs" / "tiny-small-s0"
        (run / COST_FILE).unlink()
        benchmark_in(copied)
        assert (run / COST_FILE).exists()

    @pytest.mark.slow
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


class TestRowsOfTheCsvAlone:
    """The runs and predictions of a row lie on another machine; its figures are in the CSV."""

    def without(self, folder, *rows):
        for row in rows:
            for seed in (0, 1):
                shutil.rmtree(folder / "runs" / f"tiny-{row}-s{seed}")
                (folder / "results" / "tiny-predictions" / f"{row}-s{seed}.parquet").unlink()

    def test_they_stay_and_are_rendered(self, copied):
        self.without(copied, "small", "smaller")
        csv = copied / "results" / "tiny.csv"
        before = csv.read_bytes()
        (copied / "results" / "tiny.md").unlink()
        page = benchmark_in(copied, train=False).read_text()
        assert csv.read_bytes() == before
        for part in ("| small | mlp |", "| both of them | ensemble |", "| fewer units |", "## Compared with"):
            assert part in page
        assert "Measured" not in page, "nobody said when"
        assert "tiny-predictions" not in page

    def test_beside_rows_that_have_predictions(self, copied):
        """The others are computed again, and the p-values of all of them are corrected together."""
        csv = copied / "results" / "tiny.csv"
        before = csv.read_bytes()
        self.without(copied, "smaller")
        benchmark_in(copied, train=False)
        assert csv.read_bytes() == before

    @pytest.mark.slow
    def test_a_run_takes_their_place(self, copied):
        self.without(copied, "smaller")
        csv = copied / "results" / "tiny.csv"
        before = read_results(csv)
        changed = before.copy()
        changed.loc[(changed["experiment"] == "smaller") & (changed["metric"] == "ece"), "value"] = 0.123
        changed.to_csv(csv, index=False)
        benchmark_in(copied, only=["smaller"])
        timed = before["metric"].isin(["train_seconds", "latency_ms"])
        pd.testing.assert_frame_equal(read_results(csv)[~timed], before[~timed])

    def test_when_and_with_what_they_were_measured_is_in_the_recipe(self, copied):
        self.without(copied, "small", "smaller")
        text = (copied / "tiny.toml").read_text()
        stated = 'machine = "a laptop"\n[measured]\ndate = "2025-01-02"\nversions = { torch = "1.0" }\n'
        (copied / "tiny.toml").write_text(text.replace("[other_data]", f"{stated}[other_data]"))
        page = benchmark_in(copied, train=False).read_text()
        assert "Measured 2025-01-02 on a laptop.\n\nVersions: torch 1.0." in page

    def test_rows_that_the_recipe_does_not_name_are_refused(self, copied):
        csv = copied / "results" / "tiny.csv"
        csv.write_text(csv.read_text().replace("both of them,", "both of us,"))
        before = csv.read_bytes()
        with pytest.raises(SettingsError, match="has figures of both of us, which the recipe does not name"):
            benchmark_in(copied, train=False)
        assert csv.read_bytes() == before

    def test_a_retired_row_is_not_trained(self, copied):
        self.without(copied, "smaller")
        text = (copied / "tiny.toml").read_text()
        old = 'recipe = "mlp.toml"\nset = {"model.hidden" = [2], "fit.epochs" = 1}'
        assert old in text
        text = text.replace(old, 'retired = "too small"').replace('["small", "smaller"]', '["small"]')
        (copied / "tiny.toml").write_text(text)
        page = benchmark_in(copied).read_text()
        assert "| smaller | mlp |" in page
        assert not (copied / "runs" / "tiny-smaller-s0").exists()
        with pytest.raises(SettingsError, match="'smaller' can no longer be trained: too small"):
            benchmark_in(copied, only=["smaller"])

    def test_an_average_goes_with_its_members(self, copied):
        """The figures of `smaller` go since its settings changed, and those of averages with them."""
        self.without(copied, "small")
        text = (copied / "tiny.toml").read_text()
        (copied / "tiny.toml").write_text(text.replace('"fit.epochs" = 1', '"fit.epochs" = 3'))
        page = benchmark_in(copied, train=False).read_text()
        assert _not_measured(page) == ["smaller", "both of them", "all of them"]
        assert set(read_results(copied / "results" / "tiny.csv")["experiment"]) == {"small"}


def test_one_data_set_in_two_caches_is_one_data_set(recipe, tiny_cache, tmp_path):
    again = shutil.copytree(tiny_cache.path, tmp_path / "more-passes")
    text = recipe.read_text().replace('"fit.epochs" = 1', f'"fit.epochs" = 1, "cache" = "{again.as_posix()}"')
    recipe.write_text(text.replace(f'[other_data]\nagain = "{tiny_cache.path.as_posix()}"\n', ""))
    page = benchmark_in(tmp_path, seeds=[0], only=["small", "smaller"]).read_text()
    assert "## Compared with small" in page and "| smaller |" in page
    assert OWN_TEST_LEGEND not in page


@pytest.mark.slow
def test_without_a_baseline_there_are_neither_tests_nor_a_picture(copied):
    shutil.rmtree(copied / "results", ignore_errors=True)
    text = (copied / "tiny.toml").read_text()
    (copied / "tiny.toml").write_text(text.replace('baseline = "small"\n', ""))
    page = benchmark_in(copied, train=False)
    assert "## Compared with" not in page.read_text()
    assert not page.with_suffix(".png").exists()


def test_optional_rows_are_trained_if_they_are_named(recipe, tmp_path):
    text = recipe.read_text().replace('name = "smaller"\n', 'name = "smaller"\noptional = true\n')
    recipe.write_text(text)
    assert {one.row.name for one in plan(recipe, runs_root=tmp_path / "runs")} == {"small"}
    assert {one.row.name for one in plan(recipe, only=["smaller"], runs_root=tmp_path)} == {"smaller"}


class TestBeforeAnythingIsTrained:
    def test_a_wrong_row_is_found(self, recipe, tmp_path):
        text = recipe.read_text().replace('"model.hidden" = [2]', '"model.hiden" = [2]')
        recipe.write_text(text)
        with pytest.raises(SettingsError, match="'hiden'"):
            benchmark(recipe, runs_root=tmp_path / "runs", results_root=tmp_path)
        assert not (tmp_path / "runs").exists()
        with pytest.raises(SettingsError, match="no row 'smal'"):
            plan(recipe, only=["smal"])

    def test_a_model_that_cannot_be_built_is_refused(self, recipe, tmp_path):
        (tmp_path / "image.toml").write_text(
            TRAINING.format(cache=read_benchmark(recipe).other_data["again"]).replace(
                'name = "mlp"\nhidden = [16]\nfeatures = "displacement"',
                'name = "image"\nbackbone = "cnn-small"\nwidth = 16',
            )
        )
        recipe.write_text(recipe.read_text() + '[[rows]]\nname = "pixels"\nrecipe = "image.toml"\n')
        with pytest.raises(SettingsError, match="'cnn-small' has no width to set"):
            benchmark_in(tmp_path)
        assert not (tmp_path / "runs").exists()


def test_plan(recipe, tmp_path):
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


def test_a_run_of_other_settings_is_not_called_finished(recipe, tmp_path):
    benchmark(recipe, seeds=[0], only=["small"], runs_root=tmp_path / "runs", results_root=tmp_path)
    config = tmp_path / "runs" / "tiny-small-s0" / "config.json"
    content = json.loads(config.read_text())
    content["settings"]["fit"]["epochs"] += 1
    config.write_text(json.dumps(content))
    done, *_ = plan(recipe, runs_root=tmp_path / "runs")
    assert (done.state, done.seconds) == ("has other settings", None)


def test_a_wrong_cache_of_other_data_is_told_before_anything_is_trained(recipe, tmp_path):
    text, where = recipe.read_text(), tmp_path / "nowhere"
    recipe.write_text(text.replace("[other_data]\n", f'[other_data]\nstreet = "{where}"\n', 1))
    with pytest.raises(CacheError, match="nowhere"):
        benchmark(recipe, seeds=[0], runs_root=tmp_path / "runs", results_root=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_on_the_command_line(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["benchmark", "tiny.toml", "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "tiny-smaller-s1" in result.output
    assert "remaining in all" in result.output
    arguments = ["benchmark", "tiny.toml", "--seed", "0", "--only", "smaller", "--out", "pages"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "Report: pages/tiny.md" in result.output
    assert (tmp_path / "pages" / "tiny.csv").exists()
