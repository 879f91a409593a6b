"""A benchmark of rows that were trained on one data set or both, tested on each."""

import shutil

import numpy as np
import pandas as pd
import pytest

from landmarkfer.config.benchmark import PairSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.evaluation.benchmark.matrix import (
    common_figures,
    corrected,
    on_common_images,
    pair_tests,
    standing_pairs,
)
from landmarkfer.evaluation.benchmark.run import benchmark
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.significance import paired_difference
from landmarkfer.reporting.results import ALL_SEEDS, pair_subset, read_results
from landmarkfer.runs.folder import RunFolder

RECIPE = """
title = "Two data sets"
seeds = [0, 1]

[other_data]
lab = "{root}/lab"
street = "{root}/street"

[[rows]]
name = "lab alone"
recipe = "mlp.toml"
set = {{cache = "{root}/lab"}}

[[rows]]
name = "street alone"
base = "lab alone"
set = {{cache = "{root}/street"}}

[[rows]]
name = "both"
base = "lab alone"
set = {{cache = ["{root}/lab", "{root}/street"]}}

[[rows]]
name = "an ensemble"
average = ["lab alone", "street alone"]

[[pairs]]
first = "both"
second = "street alone"

[[pairs]]
first = "an ensemble"
second = "both"
"""
TRAINING = """
[model]
name = "mlp"
hidden = [8]
features = "displacement"
[optimiser]
lr = 0.01
[fit]
epochs = 1
batch_size = 16
device = "cpu"
"""


@pytest.fixture(scope="module")
def place(make_rows, tmp_path_factory):
    """`lab` has test images of its own; `street` is carved, and has other faces of 15 people."""
    root = tmp_path_factory.mktemp("matrix")
    write_cache(root / "lab", make_rows())
    street = make_rows(train=30, test=4, seed=4)
    for number, row in enumerate(street):
        row.split = row.subset = None
        row.group = f"person {number % 15}"
        row.sha256 = None if row.sha256 is None else f"f{row.sha256[1:]}"
    write_cache(root / "street", street)
    (root / "mlp.toml").write_text(TRAINING)
    (root / "two.toml").write_text(RECIPE.format(root=root.as_posix()))
    with pytest.MonkeyPatch.context() as patch:  # drawing takes longer than all the rest
        for name in ("confusion", "reliability", "class_reliability", "risk_coverage"):
            patch.setattr(f"landmarkfer.reporting.evaluation_figures.draw_{name}", _no_picture)
        made(root)
    return root


def _no_picture(path, *_):
    path.touch()


def made(root, **keywords):
    roots = {"runs_root": root / "runs", "results_root": root / "results"}
    return benchmark(root / "two.toml", **roots, **keywords)


@pytest.fixture(scope="module")
def values(place):
    table = read_results(place / "results" / "two.csv")
    return table.set_index(["experiment", "seed", "subset", "metric"])["value"].sort_index()


def run_of(place, row, seed):
    return RunFolder(place / "runs" / f"two-{row.replace(' ', '-')}-s{seed}")


def ids_tested(place, data):
    """The test images of a run on that data set alone."""
    return set(run_of(place, f"{data} alone", 0).read_splits()["test"])


@pytest.mark.parametrize("data", ["lab", "street"])
def test_a_column_is_of_the_test_images_of_that_data_set(place, values, data):
    wanted = ids_tested(place, data)
    for row in ("lab alone", "street alone", "both"):
        for seed in (0, 1):
            predictions = evaluate_run(run_of(place, row, seed), place / data)[1]
            chosen = np.isin(predictions.ids, sorted(wanted))
            assert chosen.sum() == len(wanted)
            subset = f"on {data}"
            assert values[row, seed, subset, "n"] == len(wanted)
            assert values[row, seed, subset, "accuracy"] == pytest.approx(predictions.correct[chosen].mean())
    whole = evaluate_run(run_of(place, "lab alone", 0), place / "street")[1]
    assert len(whole) > len(ids_tested(place, "street")), "the run knows none of them, and predicts all"


def test_an_average_of_rows_of_different_test_images_is_one_on_other_data(place, values):
    assert "test" not in values["an ensemble"].index.get_level_values("subset")
    members = [
        evaluate_run(run_of(place, row, 1), place / "street")[1] for row in ("lab alone", "street alone")
    ]
    ids = sorted(ids_tested(place, "street"))
    mean = sum(one.rows(pd.Index(one.ids).get_indexer(ids)).ranking for one in members) / 2
    labels = members[0].rows(pd.Index(members[0].ids).get_indexer(ids)).labels
    expected = (mean.argmax(axis=1) == labels).mean()
    assert values["an ensemble", 1, "on street", "accuracy"] == pytest.approx(expected)


def test_each_pair_is_tested_on_each(place, values):
    ids = sorted(ids_tested(place, "street"))
    correct = {}
    for row in ("both", "street alone"):
        found = [evaluate_run(run_of(place, row, seed), place / "street")[1] for seed in (0, 1)]
        found = [one.rows(pd.Index(one.ids).get_indexer(ids)) for one in found]
        correct[row] = [one.correct for one in found]
    groups = pd.factorize(found[0].groups)[0]
    expected = paired_difference(correct["both"], correct["street alone"], groups=groups)
    paired = values["both", ALL_SEEDS, pair_subset("street", "street alone")]
    assert paired["difference"] == pytest.approx(expected.difference)
    assert paired["difference"] == pytest.approx(
        np.mean(
            [
                values["both", seed, "on street", "accuracy"]
                - values["street alone", seed, "on street", "accuracy"]
                for seed in (0, 1)
            ]
        )
    )
    assert paired["p_permutation"] == pytest.approx(expected.p)
    assert paired["groups"] == len(set(found[0].groups))
    assert "groups" not in values["both", ALL_SEEDS, pair_subset("lab", "street alone")]
    p = values[values.index.get_level_values("metric") == "p_permutation"]
    holm = values[values.index.get_level_values("metric") == "p_holm"]
    assert len(p) == len(holm) == 4
    assert holm.min() == pytest.approx(min(1, 4 * p.min()))


def test_the_page_has_a_table_of_both(place, values):
    page = (place / "results" / "two.md").read_text()
    assert "## Trained on, tested on" in page and "## On other data" not in page
    scores = ("accuracy", "balanced", "macro-F1")
    columns = " | ".join(f"{data}, {score}" for data in ("lab", "street") for score in scores)
    line = f"| experiment | trained on | model | {columns} |"
    assert line in page
    for row, of in (("lab alone", "lab"), ("both", "lab + street"), ("an ensemble", "lab + street")):
        assert f"| {row} | {of} | " in page
    counts = ", ".join(f"{len(ids_tested(place, data))} of {data}" for data in ("lab", "street"))
    assert f"for all rows, those that every row has to be tested on: {counts}; images of a class that" in page
    assert "Each row is over the test images of the data that it was trained on; rows that" in page
    assert "## Pairs on each data set" in page
    difference = values["both", ALL_SEEDS, pair_subset("lab", "street alone"), "difference"]
    assert f"| both – street alone | lab | 36 | {100 * difference:+.2f} |" in page
    assert "with street alone" not in page, "no report of pairs that were tested on different images"


def test_an_equal_call_and_the_archive_alone_make_the_same(place, tmp_path, monkeypatch):
    copy = shutil.copytree(place, tmp_path / "copy")
    # The recipe names the caches of the first place, which are the same.
    made(copy)
    before = {path: path.read_bytes() for path in (copy / "results").rglob("*") if path.is_file()}
    csv = (place / "results" / "two.csv").read_bytes()
    assert (copy / "results" / "two.csv").read_bytes() == csv
    shutil.rmtree(copy / "runs")
    monkeypatch.setattr(
        "landmarkfer.evaluation.benchmark.measure.open_run", lambda *_: pytest.fail("it is archived")
    )
    made(copy, train=False)
    assert {path: path.read_bytes() for path in before} == before


def test_rows_of_the_csv_alone_keep_their_tests(place, tmp_path):
    copy = shutil.copytree(place, tmp_path / "copy")
    before = read_results(copy / "results" / "two.csv")
    for seed in (0, 1):
        shutil.rmtree(run_of(copy, "street alone", seed).path)
        for file in (copy / "results" / "two-predictions").glob(f"street-alone-s{seed}*"):
            file.unlink()
    made(copy, train=False)
    after = read_results(copy / "results" / "two.csv")
    # Without these predictions the images in common are other ones, and so are the figures of the others.
    subset = pair_subset("lab", "street alone")
    kept = after[(after["experiment"] == "both") & (after["subset"] == subset)]
    was = before[(before["experiment"] == "both") & (before["subset"] == subset)]
    pd.testing.assert_frame_equal(
        kept[kept["metric"] != "p_holm"].reset_index(drop=True),
        was[was["metric"] != "p_holm"].reset_index(drop=True),
    )


def test_a_baseline_of_other_test_images_is_refused(place, tmp_path):
    copy = shutil.copytree(place, tmp_path / "copy")
    text = (copy / "two.toml").read_text().replace("seeds = [0, 1]", 'seeds = [0, 1]\nbaseline = "both"')
    (copy / "two.toml").write_text(text)
    with pytest.raises(
        SettingsError, match=r"were tested on different images, and a baseline.*Nothing has to"
    ):
        made(copy, train=False)


KEYS = {"one": ("one", "mlp", "none"), "two": ("two", "gnn", "knn")}


class TestByHand:
    """Four images; the second row lacks one, and has them in another order."""

    def predictions(self, ids, labels, predicted, classes=("happy", "sad")):
        chance = [{name: float(name == one) for name in classes} for one in predicted]
        frame = pd.DataFrame({"id": ids, "label": labels, "predicted": predicted})
        frame[[f"p_{name}" for name in classes]] = [[one[name] for name in classes] for one in chance]
        return Predictions.from_frame(frame, classes)

    @pytest.fixture
    def rows(self):
        first = self.predictions(
            ["a", "b", "c", "d"], ["happy", "sad", "sad", "happy"], ["happy", "happy", "sad", "sad"]
        )
        second = self.predictions(
            ["c", "a", "b"], ["sad", "happy", "sad"], ["happy", "happy", "sad"], ("angry", "happy", "sad")
        )
        return {"one": {0: first}, "two": {0: second}}

    def test_images_in_common(self, rows):
        found = on_common_images(rows, "x")
        assert [one[0].ids.tolist() for one in found.values()] == [["a", "b", "c"]] * 2
        figures = common_figures(found, "x", KEYS).set_index(["experiment", "metric"])["value"]
        assert figures["one", "n"] == figures["two", "n"] == 3
        assert figures["one", "accuracy"] == pytest.approx(2 / 3)
        assert figures["two", "accuracy"] == pytest.approx(2 / 3)

    def test_classes_that_fall_away_are_named(self, rows, caplog):
        rows["one"][0] = self.predictions(
            ["a", "b", "c"], ["happy", "sad", "sad"], ["happy", "sad", "sad"], ("angry", "happy", "sad")
        )
        assert on_common_images(rows, "x") and not caplog.messages
        for classes, why in (
            (("happy", "angry"), "which 'two' does not know"),
            (("happy", "sad"), "on which not all were tested"),
        ):
            rows["two"][0] = self.predictions(["a"], ["happy"], ["happy"], classes)
            caplog.clear()
            on_common_images(rows, "x")
            assert caplog.messages == [f"other data 'x': the table leaves out its images of 'sad', {why}"]

    def test_none_in_common(self, rows):
        rows["two"][0] = self.predictions(["z"], ["sad"], ["sad"])
        with pytest.raises(RunError, match="no test image of the other data 'x' in common"):
            on_common_images(rows, "x")
        assert on_common_images({}, "x") == {}

    def test_another_label(self, rows):
        rows["two"][0] = self.predictions(["a"], ["sad"], ["sad"])
        with pytest.raises(
            RunError, match="a of the other data 'x' is 'happy' for one row and 'sad' for anot"
        ):
            on_common_images(rows, "x")

    def test_tests(self, rows):
        data = {"x": on_common_images(rows, "x")}
        pairs = [PairSettings(first="one", second="two"), PairSettings(first="one", second="three")]
        tests = corrected(pair_tests(pairs, data, KEYS))
        assert set(tests["subset"]) == {"paired on x: two"}
        found = tests.set_index("metric")["value"]
        assert found["difference"] == 0 and found["n"] == 3
        assert found["p_holm"] == found["p_permutation"]
        assert set(tests["model"]) == {"mlp"}

    def test_tests_that_stay(self, rows):
        data = {"x": on_common_images(rows, "x")}
        pairs = [PairSettings(first="one", second="two")]
        old = pd.concat([common_figures(data["x"], "x", KEYS), pair_tests(pairs, data, KEYS)])
        alone = {"x": {"one": data["x"]["one"]}}
        now = common_figures(alone["x"], "x", KEYS)
        expected = {("one", "paired on x: two")}
        assert standing_pairs(old, [now], pairs, alone) == expected
        assert standing_pairs(old, [], pairs, {}) == expected
        assert standing_pairs(old, [now], pairs, data) == set(), "it is computed again"
        changed = now.assign(value=now["value"] + 0.1)
        assert standing_pairs(old, [changed], pairs, alone) == set()
        gone = old[old["experiment"] != "two"]
        assert standing_pairs(gone, [now], pairs, alone) == set()
