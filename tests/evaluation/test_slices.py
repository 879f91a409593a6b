import numpy as np
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.evaluation import slices
from landmarkfer.evaluation.evaluate import evaluate_run, evaluate_runs
from landmarkfer.evaluation.files import read_evaluation
from landmarkfer.evaluation.slices import Slicer
from landmarkfer.metrics.report import Evaluation
from landmarkfer.training.fit import train


def confounded(make_rows, train=36, test=30, seed=0):
    """Rows of which most sad images, and few others, are larger."""
    rng = np.random.default_rng(seed)
    rows = make_rows(train=train, test=test, seed=seed)
    for row in rows:
        if row.width is not None and rng.random() < (0.9 if row.label == "sad" else 0.15):
            row.width, row.height = 400, 200
    return rows


@pytest.fixture(scope="module")
def caches(make_rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    others = confounded(make_rows, train=4, test=40, seed=3)
    unlabelled = confounded(make_rows, train=4, test=40, seed=4)
    for row in unlabelled:
        row.label = None
    return {
        "own": write_cache(folder / "own", confounded(make_rows)),
        "other": write_cache(folder / "other", others),
        "unlabelled": write_cache(folder / "unlabelled", unlabelled),
        "plain": write_cache(folder / "plain", make_rows(train=4, test=12, seed=5)),
    }


@pytest.fixture(scope="module")
def runs(caches, small_settings, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [
        train(small_settings(cache=str(caches["own"].path), name=f"s{seed}", seed=seed), runs_root=root)
        for seed in (0, 1)
    ]


def check(found, predictions, cache):
    """The slices are those of the sizes of the images that were predicted."""
    assert [(one.feature, one.value) for one in found] == [
        ("image size", "200 x 100"),
        ("image size", "400 x 200"),
    ]
    width = cache.frame().set_index("id")["width"][list(predictions.ids)].to_numpy()
    for one, side in zip(found, (200, 400), strict=True):
        chosen = width == side
        assert one.n == chosen.sum()
        assert one.accuracy == pytest.approx(predictions.correct[chosen].mean())
        assert sum(one.classes.values()) == one.n
        assert one.interval[0] < one.accuracy < one.interval[1]


def test_own_test_images_are_sliced_and_stored(runs, caches):
    [(_, evaluation)] = evaluate_runs(runs[:1])
    check(evaluation.slices, evaluate_run(runs[0])[1], caches["own"])
    assert read_evaluation(runs[0].path) == evaluation


def test_another_cache_is_sliced_by_its_own_confounds(runs, caches):
    [(_, evaluation)] = evaluate_runs(runs[:1], caches["other"].path)
    check(evaluation.slices, evaluate_run(runs[0], caches["other"].path)[1], caches["other"])


def test_an_average_is_sliced_and_its_cache_measured_once(runs, caches, monkeypatch):
    measured = []
    measure = slices.measure_confounds
    monkeypatch.setattr(
        slices, "measure_confounds", lambda *arguments: measured.append(1) or measure(*arguments)
    )
    found = evaluate_runs(runs)
    assert [len(evaluation.slices) for _, evaluation in found] == [2, 2, 2]
    assert [one.n for one in found[2][1].slices] == [one.n for one in found[0][1].slices]
    assert len(measured) == 1


def test_without_labels_there_are_no_slices(runs, caches):
    [(_, evaluation)] = evaluate_runs(runs[:1], caches["unlabelled"].path)
    assert evaluation.subsets == {}
    assert evaluation.slices == []


def test_without_a_confound_there_are_no_slices(runs, caches):
    [(_, evaluation)] = evaluate_runs(runs[:1], caches["plain"].path)
    assert evaluation.subsets
    assert evaluation.slices == []


def test_evaluations_of_earlier_versions_are_read(runs):
    [(_, evaluation)] = evaluate_runs(runs[:1])
    content = evaluation.model_dump()
    del content["slices"]
    assert Evaluation.model_validate(content) == evaluation.model_copy(update={"slices": []})


def test_people_and_small_slices_of_a_cache(runs, make_rows, tmp_path):
    rows = confounded(make_rows, train=36, test=30)
    for number, row in enumerate(rows):
        row.group = f"p{number // 3}"
    large = [row for row in rows if row.split == "test" and row.width == 400]
    for row in large[12:]:
        row.width, row.height = 200, 100
    [(_, evaluation)] = evaluate_runs(runs[:1], write_cache(tmp_path / "people", rows).path)
    [found] = [one for one in evaluation.slices if one.value == "200 x 100"]
    chosen = [row.group for row in rows if row.split == "test" and row.width == 200]
    assert (found.n, found.groups) == (len(chosen), len(set(chosen)))
    assert found.groups < found.n
    [few] = [one for one in evaluation.small_slices if one.feature == "image size"]
    assert (few.values, few.images) == (1, 12)


def test_an_evaluation_stays_as_it_is(runs, caches):
    evaluation, predictions = evaluate_run(runs[0])
    sliced = Slicer()(evaluation, predictions, caches["own"])
    assert evaluation.slices == []
    assert sliced.model_copy(update={"slices": []}) == evaluation


def test_several_caches_are_sliced_each_by_its_own_confounds(caches, make_rows, small_settings, tmp_path):
    rows = make_rows(train=36, test=30, seed=7)
    for row in rows:
        row.sha256 = None if row.sha256 is None else f"f{row.sha256[1:]}"
    plain = write_cache(tmp_path / "even", rows)
    both = [str(caches["own"].path), str(plain.path)]
    run = train(small_settings(cache=both, **{"fit.epochs": 1}), runs_root=tmp_path)
    [(_, evaluation)] = evaluate_runs([run])
    own = evaluate_run(run, caches["own"].path)[1]
    width = caches["own"].frame().set_index("id")["width"][list(own.ids)].to_numpy()
    found = {(one.feature, one.value): one for one in evaluation.slices}
    assert set(found) == {("image size (own)", "200 x 100"), ("image size (own)", "400 x 200")}
    for (_, value), one in found.items():
        chosen = width == int(value.partition(" ")[0])
        assert one.n == chosen.sum()
        assert one.accuracy == pytest.approx(own.correct[chosen].mean())
