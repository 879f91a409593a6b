import pytest

from landmarkfer.runs.groups import System, group_runs, number_seeds
from landmarkfer.runs.records import read_run


@pytest.fixture
def record(made_run):
    """`record(...)` is that of a run made with the same arguments."""
    return lambda *arguments, **keywords: read_run(made_run(*arguments, **keywords))


def test_a_system_by_hand():
    single = System("one", {3: ("a",), 5: ("b",)})
    both = System("both", {0: ("a", "b"), 1: ("c", "d")})
    assert single.runs == ["a", "b"]
    assert both.runs == ["a", "b", "c", "d"]
    assert (single.ensemble, both.ensemble) == (False, True)
    assert both.map(str.upper) == System("both", {0: ("A", "B"), 1: ("C", "D")})


def test_seeds_are_those_of_the_runs_where_they_differ():
    assert number_seeds([4, 2]) == [4, 2]
    assert number_seeds([0, 0]) == [0, 1], "folds of one seed"
    assert number_seeds([None, 7]) == [0, 1], "a damaged run"


class TestGroups:
    def test_seeds_and_folds_are_one(self, record):
        seeds = [record(f"gnn-knn-s{s}", seed=s, **{"fit.device": "cpu" if s else "auto"}) for s in range(3)]
        wide = [record(f"wide-s{s}", seed=s, **{"model.hidden": [64]}) for s in range(2)]
        folds = [record(f"cv-f{f}", split={"folds": 2, "fold": f}) for f in range(2)]
        found = group_runs([seeds[0], wide[0], *seeds[1:], wide[1], *folds])
        assert [system.name for system in found] == ["gnn-knn", "wide", "cv"]
        assert [list(system.seeds) for system in found] == [[0, 1, 2], [0, 1], [0, 1]]
        assert [run.name for run in found[0].runs] == ["gnn-knn-s0", "gnn-knn-s1", "gnn-knn-s2"]

    @pytest.mark.parametrize(
        "other",
        [
            {"model.hidden": [64]},
            {"fit.epochs": 31},
            {"loss.name": "focal"},
            {"data.classes": ["happy", "sad"]},
            {"config": {"cache": {"path": "cache/faces", "fingerprint": "other"}}},
            {"config": {"classes": ["happy", "angry"]}},
            {"config": {"graph": {"name": "knn"}}},
            {"init": "pretrained"},
        ],
    )
    def test_what_differs_is_another(self, record, other):
        assert len(group_runs([record("a-s0", seed=0), record("a-s1", seed=1, **other)])) == 2

    def test_defaults_may_be_stated(self, record):
        stated = {"fit.batch_size": 256, "augment.mirror": 0.5, "loss.smoothing": 0.1}
        assert len(group_runs([record("a-s0", seed=0), record("a-s1", seed=1, **stated)])) == 1

    def test_seeds_of_a_fine_tuning_are_initialised_from_seeds_of_another_run(self, record):
        tuned = [record(f"tuned-s{s}", seed=s, init=f"head-s{s}") for s in range(2)]
        other = record("tuned-s2", seed=2, init="body-s2")
        assert [len(group.runs) for group in group_runs([*tuned, other])] == [2, 1]

    def test_equal_names_are_made_different(self, record):
        runs = [record(f"x-s{s}", seed=s) for s in range(2)]
        runs += [record(f"x-s{s}-2", seed=s, **{"model.dropout": 0.1}) for s in range(2)]
        runs.append(record("x-s0-3", **{"model.hidden": list(range(20))}))
        runs.append(record("x-s1-3", seed=1, **{"model.hidden": list(range(20))}))
        assert [group.name for group in group_runs(runs)] == ["x", "x, dropout=0.1", "x, x-s0-3"]

    def test_damaged_runs_are_apart(self, record, made_run):
        folders = [made_run(name) for name in ("a-s0", "a-s1")]
        for folder in folders:
            (folder / "config.json").write_text("{")
        assert len(group_runs([read_run(folder) for folder in folders])) == 2
