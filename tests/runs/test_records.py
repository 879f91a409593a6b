import json
import math

import pytest
from filelock import FileLock

from landmarkfer.errors import RunError
from landmarkfer.runs import folder as run_module
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.runs.records import find_runs, read_run, read_runs
from landmarkfer.training.fit import train


class TestRecord:
    def test_a_run_that_was_trained(self, tiny_settings, tmp_path):
        folder = train(tiny_settings(seed=3, **{"fit.epochs": 2}), runs_root=tmp_path)
        config = folder.read_config()
        record = read_run(folder.path)
        assert (record.name, record.state, record.problems) == ("mlp-s3", "finished", ())
        assert (record.model, record.graph, record.seed) == ("mlp", None, 3)
        assert (record.epochs, record.epochs_planned) == (2, 2)
        assert (record.parameters, record.created) == (config.parameters, config.created)
        assert (record.cache, record.cache_fingerprint) == ("tiny", config.cache.fingerprint)
        assert record.classes == ("angry", "happy", "sad")
        epochs = read_epochs(folder.metrics_file)
        assert record.val_accuracy == epochs["val_accuracy"].max()
        assert record.train_seconds == pytest.approx(epochs["seconds"].sum())
        assert record.test_accuracy is None
        expected = {"model.name": "mlp", "model.hidden": [16], "seed": 3, "fit.epochs": 2}
        assert expected.items() <= record.changed.items()
        assert "model.dropout" not in record.changed, "a run states it, but it is the default"
        assert record.lineage == ""

    def test_figures_of_an_evaluated_run(self, made_run):
        record = read_run(made_run(val=[0.5, 0.7, 0.7, 0.6], test=0.64, **{"fit.epochs": 5}))
        assert (record.epochs, record.epochs_planned, record.train_seconds) == (4, 5, 6.0)
        assert (record.best_epoch, record.val_accuracy) == (2, 0.7), "the first of equal ones"
        assert record.val_loss == pytest.approx(0.3)
        assert (record.test_images, record.test_accuracy, record.macro_f1) == (700, 0.64, 0.32)
        assert record.test_accuracy_interval == pytest.approx((0.62, 0.67))
        assert record.subsets["test"]["ece"] == 0.1

    def test_the_best_epoch_is_the_monitor_s(self, made_run):
        folder = made_run(**{"fit.monitor": "val_loss"})
        (folder / "metrics.csv").write_text(
            "epoch,val_loss,val_accuracy\n1,0.9,0.5\n2,0.4,0.6\n3,0.7,0.8\n4,nan,0.9\n"
        )
        record = read_run(folder)
        assert (record.best_epoch, record.val_accuracy, record.val_loss) == (2, 0.6, 0.4)

    def test_graph_backbone_stages_and_fold(self, made_run):
        folder = made_run(
            config={"graph": {"name": "knn"}},
            model={"name": "fusion", "backbone": "resnet18"},
            stages=[{"train": "head", "epochs": 2}, {"train": "full", "epochs": 5}],
            split={"folds": 5, "fold": 0},
            **{"optimiser.schedule": "cosine"},
        )
        record = read_run(folder)
        assert record.architecture == "fusion knn resnet18"
        assert (record.epochs_planned, record.fold, record.folds) == (7, 0, 5)

    def test_epochs_that_are_not_set_are_the_default_s(self, made_run):
        assert read_run(made_run()).epochs_planned == 20

    def test_a_classical_model_has_neither_epochs_nor_parameters(self, made_run):
        record = read_run(made_run(config={"parameters": None}))
        assert (record.epochs_planned, record.parameters) == (None, None)
        assert (record.val_accuracy, record.train_seconds) == (0.5, 1.5)

    def test_warnings_of_the_training_and_of_the_evaluation_each_once(self, made_run):
        folder = made_run(test=0.5)
        assert read_run(folder).warnings == ()
        (folder / "warnings.json").write_text(json.dumps([{"kind": "one_class", "sentence": "It fell."}]))
        content = json.loads((folder / "metrics.json").read_text())
        content["warnings"] = ["Here too.", "in training, It fell."]
        (folder / "metrics.json").write_text(json.dumps(content))
        assert read_run(folder).warnings == ("It fell.", "Here too.")

    @pytest.mark.parametrize("text", ["[", '{"a": 1}', "[1]", '[{"kind": "one_class"}]', "3"])
    def test_damaged_warnings_are_a_problem(self, made_run, text):
        folder = made_run()
        (folder / "warnings.json").write_text(text)
        record = read_run(folder)
        assert (record.state, record.warnings) == ("damaged", ())
        assert "warnings.json cannot be read" in record.problems[0]

    def test_lineage(self, made_run):
        folder = made_run(init="experiments/runs/head-s0")
        assert read_run(folder).lineage == "from head-s0"
        (folder / "resumed.txt").write_text("2026-01-01T10:00:00+00:00\n2026-01-02T10:00:00+00:00\n")
        record = read_run(folder)
        assert record.resumes[1] == "2026-01-02T10:00:00+00:00"
        assert record.lineage == "from head-s0, resumed 2x"


class TestState:
    def test_interrupted_training_and_finished(self, made_run):
        folder = made_run(finished=False)
        assert read_run(folder).state == "interrupted"
        with FileLock(folder / ".lock"):
            assert read_run(folder).state == "training"
        assert read_run(folder).state == "interrupted", "a lock file that nobody holds"
        (folder / ".model.partial.safetensors").touch()
        assert read_run(folder).state == "interrupted", "a model that is half written"
        (folder / "model.skops").touch()
        assert read_run(folder).state == "finished"

    def test_the_lock_is_that_of_training(self, made_run):
        folder = made_run(finished=False)
        with run_module.RunFolder(folder).writing():
            assert read_run(folder).state == "training"

    def test_looking_leaves_no_trace(self, made_run):
        folder = made_run(finished=False)
        before = sorted(folder.iterdir())
        read_run(folder)
        assert sorted(folder.iterdir()) == before

    def test_an_ensemble_s_evaluation(self, made_run):
        folder = made_run("ensemble", test=0.7)
        for path in folder.iterdir():
            if path.name != "metrics.json":
                path.unlink()
        record = read_run(folder)
        assert (record.state, record.test_accuracy, record.model) == ("evaluation", 0.7, None)


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("", "config.json is no JSON"),
            ('{"settings": ', "config.json is no JSON"),
            ("[1, 2]", "config.json has format None"),
            ('{"format": 2, "settings": {"model": "mlp"}}', "config.json has format 2"),
            ('{"format": 1, "settings": {"model": "mlp"}}', "config.json does not fit: 'settings.model"),
            ("[" * 100_000, "recursion"),
            ("\x00\xff", "config.json is no JSON"),
        ],
    )
    def test_of_config(self, made_run, content, reason):
        folder = made_run(val=[0.4], test=0.6)
        (folder / "config.json").write_bytes(content.encode("latin-1"))
        record = read_run(folder)
        assert (record.state, record.model) == ("damaged", None)
        assert reason in record.problems[0]
        assert (record.val_accuracy, record.test_accuracy) == (0.4, 0.6), "what can be read is"

    def test_of_other_files(self, made_run):
        folder = made_run(val=[0.5], test=0.6)
        (folder / "metrics.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00,1\n2,3\n")
        (folder / "metrics.json").write_text('{"subsets": {"test": {"accuracy": NaN}}}')
        record = read_run(folder)
        assert record.state == "damaged"
        assert len(record.problems) == 2
        assert (record.model, record.epochs, record.test_accuracy) == ("mlp", 0, None)

    def test_odd_figures_are_passed_over(self, made_run):
        folder = made_run()
        (folder / "metrics.csv").write_text("epoch,val_accuracy,seconds\n1,inf,\n2,0.5,x\n")
        record = read_run(folder)
        assert record.problems == ()
        assert (record.epochs, record.best_epoch, record.train_seconds) == (2, 2, None)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"config": {"cache": 7}}, "'cache'"),
            ({"config": {"parameters": "many"}}, "'parameters'"),
            ({"loss.beauty": 3}, "'settings.loss.beauty'"),
        ],
    )
    def test_of_values_in_config(self, made_run, changes, reason):
        record = read_run(made_run(val=[0.4], **changes))
        assert (record.state, record.model, record.val_accuracy) == ("damaged", None, 0.4)
        assert f"config.json does not fit: {reason}" in record.problems[0]
        assert record.problems[0].endswith("; train the run again.")

    def test_a_run_from_before_changed_settings_were_stored(self, made_run):
        record = read_run(made_run(**{"loss.name": "cross_entropy", "loss.smoothing": 0.3}))
        assert record.problems == ()
        assert record.changed == {"model.name": "mlp", "loss.smoothing": 0.3}

    def test_an_empty_folder_and_one_that_is_none(self, made_run, tmp_path):
        (tmp_path / "empty").mkdir()
        assert read_run(tmp_path / "empty").problems == ("there is no config.json",)
        good = made_run()
        states = [record.state for record in read_runs([tmp_path / "nothing", good, tmp_path / "empty"])]
        assert states == ["damaged", "finished", "damaged"]

    def test_every_figure_is_json(self, made_run):
        folder = made_run(val=[math.nan, 0.5])
        json.dumps(read_run(folder).__dict__, allow_nan=False, default=str)


class TestFind:
    def test_all_runs_and_nothing_else(self, made_run, tmp_path):
        root = made_run("b").parent
        made_run("a")
        (root / "new").mkdir()
        (root / "notes").mkdir()
        (root / "notes/todo.txt").touch()
        (root / ".hidden").mkdir()
        (root / "a.log").touch()
        assert [path.name for path in find_runs(root=root)] == ["a", "b", "new"]
        assert find_runs(root=tmp_path / "nowhere") == []

    def test_by_name_folder_and_pattern(self, made_run, tmp_path):
        root = made_run("gnn-s0").parent
        made_run("gnn-s1")
        made_run("mlp-s0")
        (root / "gnn.log").touch()
        wanted = ["mlp-s0", str(root / "gnn-s1"), "gnn-*", str(root / "gnn.log")]
        assert [path.name for path in find_runs(wanted, root)] == ["mlp-s0", "gnn-s1", "gnn-s0"]
        with pytest.raises(RunError, match=r"'mlp-s1' is no run; there are mlp-s0"):
            find_runs(["gnn-s0", "mlp-s1"], root)
        with pytest.raises(RunError, match="no run folder"):
            find_runs([str(root / "gnn.log")], root)
        with pytest.raises(RunError, match="there is none under"):
            find_runs(["x"], tmp_path / "nowhere")
